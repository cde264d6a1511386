//! Slows down password guessing: per account and address, per account, per address, and mass
//! registration, per address. Each doubles a delay after some free attempts. An account's own limit
//! stays low, so that strangers can slow its owner down but never lock the owner out; logins by
//! token are not counted.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::now::Now;

/// Entries kept; a guesser who fills the table pushes out the oldest first.
const ENTRIES_MAX: usize = 65_536;
/// An entry without attempts for this long is forgotten. ms
const FORGET_MS: u64 = 15 * 60 * 1000;
/// The first delay; each further failure doubles it. ms
const DELAY_MS: u64 = 1_000;

/// Free attempts, then the largest delay.
struct Rule {
    free: u32,
    delay_ms_max: u64,
}

const ACCOUNT_FROM_ADDRESS: Rule = Rule { free: 5, delay_ms_max: 5 * 60 * 1000 };
const ACCOUNT: Rule = Rule { free: 20, delay_ms_max: 8_000 };
const ADDRESS: Rule = Rule { free: 100, delay_ms_max: 60_000 };
const REGISTRATION: Rule = Rule { free: 20, delay_ms_max: 60_000 };

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    AccountFromAddress(Box<str>, IpAddr),
    Account(Box<str>),
    Address(IpAddr),
    Registration(IpAddr),
}

#[derive(Debug, Default)]
struct Attempts {
    count: u32,
    not_before_ms: u64,
    last_ms: u64,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Throttle {
    entries: HashMap<Key, Attempts>,
}

impl Throttle {
    /// Counts an attempt as failed until [`Throttle::succeeded`] says otherwise (so that parallel
    /// guesses count too), or says how many ms to wait before the next one.
    pub fn begin(&mut self, now: Now, account: &str, address: IpAddr) -> Result<(), u32> {
        self.attempt(now.mono_ms, keys(account, address))
    }

    /// Counts a registration, or says how many ms to wait before the next one. Local tools may
    /// register as many as they like.
    pub fn register(&mut self, now: Now, address: IpAddr) -> Result<(), u32> {
        if address.is_loopback() {
            return Ok(());
        }
        self.attempt(now.mono_ms, vec![(Key::Registration(address), REGISTRATION)])
    }

    fn attempt(&mut self, now_ms: u64, keys: Vec<(Key, Rule)>) -> Result<(), u32> {
        let wait_ms = keys
            .iter()
            .filter_map(|(key, _)| self.entries.get(key))
            .map(|attempts| attempts.not_before_ms.saturating_sub(now_ms))
            .max()
            .unwrap_or(0);
        if wait_ms > 0 {
            return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
        }
        self.make_room(now_ms);
        for (key, rule) in keys {
            let attempts = self.entries.entry(key).or_default();
            // Threads read their clocks at slightly different times.
            if now_ms.saturating_sub(attempts.last_ms) >= FORGET_MS {
                attempts.count = 0;
            }
            attempts.count += 1;
            attempts.last_ms = now_ms;
            if let Some(doublings) = attempts.count.checked_sub(rule.free) {
                let delay_ms = DELAY_MS << doublings.min(20);
                attempts.not_before_ms = now_ms + delay_ms.min(rule.delay_ms_max);
            }
        }
        Ok(())
    }

    /// The attempt was the right password.
    pub fn succeeded(&mut self, account: &str, address: IpAddr) {
        for (key, _) in keys(account, address) {
            let is_pair = matches!(key, Key::AccountFromAddress(..));
            let Some(attempts) = self.entries.get_mut(&key) else { continue };
            attempts.count = attempts.count.saturating_sub(1);
            attempts.not_before_ms = 0;
            if attempts.count == 0 || is_pair {
                self.entries.remove(&key);
            }
        }
    }

    fn make_room(&mut self, now_ms: u64) {
        if self.entries.len() + 3 <= ENTRIES_MAX {
            return;
        }
        self.entries.retain(|_, attempts| now_ms.saturating_sub(attempts.last_ms) < FORGET_MS);
        if self.entries.len() + 3 > ENTRIES_MAX {
            let mut ages: Vec<u64> = self.entries.values().map(|a| a.last_ms).collect();
            ages.sort_unstable();
            let median = ages[ages.len() / 2];
            self.entries.retain(|_, attempts| attempts.last_ms > median);
        }
    }
}

/// What an attempt counts for. Loopback as an address stands for every local tool at once.
fn keys(account: &str, address: IpAddr) -> Vec<(Key, Rule)> {
    let mut keys = vec![
        (Key::AccountFromAddress(account.into(), address), ACCOUNT_FROM_ADDRESS),
        (Key::Account(account.into()), ACCOUNT),
    ];
    if !address.is_loopback() {
        keys.push((Key::Address(address), ADDRESS));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const GUESSER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 0 }
    }

    #[test]
    fn delays_double_after_the_free_attempts() {
        let mut throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(throttle.begin(at(0), "ada", GUESSER), Ok(()));
        }
        assert_eq!(throttle.begin(at(0), "ada", GUESSER), Err(1_000));
        assert_eq!(throttle.begin(at(1_000), "ada", GUESSER), Ok(()));
        assert_eq!(throttle.begin(at(1_000), "ada", GUESSER), Err(2_000));
    }

    #[test]
    fn the_owner_at_home_waits_seconds_at_most_however_hard_others_guess() {
        let mut throttle = Throttle::default();
        let mut now_ms = 0;
        for _ in 0..1_000 {
            while let Err(wait_ms) = throttle.begin(at(now_ms), "ada", GUESSER) {
                now_ms += u64::from(wait_ms);
            }
        }
        let wait_ms = throttle.begin(at(now_ms), "ada", HOME).err().unwrap_or(0);
        assert!(u64::from(wait_ms) <= ACCOUNT.delay_ms_max, "{wait_ms}");
        assert_eq!(throttle.begin(at(now_ms + u64::from(wait_ms)), "ada", HOME), Ok(()));
    }

    #[test]
    fn the_right_password_clears_the_way() {
        let mut throttle = Throttle::default();
        for _ in 0..100 {
            assert_eq!(throttle.begin(at(0), "ada", HOME), Ok(()));
            throttle.succeeded("ada", HOME);
        }
    }

    #[test]
    fn many_accounts_from_one_address_are_slowed_down() {
        let mut throttle = Throttle::default();
        for guess in 0..100 {
            assert_eq!(throttle.begin(at(0), &format!("user{guess}"), GUESSER), Ok(()));
        }
        assert!(throttle.begin(at(0), "one-more", GUESSER).is_err());
        assert_eq!(throttle.begin(at(0), "one-more", HOME), Ok(()));
    }

    #[test]
    fn mass_registration_is_slowed_down_and_forgotten_after_a_while() {
        let mut throttle = Throttle::default();
        for _ in 0..20 {
            assert_eq!(throttle.register(at(0), GUESSER), Ok(()));
        }
        assert_eq!(throttle.register(at(0), GUESSER), Err(1_000));
        assert_eq!(throttle.register(at(0), HOME), Ok(()));
        for _ in 0..20 {
            assert_eq!(throttle.register(at(FORGET_MS), GUESSER), Ok(()));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        for guess in 0..100_000u32 {
            let address = IpAddr::from(guess.to_be_bytes());
            let _ = throttle.begin(at(u64::from(guess)), &guess.to_string(), address);
        }
        assert!(throttle.entries.len() <= ENTRIES_MAX);
    }
}
