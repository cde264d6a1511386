//! The table `rates` of the configuration file: its rules, and what it means. Its keys are in `tables`.

use aldis_logic::{AddressLimits, Rate, Rates};

use super::{ConfigError, Connection, RateTable, Source};

/// More a second than one connection can ask.
const RATE_MAX: u32 = 1_000_000;
/// Most KiB a second: 1 GiB, more than a node reads.
const KIB_PER_SECOND_MAX: u32 = 1 << 20;
/// Most groups an hour: one each second.
const GROUPS_PER_HOUR_MAX: u32 = 3_600;
/// What may come at once, in times of what may come in a second.
const BURST_S: u32 = 10;
/// Bytes that may come at once at least: the largest request, and one more.
const BURST_BYTES_MIN: u32 = 2 << 20;

impl RateTable {
    /// The same for whoever counts; the limits of addresses are in the table of connections.
    pub fn rates(&self, connection: &Connection) -> Rates {
        let rate = |per_s: u32| Rate { per_s, burst: per_s.saturating_mul(BURST_S) };
        let bytes_per_s = self.kib_per_second.get_ref().saturating_mul(1_024);
        Rates {
            sends: rate(*self.sends_per_second.get_ref()),
            changes: rate(*self.changes_per_second.get_ref()),
            queries: rate(*self.queries_per_second.get_ref()),
            told: rate(*self.told_per_second.get_ref()),
            bytes: Rate {
                per_s: bytes_per_s,
                burst: bytes_per_s.saturating_mul(BURST_S).max(BURST_BYTES_MIN),
            },
            groups_per_hour: *self.groups_per_hour.get_ref(),
            in_flight: *connection.requests_in_flight_max.get_ref() as usize,
            addresses: AddressLimits {
                connections: *connection.per_address_max.get_ref(),
                strangers: *connection.before_login_per_address_max.get_ref(),
                fruitless: rate(*connection.fruitless_per_address.get_ref()),
                password_checks: *self.password_checks_per_address.get_ref(),
            },
            on_loopback: self.on_loopback,
        }
    }

    pub(super) fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        source.at_most("rates.sends_per_second", &self.sends_per_second, RATE_MAX)?;
        source.at_most("rates.changes_per_second", &self.changes_per_second, RATE_MAX)?;
        source.at_most("rates.queries_per_second", &self.queries_per_second, RATE_MAX)?;
        source.at_most("rates.told_per_second", &self.told_per_second, RATE_MAX)?;
        source.at_most("rates.kib_per_second", &self.kib_per_second, KIB_PER_SECOND_MAX)?;
        source.at_most("rates.groups_per_hour", &self.groups_per_hour, GROUPS_PER_HOUR_MAX)?;
        let checks = &self.password_checks_per_address;
        source.at_most("rates.password_checks_per_address", checks, RATE_MAX)
    }
}
