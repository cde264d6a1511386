//! What each address has at this node: connections, those of them that are not logged in, passwords
//! that are being checked. One address shall not take what all need. Knows addresses and counts, no
//! connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

/// Shards: many more than threads, so that two of them rarely want the same.
const SHARD_COUNT: usize = 64;

/// How much one address may have, on one node; 0 is no limit. Reactors look before they count, so
/// each of them may let one more in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections.
    pub connections: u32,
    /// Connections that are not logged in.
    pub strangers: u32,
    /// Passwords that are hashed or wait for it: below what the pool takes, so that others find room.
    pub password_checks: u32,
}

/// An office or a mobile operator may stand behind one address.
impl Default for AddressLimits {
    fn default() -> Self {
        Self { connections: 4_096, strangers: 256, password_checks: 16 }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    connections: u32,
    strangers: u32,
    password_checks: u32,
}

/// See the file's first lines. Bounded by the connections that are open.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    /// Loopback, else, stands for every local tool at once.
    counts_loopback: bool,
    shards: Box<[Mutex<HashMap<IpAddr, Counts, FixedState>>]>,
}

impl Addresses {
    /// Nobody is there.
    pub fn new(limits: AddressLimits, counts_loopback: bool) -> Self {
        let shards = (0..SHARD_COUNT).map(|_| Mutex::default()).collect();
        Self { limits, counts_loopback, shards }
    }

    /// Whether another connection may come.
    pub fn admits(&self, address: IpAddr) -> bool {
        let counts = self.counts(address);
        has_room(counts.connections, self.limits.connections)
            && has_room(counts.strangers, self.limits.strangers)
    }

    /// Whether another password may be checked.
    pub fn has_check(&self, address: IpAddr) -> bool {
        has_room(self.counts(address).password_checks, self.limits.password_checks)
    }

    /// A connection came; nobody has logged in on it.
    pub fn enter(&self, address: IpAddr) {
        self.change(address, |counts| {
            counts.connections += 1;
            counts.strangers += 1;
        });
    }

    /// Somebody has logged in on it.
    pub fn log_in(&self, address: IpAddr) {
        self.change(address, |counts| counts.strangers -= 1);
    }

    /// It is gone.
    pub fn leave(&self, address: IpAddr, is_stranger: bool) {
        self.change(address, |counts| {
            counts.connections -= 1;
            counts.strangers -= u32::from(is_stranger);
        });
    }

    /// A password goes to the pool.
    pub fn begin_check(&self, address: IpAddr) {
        self.change(address, |counts| counts.password_checks += 1);
    }

    /// The pool answered.
    pub fn end_check(&self, address: IpAddr) {
        self.change(address, |counts| counts.password_checks -= 1);
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
        self.shards[shard_of(key)].lock().get(&key).copied().unwrap_or_default()
    }

    fn change(&self, address: IpAddr, change: impl FnOnce(&mut Counts)) {
        if !self.is_counted(address) {
            return;
        }
        let key = key_of(address);
        let mut shard = self.shards[shard_of(key)].lock();
        let counts = shard.entry(key).or_default();
        change(counts);
        if counts.connections == 0 && counts.password_checks == 0 {
            shard.remove(&key);
        }
    }
}

fn has_room(count: u32, max: u32) -> bool {
    max == 0 || count < max
}

/// Whoever has one address of an IPv6 network of 64 bits has all of them (RFC 4291 2.5.4); an IPv4
/// address that came by an IPv6 socket is that address.
fn key_of(address: IpAddr) -> IpAddr {
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

    const LIMITS: AddressLimits =
        AddressLimits { connections: 3, strangers: 2, password_checks: 1 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_limits_and_others_theirs() {
        let addresses = Addresses::new(LIMITS, false);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(address);
        addresses.enter(one);
        assert!(addresses.admits(one));
        addresses.enter(one);
        assert!(!addresses.admits(one) && addresses.admits(other));
        addresses.log_in(one);
        assert!(addresses.admits(one));
        addresses.enter(one);
        addresses.log_in(one);
        assert!(!addresses.admits(one), "one stranger, but three connections");
        addresses.leave(one, false);
        assert!(addresses.admits(one));
        addresses.begin_check(one);
        assert!(!addresses.has_check(one) && addresses.has_check(other));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let addresses = Addresses::new(LIMITS, true);
        let local = address("127.0.0.1");
        addresses.enter(local);
        addresses.begin_check(local);
        addresses.leave(local, true);
        addresses.end_check(local);
        assert!(addresses.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn loopback_counts_if_asked_for_and_zero_is_no_limit() {
        let local = address("127.0.0.1");
        for (counts_loopback, admits) in [(false, true), (true, false)] {
            let addresses = Addresses::new(LIMITS, counts_loopback);
            (0..3).for_each(|_| addresses.enter(local));
            assert_eq!(addresses.admits(local), admits);
        }
        let none = AddressLimits { connections: 0, strangers: 0, password_checks: 0 };
        let addresses = Addresses::new(none, true);
        (0..100_000).for_each(|_| addresses.enter(local));
        assert!(addresses.admits(local) && addresses.has_check(local));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let addresses = Addresses::new(LIMITS, false);
        addresses.enter(address("2001:db8::1"));
        addresses.enter(address("2001:db8::2"));
        assert!(!addresses.admits(address("2001:db8::3")));
        assert!(addresses.admits(address("2001:db8:0:1::3")));
        addresses.enter(address("::ffff:192.0.2.1"));
        addresses.enter(address("192.0.2.1"));
        assert!(!addresses.admits(address("192.0.2.1")));
    }
}
