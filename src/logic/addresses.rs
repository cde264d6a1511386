//! What each address has at this node: connections, those of them that are not logged in, passwords
//! that are being checked. One address shall not take what all need. Knows addresses and counts, no
//! connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use crate::bucket::{Bucket, Rate};
use crate::now::Now;

/// Shards: many more than threads, so that two of them rarely want the same.
const SHARD_COUNT: usize = 64;

/// Addresses of one shard that are remembered for the connections that came to nothing; when there are more
/// all of those are forgotten that have none now: they may have as many again.
const SHARD_ADDRESSES_MAX: usize = 4_096;

/// How much one address may have, on one node; 0 is no limit. Reactors look before they count, so
/// each of them may let one more in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections.
    pub connections: u32,
    /// Connections that are not logged in.
    pub strangers: u32,
    /// Connections that end without a login, per second over a longer time: each costs as much as
    /// hundreds of messages, one that does not come in a tenth of it.
    pub fruitless: Rate,
    /// Passwords that are hashed or wait for it: below what the pool takes, so that others find room.
    pub password_checks: u32,
}

/// An office or a mobile operator may stand behind one address.
impl Default for AddressLimits {
    fn default() -> Self {
        let fruitless = Rate { per_s: 4, burst: 40 };
        Self { connections: 4_096, strangers: 256, fruitless, password_checks: 16 }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    connections: u32,
    strangers: u32,
    password_checks: u32,
    fruitless: Bucket,
}

/// See the file's first lines. Bounded by the connections that are open, and those that were for nothing.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    /// Loopback, else, stands for every local tool at once.
    counts_loopback: bool,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    addresses: HashMap<IpAddr, Counts, FixedState>,
    /// With more of them those are forgotten that have no connection.
    forget_at: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self { addresses: HashMap::default(), forget_at: SHARD_ADDRESSES_MAX }
    }
}

impl Addresses {
    /// Nobody is there.
    pub fn new(limits: AddressLimits, counts_loopback: bool) -> Self {
        let shards = (0..SHARD_COUNT).map(|_| Mutex::default()).collect();
        Self { limits, counts_loopback, shards }
    }

    /// Whether another connection may come.
    pub fn admits(&self, address: IpAddr, now: Now) -> bool {
        let mut counts = self.counts(address);
        has_room(counts.connections, self.limits.connections)
            && has_room(counts.strangers, self.limits.strangers)
            && counts.fruitless.take(self.limits.fruitless, now.mono_ms).is_ok()
    }

    /// Whether another password may be checked.
    pub fn has_check(&self, address: IpAddr) -> bool {
        has_room(self.counts(address).password_checks, self.limits.password_checks)
    }

    /// A connection came; nobody has logged in on it.
    pub fn enter(&self, address: IpAddr, now: Now) {
        self.change(address, now, |counts| {
            counts.connections += 1;
            counts.strangers += 1;
        });
    }

    /// Somebody has logged in on it.
    pub fn log_in(&self, address: IpAddr, now: Now) {
        self.change(address, now, |counts| counts.strangers -= 1);
    }

    /// It is gone.
    pub fn leave(&self, address: IpAddr, is_stranger: bool, now: Now) {
        self.change(address, now, |counts| {
            counts.connections -= 1;
            if is_stranger {
                counts.strangers -= 1;
                // Those that were let in beside the last one may be too many.
                let _ = counts.fruitless.take(self.limits.fruitless, now.mono_ms);
            }
        });
    }

    /// A password goes to the pool.
    pub fn begin_check(&self, address: IpAddr, now: Now) {
        self.change(address, now, |counts| counts.password_checks += 1);
    }

    /// The pool answered.
    pub fn end_check(&self, address: IpAddr, now: Now) {
        self.change(address, now, |counts| counts.password_checks -= 1);
    }

    /// Whether anything is counted for this address.
    pub fn is_counted(&self, address: IpAddr) -> bool {
        self.counts_loopback || !address.is_loopback()
    }

    fn counts(&self, address: IpAddr) -> Counts {
        if !self.is_counted(address) {
            return Counts::default();
        }
        let key = key_of(address);
        self.shards[shard_of(key)].lock().addresses.get(&key).copied().unwrap_or_default()
    }

    fn change(&self, address: IpAddr, now: Now, change: impl FnOnce(&mut Counts)) {
        if !self.is_counted(address) {
            return;
        }
        let key = key_of(address);
        let mut shard = self.shards[shard_of(key)].lock();
        let Shard { addresses: shard, forget_at } = &mut *shard;
        let counts = shard.entry(key).or_default();
        change(counts);
        if !counts.is_in_use() && counts.fruitless.is_full(now.mono_ms) {
            shard.remove(&key);
        }
        if shard.len() > *forget_at {
            shard.retain(|_, counts| counts.is_in_use());
            // Not soon again, however many are in use.
            *forget_at = 2 * shard.len() + SHARD_ADDRESSES_MAX;
        }
    }
}

impl Counts {
    fn is_in_use(&self) -> bool {
        self.connections > 0 || self.password_checks > 0
    }
}

fn has_room(count: u32, max: u32) -> bool {
    max == 0 || count < max
}

/// Whoever has one address of an IPv6 network of 64 bits has all of them (RFC 4291 2.5.4); an IPv4
/// address that came by an IPv6 socket is that address.
pub(crate) fn key_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

fn shard_of(key: IpAddr) -> usize {
    use std::hash::BuildHasher;
    FixedState::default().hash_one(key) as usize % SHARD_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AddressLimits = AddressLimits {
        connections: 3,
        strangers: 2,
        fruitless: Rate { per_s: 1, burst: 2 },
        password_checks: 1,
    };

    const NOW: Now = Now { mono_ms: 1_000, unix_ms: 0 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_limits_and_others_theirs() {
        let addresses = Addresses::new(LIMITS, false);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(address);
        addresses.enter(one, NOW);
        assert!(addresses.admits(one, NOW));
        addresses.enter(one, NOW);
        assert!(!addresses.admits(one, NOW) && addresses.admits(other, NOW));
        addresses.log_in(one, NOW);
        assert!(addresses.admits(one, NOW));
        addresses.enter(one, NOW);
        addresses.log_in(one, NOW);
        assert!(!addresses.admits(one, NOW), "one stranger, but three connections");
        addresses.leave(one, false, NOW);
        assert!(addresses.admits(one, NOW));
        addresses.begin_check(one, NOW);
        assert!(!addresses.has_check(one) && addresses.has_check(other));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let addresses = Addresses::new(LIMITS, true);
        let local = address("127.0.0.1");
        addresses.enter(local, NOW);
        addresses.begin_check(local, NOW);
        addresses.log_in(local, NOW);
        addresses.leave(local, false, NOW);
        addresses.end_check(local, NOW);
        assert!(addresses.shards.iter().all(|shard| shard.lock().addresses.is_empty()));
    }

    #[test]
    fn loopback_counts_if_asked_for_and_zero_is_no_limit() {
        let local = address("127.0.0.1");
        for (counts_loopback, admits) in [(false, true), (true, false)] {
            let addresses = Addresses::new(LIMITS, counts_loopback);
            (0..3).for_each(|_| addresses.enter(local, NOW));
            assert_eq!(addresses.admits(local, NOW), admits);
        }
        let none = AddressLimits {
            connections: 0,
            strangers: 0,
            fruitless: Rate::UNLIMITED,
            password_checks: 0,
        };
        let addresses = Addresses::new(none, true);
        (0..100_000).for_each(|_| addresses.enter(local, NOW));
        assert!(addresses.admits(local, NOW) && addresses.has_check(local));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let addresses = Addresses::new(LIMITS, false);
        addresses.enter(address("2001:db8::1"), NOW);
        addresses.enter(address("2001:db8::2"), NOW);
        assert!(!addresses.admits(address("2001:db8::3"), NOW));
        assert!(addresses.admits(address("2001:db8:0:1::3"), NOW));
        addresses.enter(address("::ffff:192.0.2.1"), NOW);
        addresses.enter(address("192.0.2.1"), NOW);
        assert!(!addresses.admits(address("192.0.2.1"), NOW));
    }

    #[test]
    fn who_comes_for_nothing_too_often_has_to_wait_and_is_forgotten_in_the_end() {
        let addresses = Addresses::new(LIMITS, false);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(address);
        let for_nothing = |address| {
            addresses.enter(address, NOW);
            addresses.leave(address, true, NOW);
        };
        for_nothing(one);
        assert!(addresses.admits(one, NOW));
        for_nothing(one);
        assert!(!addresses.admits(one, NOW) && addresses.admits(other, NOW));
        let later = Now { mono_ms: NOW.mono_ms + 1_000, ..NOW };
        assert!(addresses.admits(one, later));
        for number in 0..2 * (SHARD_COUNT * SHARD_ADDRESSES_MAX) as u32 {
            for_nothing(std::net::Ipv4Addr::from_bits(number).into());
        }
        let most = addresses.shards.iter().map(|shard| shard.lock().addresses.len()).max();
        // One was in use when the others were forgotten.
        assert!(most <= Some(SHARD_ADDRESSES_MAX + 2), "{most:?}");
    }
}
