//! How often one user's sessions on this node may ask, by kind of request. Knows users and kinds, no
//! session.

use std::collections::HashMap;

use aldis_wire::{Code, UserId};
use foldhash::fast::FixedState;
use parking_lot::Mutex;

use crate::addresses::AddressLimits;
use crate::bucket::{Bucket, Rate};
use crate::class::Class;
use crate::now::Now;
use crate::request::Refusal;

/// Shards: many more than threads, so that two of them rarely want the same.
const SHARD_COUNT: usize = 64;
/// Users of one shard who are remembered; those whose buckets are full are forgotten first, then all:
/// whoever is forgotten has a burst more.
const SHARD_USERS_MAX: usize = 4_096;
/// Kinds with a rate.
const KIND_COUNT: usize = 4;

/// How often one user may ask and how much one address may have, on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// MSG_SEND.
    pub sends: Rate,
    /// Whatever else changes something.
    pub changes: Rate,
    /// Questions.
    pub queries: Rate,
    /// What is told and not stored.
    pub told: Rate,
    /// See there.
    pub addresses: AddressLimits,
    /// They hold for connections from this machine, too: its own tools may ask as often as they like
    /// else.
    pub on_loopback: bool,
}

/// Far above what people do, and far below what hurts others.
impl Default for Rates {
    fn default() -> Self {
        Self {
            sends: Rate { per_s: 50, burst: 500 },
            changes: Rate { per_s: 50, burst: 500 },
            queries: Rate { per_s: 100, burst: 1_000 },
            told: Rate { per_s: 20, burst: 200 },
            addresses: AddressLimits::default(),
            on_loopback: false,
        }
    }
}

type Shard = Mutex<HashMap<UserId, [Bucket; KIND_COUNT], FixedState>>;

/// What is left of the rates, for all users of the node.
#[derive(Debug)]
pub(crate) struct RateLimits {
    shards: Box<[Shard]>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { shards: (0..SHARD_COUNT).map(|_| Shard::default()).collect() }
    }
}

impl RateLimits {
    /// Counts a request, or says when the next one may come.
    pub fn take(&self, rates: &Rates, user: UserId, class: Class, now: Now) -> Result<(), Refusal> {
        let (kind, rate) = match class {
            Class::Session => return Ok(()),
            Class::Send => (0, rates.sends),
            Class::Change => (1, rates.changes),
            Class::Query => (2, rates.queries),
            Class::Ephemeral => (3, rates.told),
        };
        let mono_ms = now.mono_ms;
        let mut shard = self.shards[user.0 as usize % SHARD_COUNT].lock();
        if shard.len() >= SHARD_USERS_MAX && !shard.contains_key(&user) {
            shard.retain(|_, buckets| !buckets.iter().all(|bucket| bucket.is_full(mono_ms)));
            if shard.len() >= SHARD_USERS_MAX {
                shard.clear();
            }
        }
        let bucket = &mut shard.entry(user).or_default()[kind];
        bucket.take(rate, mono_ms).map_err(|retry_after_ms| Refusal {
            retry_after_ms,
            ..Refusal::new(Code::RateLimited, "too many requests of this kind")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 0 }
    }

    #[test]
    fn users_and_kinds_have_rates_of_their_own() {
        let limits = RateLimits::default();
        let rates = Rates { sends: Rate { per_s: 1, burst: 2 }, ..Rates::default() };
        let take = |user, class| limits.take(&rates, UserId(user), class, at(1_000));
        assert!(take(1, Class::Send).is_ok() && take(1, Class::Send).is_ok());
        let refusal = take(1, Class::Send).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::RateLimited, 1_000));
        assert!(take(1, Class::Change).is_ok() && take(2, Class::Send).is_ok());
        assert!((0..1_000).all(|_| take(1, Class::Session).is_ok()), "a heartbeat is always one");
    }

    #[test]
    fn memory_is_bounded() {
        let limits = RateLimits::default();
        let rates = Rates::default();
        for user in 0..2 * SHARD_USERS_MAX as u64 {
            let user = UserId(user * SHARD_COUNT as u64);
            limits.take(&rates, user, Class::Query, at(1)).unwrap();
        }
        assert!(limits.shards[0].lock().len() <= SHARD_USERS_MAX);
    }
}
