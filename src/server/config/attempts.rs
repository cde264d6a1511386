//! The table `attempts` of the configuration file: how guessing is slowed down. Knows nobody who guesses.

use aldis_logic::{AttemptRule, AttemptRules};
use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, Source};

/// Longest first delay, seconds: whoever mistyped a password has waited enough.
const FIRST_DELAY_S_MAX: u32 = 60;
/// Longest delay for an account, seconds: as long its owner waits whom strangers keep busy.
const ACCOUNT_DELAY_S_MAX: u32 = 60;
/// Longest other delay, seconds.
const DELAY_S_MAX: u32 = 3_600;
/// Longest memory, seconds: a day.
const FORGET_S_MAX: u32 = 86_400;
/// Most free attempts: with more there is no limit.
const FREE_MAX: u32 = 1_000_000;

/// After some free attempts each further one that fails doubles a delay. Nodes with one Redis count
/// together. Logins by token are not counted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttemptTable {
    /// The first delay, seconds.
    pub first_delay_s: Spanned<u32>,
    /// What had no attempts for so long is forgotten, seconds; longer than any delay.
    pub forget_s: Spanned<u32>,
    /// Free attempts at an account's password from one address.
    pub per_account_and_address_free: Spanned<u32>,
    /// What the delay grows to, seconds.
    pub per_account_and_address_delay_s: Spanned<u32>,
    /// Free attempts at an account's password from anywhere.
    pub per_account_free: Spanned<u32>,
    /// What the delay grows to, seconds: no longer its owner waits, however hard others guess.
    pub per_account_delay_s: Spanned<u32>,
    /// Free attempts at any passwords from one address.
    pub per_address_free: Spanned<u32>,
    /// What the delay grows to, seconds.
    pub per_address_delay_s: Spanned<u32>,
    /// Free registrations from one address.
    pub registrations_free: Spanned<u32>,
    /// What the delay grows to, seconds.
    pub registrations_delay_s: Spanned<u32>,
}

impl Default for AttemptTable {
    fn default() -> Self {
        let value = |value: u32| Spanned::new(0..0, value);
        let seconds = |ms: u64| value((ms / 1_000) as u32);
        let AttemptRules {
            first_delay_ms,
            forget_ms,
            account_from_address: pair,
            account,
            address,
            registration,
        } = AttemptRules::default();
        Self {
            first_delay_s: seconds(first_delay_ms),
            forget_s: seconds(forget_ms),
            per_account_and_address_free: value(pair.free),
            per_account_and_address_delay_s: seconds(pair.delay_ms_max),
            per_account_free: value(account.free),
            per_account_delay_s: seconds(account.delay_ms_max),
            per_address_free: value(address.free),
            per_address_delay_s: seconds(address.delay_ms_max),
            registrations_free: value(registration.free),
            registrations_delay_s: seconds(registration.delay_ms_max),
        }
    }
}

impl AttemptTable {
    /// The same for whoever counts.
    pub fn rules(&self) -> AttemptRules {
        let ms = |seconds: &Spanned<u32>| u64::from(*seconds.get_ref()) * 1_000;
        let rule = |free: &Spanned<u32>, delay: &Spanned<u32>| AttemptRule {
            free: *free.get_ref(),
            delay_ms_max: ms(delay),
        };
        AttemptRules {
            first_delay_ms: ms(&self.first_delay_s),
            forget_ms: ms(&self.forget_s),
            account_from_address: rule(
                &self.per_account_and_address_free,
                &self.per_account_and_address_delay_s,
            ),
            account: rule(&self.per_account_free, &self.per_account_delay_s),
            address: rule(&self.per_address_free, &self.per_address_delay_s),
            registration: rule(&self.registrations_free, &self.registrations_delay_s),
        }
    }

    pub(super) fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        source.within("attempts.first_delay_s", &self.first_delay_s, 1, FIRST_DELAY_S_MAX)?;
        let free = [
            ("attempts.per_account_and_address_free", &self.per_account_and_address_free),
            ("attempts.per_account_free", &self.per_account_free),
            ("attempts.per_address_free", &self.per_address_free),
            ("attempts.registrations_free", &self.registrations_free),
        ];
        for (key, value) in free {
            source.within(key, value, 1, FREE_MAX)?;
        }
        let delay = "attempts.per_account_delay_s";
        source.within(delay, &self.per_account_delay_s, 1, ACCOUNT_DELAY_S_MAX)?;
        let delays = [
            ("attempts.per_account_and_address_delay_s", &self.per_account_and_address_delay_s),
            ("attempts.per_address_delay_s", &self.per_address_delay_s),
            ("attempts.registrations_delay_s", &self.registrations_delay_s),
        ];
        for (key, value) in delays {
            source.within(key, value, 1, DELAY_S_MAX)?;
        }
        // Or who is forgotten would be free before the delay is over.
        let longest_s = (self.rules().delay_ms_max() / 1_000) as u32;
        source.within("attempts.forget_s", &self.forget_s, longest_s + 1, FORGET_S_MAX)
    }
}
