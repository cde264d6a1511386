//! How often one user's sessions on this node may ask, by kind of request. Knows users and kinds, no
//! session.

use std::collections::HashMap;

use aldis_wire::limits::PIPELINED_REQUESTS_MAX;
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
/// Buckets of a user: one for each kind of requests, one for bytes, one for groups.
const BUCKET_COUNT: usize = 6;
/// The bucket of bytes.
const BYTES: usize = 4;
/// The bucket of groups.
const GROUPS: usize = 5;
/// Seconds of an hour.
const HOUR_S: u32 = 3_600;

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
    /// Bytes of all requests together; the burst holds the largest of them.
    pub bytes: Rate,
    /// Groups that are made, or asked to let one in, in an hour; as many at once. 0 is no limit.
    pub groups_per_hour: u32,
    /// Requests of one connection without an answer; further ones are not read.
    pub in_flight: usize,
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
            bytes: Rate { per_s: 1 << 20, burst: 10 << 20 },
            groups_per_hour: 200,
            in_flight: PIPELINED_REQUESTS_MAX,
            addresses: AddressLimits::default(),
            on_loopback: false,
        }
    }
}

type Shard = Mutex<HashMap<UserId, [Bucket; BUCKET_COUNT], FixedState>>;

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
    /// Counts a request of so many bytes, or says when it may come.
    pub fn take(
        &self,
        rates: &Rates,
        user: UserId,
        (class, bytes): (Class, u32),
        now: Now,
    ) -> Result<(), Refusal> {
        let kind = match class {
            Class::Session => None,
            Class::Send => Some((0, rates.sends)),
            Class::Change => Some((1, rates.changes)),
            Class::Query => Some((2, rates.queries)),
            Class::Ephemeral => Some((3, rates.told)),
        };
        self.change(user, now, |buckets| {
            if let Some((number, rate)) = kind {
                let taken = buckets[number].take(rate, now.mono_ms);
                taken.map_err(|wait_ms| too_many("too many requests of this kind", wait_ms))?;
            }
            let taken = buckets[BYTES].take_many(rates.bytes, bytes, now.mono_ms);
            if kind.is_none() {
                // They are counted, but whoever sends too much shall not be taken for dead.
                return Ok(());
            }
            taken.map_err(|wait_ms| too_many("too many bytes", wait_ms))
        })
    }

    /// Counts a group that is made or asked to let somebody in, or says when the next one may come.
    pub fn take_group(&self, rates: &Rates, user: UserId, now: Now) -> Result<(), Refusal> {
        let per_hour = rates.groups_per_hour;
        if per_hour == 0 {
            return Ok(());
        }
        self.change(user, now, |buckets| {
            let interval_s = (HOUR_S / per_hour).max(1);
            let taken = buckets[GROUPS].take_slow(interval_s, per_hour, now.mono_ms);
            taken.map_err(|wait_ms| too_many("too many groups", wait_ms))
        })
    }

    /// Gives back the room of those who were forgotten.
    pub fn shrink(&self) {
        for shard in &self.shards {
            shard.lock().shrink_to_fit();
        }
    }

    fn change(
        &self,
        user: UserId,
        now: Now,
        change: impl FnOnce(&mut [Bucket; BUCKET_COUNT]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mono_ms = now.mono_ms;
        let mut shard = self.shards[user.0 as usize % SHARD_COUNT].lock();
        if shard.len() >= SHARD_USERS_MAX && !shard.contains_key(&user) {
            shard.retain(|_, buckets| !buckets.iter().all(|bucket| bucket.is_full(mono_ms)));
            if shard.len() >= SHARD_USERS_MAX {
                shard.clear();
            }
        }
        change(shard.entry(user).or_default())
    }
}

fn too_many(message: &'static str, retry_after_ms: u32) -> Refusal {
    Refusal { retry_after_ms, ..Refusal::new(Code::RateLimited, message) }
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
        let take = |user, class| limits.take(&rates, UserId(user), (class, 0), at(1_000));
        assert!(take(1, Class::Send).is_ok() && take(1, Class::Send).is_ok());
        let refusal = take(1, Class::Send).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::RateLimited, 1_000));
        assert!(take(1, Class::Change).is_ok() && take(2, Class::Send).is_ok());
        assert!((0..1_000).all(|_| take(1, Class::Session).is_ok()), "a heartbeat is always one");
    }

    #[test]
    fn bytes_and_groups_have_rates_as_well() {
        let limits = RateLimits::default();
        let bytes = Rate { per_s: 100, burst: 1_000 };
        let rates = Rates { bytes, groups_per_hour: 2, ..Rates::default() };
        let take = |class, bytes| limits.take(&rates, UserId(1), (class, bytes), at(0));
        assert!(take(Class::Send, 600).is_ok() && take(Class::Session, 400).is_ok());
        assert_eq!(take(Class::Query, 1).unwrap_err().retry_after_ms, 10);
        let group = |at_ms| limits.take_group(&rates, UserId(1), at(at_ms));
        assert!(group(0).is_ok() && group(0).is_ok());
        assert_eq!(group(0).unwrap_err().retry_after_ms, 1_800_000);
        assert!(group(1_800_000).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let limits = RateLimits::default();
        let rates = Rates::default();
        for user in 0..2 * SHARD_USERS_MAX as u64 {
            let user = UserId(user * SHARD_COUNT as u64);
            limits.take(&rates, user, (Class::Query, 0), at(1)).unwrap();
        }
        assert!(limits.shards[0].lock().len() <= SHARD_USERS_MAX);
    }
}
