//! The table `connection` of the configuration file: its rules. Its keys are in `tables`.

use aldis_wire::limits::PIPELINED_REQUESTS_MAX;

use super::{ConfigError, Connection, Source};

/// Most connections of a node.
const CONNECTIONS_MAX: u32 = 10_000_000;
/// Longest time to wait for a peer, seconds.
const WAIT_S_MAX: u32 = 300;
/// KiB between the two limits of output: two of the largest frames fit, or an answer could close its
/// connection.
const OUTPUT_ROOM_KIB: u32 = 2_560;

impl Connection {
    pub(super) fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        source.within("connection.max", &self.max, 1, CONNECTIONS_MAX)?;
        source.at_most("connection.per_address_max", &self.per_address_max, CONNECTIONS_MAX)?;
        let (key, value) =
            ("connection.before_login_per_address_max", &self.before_login_per_address_max);
        source.at_most(key, value, CONNECTIONS_MAX)?;
        let (key, value) = ("connection.fruitless_per_address", &self.fruitless_per_address);
        source.at_most(key, value, CONNECTIONS_MAX)?;
        source.within("connection.before_login_percent", &self.before_login_percent, 1, 100)?;
        source.within("connection.handshakes_max", &self.handshakes_max, 1, CONNECTIONS_MAX)?;
        source.within("connection.login_s", &self.login_s, 1, WAIT_S_MAX)?;
        source.within("connection.frame_s", &self.frame_s, 1, WAIT_S_MAX)?;
        source.within("connection.stall_s", &self.stall_s, 1, WAIT_S_MAX)?;
        let (key, value) = ("connection.requests_in_flight_max", &self.requests_in_flight_max);
        source.within(key, value, 1, PIPELINED_REQUESTS_MAX as u32)?;
        let (soft, hard) = (&self.output_soft_kib, &self.output_hard_kib);
        source.within("connection.output_soft_kib", soft, 16, 64 << 10)?;
        let hard_min = soft.get_ref() + OUTPUT_ROOM_KIB;
        source.within("connection.output_hard_kib", hard, hard_min, 1 << 20)
    }
}
