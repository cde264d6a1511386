//! Slows down password guessing: per account and address, per account, per address, and mass
//! registration, per address. Each doubles a delay after some free attempts. An account's own limit
//! stays low, so that strangers can slow its owner down but never lock the owner out; logins by
//! token are not counted.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::addresses;
use crate::now::Now;

/// Entries kept; a guesser who fills the table pushes out the oldest first.
const ENTRIES_MAX: usize = 65_536;
/// Doublings of the first delay after which only the largest delay counts.
const DOUBLINGS_MAX: u32 = 20;

/// Free attempts, then the largest delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptRule {
    /// Attempts without a delay.
    pub free: u32,
    /// What delays grow to. ms
    pub delay_ms_max: u64,
}

/// How attempts are slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptRules {
    /// The first delay; each further failure doubles it. ms
    pub first_delay_ms: u64,
    /// What had no attempts for this long is forgotten; more than any delay. ms
    pub forget_ms: u64,
    /// Passwords of an account from one address.
    pub account_from_address: AttemptRule,
    /// Passwords of an account from anywhere: its owner waits as long, however hard others guess.
    pub account: AttemptRule,
    /// Passwords of whatever account from one address.
    pub address: AttemptRule,
    /// Registrations from one address.
    pub registration: AttemptRule,
}

impl Default for AttemptRules {
    fn default() -> Self {
        Self {
            first_delay_ms: 1_000,
            forget_ms: 15 * 60 * 1_000,
            account_from_address: AttemptRule { free: 5, delay_ms_max: 5 * 60 * 1_000 },
            account: AttemptRule { free: 20, delay_ms_max: 8_000 },
            address: AttemptRule { free: 100, delay_ms_max: 60_000 },
            registration: AttemptRule { free: 20, delay_ms_max: 60_000 },
        }
    }
}

impl AttemptRules {
    /// The longest delay there is. ms
    pub fn delay_ms_max(&self) -> u64 {
        let rules = [self.account_from_address, self.account, self.address, self.registration];
        rules.map(|rule| rule.delay_ms_max).into_iter().max().unwrap_or(0)
    }
}

/// Somebody tries something. An IPv6 network of 64 bits is one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A password.
    Password {
        /// Of this account, by its name.
        account: Box<str>,
        /// From here.
        address: IpAddr,
    },
    /// A registration.
    Registration {
        /// From here.
        address: IpAddr,
    },
}

/// What attempts are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttemptKey {
    /// See [`AttemptRules`].
    AccountFromAddress(Box<str>, IpAddr),
    /// See there.
    Account(Box<str>),
    /// See there.
    Address(IpAddr),
    /// See there.
    Registration(IpAddr),
}

impl Attempt {
    /// At the password of an account.
    pub fn password(account: &str, address: IpAddr) -> Self {
        Self::Password { account: account.into(), address: addresses::key_of(address) }
    }

    /// At a new account.
    pub fn registration(address: IpAddr) -> Self {
        Self::Registration { address: addresses::key_of(address) }
    }

    /// What it counts for. Loopback as an address stands for every local tool at once, which may try
    /// and register as often as they like.
    pub fn counts(&self, rules: &AttemptRules) -> Vec<(AttemptKey, AttemptRule)> {
        match self {
            Self::Password { account, address } => {
                let (account, address) = (account.clone(), *address);
                let pair = AttemptKey::AccountFromAddress(account.clone(), address);
                let mut counts = vec![
                    (pair, rules.account_from_address),
                    (AttemptKey::Account(account), rules.account),
                ];
                if !address.is_loopback() {
                    counts.push((AttemptKey::Address(address), rules.address));
                }
                counts
            }
            Self::Registration { address } if address.is_loopback() => Vec::new(),
            Self::Registration { address } => {
                vec![(AttemptKey::Registration(*address), rules.registration)]
            }
        }
    }
}

#[derive(Debug, Default)]
struct Attempts {
    count: u32,
    not_before_ms: u64,
    last_ms: u64,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Throttle {
    rules: AttemptRules,
    entries: HashMap<AttemptKey, Attempts>,
}

impl Throttle {
    /// Nobody has tried anything.
    pub fn new(rules: AttemptRules) -> Self {
        Self { rules, entries: HashMap::new() }
    }

    /// Counts an attempt as failed until [`Throttle::succeeded`] says otherwise (so that parallel
    /// guesses count too), or says how many ms to wait before the next one.
    pub fn begin(&mut self, now: Now, attempt: &Attempt) -> Result<(), u32> {
        let now_ms = now.mono_ms;
        let counts = attempt.counts(&self.rules);
        let wait_ms = counts
            .iter()
            .filter_map(|(key, _)| self.entries.get(key))
            .map(|attempts| attempts.not_before_ms.saturating_sub(now_ms))
            .max()
            .unwrap_or(0);
        if wait_ms > 0 {
            return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
        }
        self.make_room(now_ms);
        for (key, rule) in counts {
            let attempts = self.entries.entry(key).or_default();
            // Threads read their clocks at slightly different times.
            if now_ms.saturating_sub(attempts.last_ms) >= self.rules.forget_ms {
                attempts.count = 0;
            }
            attempts.count += 1;
            attempts.last_ms = now_ms;
            if let Some(doublings) = attempts.count.checked_sub(rule.free) {
                let delay_ms = self.rules.first_delay_ms << doublings.min(DOUBLINGS_MAX);
                attempts.not_before_ms = now_ms + delay_ms.min(rule.delay_ms_max);
            }
        }
        Ok(())
    }

    /// The attempt was the right password.
    pub fn succeeded(&mut self, attempt: &Attempt) {
        self.uncount(attempt, true);
    }

    /// The attempt was not made, because of others on other nodes: until then this node knows by
    /// itself that it must not be.
    pub fn refused(&mut self, now: Now, attempt: &Attempt, wait_ms: u32) {
        self.uncount(attempt, false);
        let wait_ms = u64::from(wait_ms).min(self.rules.delay_ms_max());
        // The narrowest of them, so that nobody else is held up by what this one was told.
        if let Some((key, _)) = attempt.counts(&self.rules).into_iter().next() {
            let attempts = self.entries.entry(key).or_default();
            attempts.not_before_ms = now.mono_ms + wait_ms;
            attempts.last_ms = now.mono_ms;
        }
    }

    fn uncount(&mut self, attempt: &Attempt, is_forgiven: bool) {
        for (key, _) in attempt.counts(&self.rules) {
            let is_pair = matches!(key, AttemptKey::AccountFromAddress(..));
            let Some(attempts) = self.entries.get_mut(&key) else { continue };
            attempts.count = attempts.count.saturating_sub(1);
            attempts.not_before_ms = 0;
            if attempts.count == 0 || is_pair && is_forgiven {
                self.entries.remove(&key);
            }
        }
    }

    fn make_room(&mut self, now_ms: u64) {
        if self.entries.len() + 3 <= ENTRIES_MAX {
            return;
        }
        let forget_ms = self.rules.forget_ms;
        self.entries.retain(|_, attempts| now_ms.saturating_sub(attempts.last_ms) < forget_ms);
        if self.entries.len() + 3 > ENTRIES_MAX {
            let mut ages: Vec<u64> = self.entries.values().map(|a| a.last_ms).collect();
            ages.sort_unstable();
            let median = ages[ages.len() / 2];
            self.entries.retain(|_, attempts| attempts.last_ms > median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const GUESSER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    fn throttle() -> Throttle {
        Throttle::new(AttemptRules::default())
    }

    fn guess(account: &str, address: IpAddr) -> Attempt {
        Attempt::password(account, address)
    }

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 0 }
    }

    #[test]
    fn delays_double_after_the_free_attempts() {
        let mut throttle = throttle();
        for _ in 0..5 {
            assert_eq!(throttle.begin(at(0), &guess("ada", GUESSER)), Ok(()));
        }
        assert_eq!(throttle.begin(at(0), &guess("ada", GUESSER)), Err(1_000));
        assert_eq!(throttle.begin(at(1_000), &guess("ada", GUESSER)), Ok(()));
        assert_eq!(throttle.begin(at(1_000), &guess("ada", GUESSER)), Err(2_000));
    }

    #[test]
    fn the_owner_at_home_waits_seconds_at_most_however_hard_others_guess() {
        let mut throttle = throttle();
        let mut now_ms = 0;
        for _ in 0..1_000 {
            while let Err(wait_ms) = throttle.begin(at(now_ms), &guess("ada", GUESSER)) {
                now_ms += u64::from(wait_ms);
            }
        }
        let wait_ms = throttle.begin(at(now_ms), &guess("ada", HOME)).err().unwrap_or(0);
        assert!(u64::from(wait_ms) <= throttle.rules.account.delay_ms_max, "{wait_ms}");
        assert_eq!(throttle.begin(at(now_ms + u64::from(wait_ms)), &guess("ada", HOME)), Ok(()));
    }

    #[test]
    fn the_right_password_clears_the_way() {
        let mut throttle = throttle();
        for _ in 0..100 {
            assert_eq!(throttle.begin(at(0), &guess("ada", HOME)), Ok(()));
            throttle.succeeded(&guess("ada", HOME));
        }
    }

    #[test]
    fn many_accounts_from_one_address_are_slowed_down() {
        let mut throttle = throttle();
        for number in 0..100 {
            assert_eq!(throttle.begin(at(0), &guess(&format!("user{number}"), GUESSER)), Ok(()));
        }
        assert!(throttle.begin(at(0), &guess("one-more", GUESSER)).is_err());
        assert_eq!(throttle.begin(at(0), &guess("one-more", HOME)), Ok(()));
    }

    #[test]
    fn mass_registration_is_slowed_down_and_forgotten_after_a_while() {
        let mut throttle = throttle();
        for _ in 0..20 {
            assert_eq!(throttle.begin(at(0), &Attempt::registration(GUESSER)), Ok(()));
        }
        assert_eq!(throttle.begin(at(0), &Attempt::registration(GUESSER)), Err(1_000));
        assert_eq!(throttle.begin(at(0), &Attempt::registration(HOME)), Ok(()));
        let forget_ms = throttle.rules.forget_ms;
        for _ in 0..20 {
            assert_eq!(throttle.begin(at(forget_ms), &Attempt::registration(GUESSER)), Ok(()));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = throttle();
        for number in 0..100_000u32 {
            let address = IpAddr::from(number.to_be_bytes());
            let attempt = guess(&number.to_string(), address);
            let _ = throttle.begin(at(u64::from(number)), &attempt);
        }
        assert!(throttle.entries.len() <= ENTRIES_MAX);
    }

    #[test]
    fn who_is_refused_for_attempts_elsewhere_waits_here_and_is_not_counted() {
        let mut throttle = throttle();
        let attempt = guess("ada", GUESSER);
        for round in 0..50 {
            let now_ms = round * 3_000;
            assert_eq!(throttle.begin(at(now_ms), &attempt), Ok(()));
            throttle.refused(at(now_ms), &attempt, 3_000);
            assert_eq!(throttle.begin(at(now_ms + 1), &attempt), Err(2_999));
            assert_eq!(throttle.begin(at(now_ms + 1), &guess("ada", HOME)), Ok(()));
            throttle.succeeded(&guess("ada", HOME));
        }
        throttle.refused(at(0), &attempt, u32::MAX);
        let longest_ms = throttle.rules.delay_ms_max() as u32;
        assert_eq!(throttle.begin(at(0), &attempt), Err(longest_ms), "whatever others say");
    }

    #[test]
    fn a_network_of_ipv6_is_one_guesser() {
        let mut throttle = throttle();
        let from = |host: u32| guess("ada", format!("2001:db8::{host:x}").parse().unwrap());
        for host in 1..=5 {
            assert_eq!(throttle.begin(at(0), &from(host)), Ok(()));
        }
        assert_eq!(throttle.begin(at(0), &from(6)), Err(1_000));
    }
}
