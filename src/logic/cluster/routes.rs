//! The route cache of a node: where users have sessions besides this node, as far as it was found
//! out lately. Shared by the thread that commits and the one of the link; knows neither.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use aldis_wire::{DeviceClass, Epoch, UserId};
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::planted::{self, Bug};
use crate::job::{NodeId, SessionRecord};

/// How long a route is taken for true. A session that begins elsewhere is not known for so long,
/// which the head check 1.5 s after its login makes up for. ms
pub const FRESH_MS: u64 = 1_000;
/// How long a route is used at all, while a newer one is looked for. ms
const KEPT_MS: u64 = 60_000;
/// Shards: many more than threads, so that two of them rarely want the same.
const SHARD_COUNT: usize = 64;
/// Routes of one shard, in all some 260,000 users that were written to within a minute. A shard that
/// is full forgets what is old, or else everything: it costs a look into the directory each.
const SHARD_ROUTES_MAX: usize = 4_096;

const _: () = assert!(FRESH_MS < 1_500, "the head check after a login covers what a route missed");

/// A session on another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteSession {
    /// Where.
    pub node: NodeId,
    /// Of this class.
    pub class: DeviceClass,
    /// Its epoch.
    pub epoch: Epoch,
}

impl RemoteSession {
    pub(super) fn of(record: &SessionRecord) -> Self {
        Self { node: record.node, class: record.class, epoch: record.epoch }
    }
}

/// The sessions of a user on other nodes; few.
pub type RemoteSessions = SmallVec<[RemoteSession; 1]>;

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// These and no others.
    Fresh(RemoteSessions),
    /// These some time ago.
    Stale(RemoteSessions),
    /// Nothing.
    Unknown,
}

type Shard = Mutex<HashMap<UserId, Known, FixedState>>;

#[derive(Debug)]
struct Known {
    sessions: RemoteSessions,
    at_ms: u64,
    /// A node denied a part of it.
    is_doubtful: bool,
}

/// See the file's first line. Times are monotonic ms of one clock.
#[derive(Debug)]
pub struct Routes {
    shards: Box<[Shard]>,
    /// There is another node that something can be sent to.
    has_peers: AtomicBool,
}

impl Default for Routes {
    fn default() -> Self {
        let shards = (0..SHARD_COUNT).map(|_| Shard::default()).collect();
        Self { shards, has_peers: AtomicBool::new(false) }
    }
}

impl Routes {
    /// Whether an entry of this user need not be looked at by the link: there is no other node, or
    /// it is known that the user is on none.
    pub fn is_only_here(&self, user: UserId, now_ms: u64) -> bool {
        let shard = self.shard(user).lock();
        let known = shard.get(&user).filter(|known| known.is_fresh(now_ms));
        known.is_some_and(|known| known.sessions.is_empty())
    }

    /// Whether there is another node to send to.
    pub fn has_peers(&self) -> bool {
        self.has_peers.load(Ordering::Relaxed)
    }

    pub(super) fn set_has_peers(&self, has_peers: bool) {
        self.has_peers.store(has_peers, Ordering::Relaxed);
    }

    pub(super) fn of(&self, user: UserId, now_ms: u64) -> Route {
        let shard = self.shard(user).lock();
        match shard.get(&user) {
            Some(known) if known.is_fresh(now_ms) => Route::Fresh(known.sessions.clone()),
            Some(known) if known.at_ms + KEPT_MS > now_ms && !known.sessions.is_empty() => {
                Route::Stale(known.sessions.clone())
            }
            _ => Route::Unknown,
        }
    }

    pub(super) fn put(&self, user: UserId, now_ms: u64, sessions: RemoteSessions) {
        let mut shard = self.shard(user).lock();
        if planted::is_active(Bug::RoutesForEver) && shard.contains_key(&user) {
            return;
        }
        if shard.len() >= SHARD_ROUTES_MAX && !shard.contains_key(&user) {
            shard.retain(|_, known| known.is_fresh(now_ms));
            if shard.len() >= SHARD_ROUTES_MAX {
                shard.clear();
            }
        }
        shard.insert(user, Known { sessions, at_ms: now_ms, is_doubtful: false });
    }

    /// The node has no such session: what else is known may be old, too.
    pub(super) fn remove(&self, user: UserId, wrong: RemoteSession) {
        if let Some(known) = self.shard(user).lock().get_mut(&user) {
            known.sessions.retain(|session| *session != wrong);
            known.is_doubtful = true;
        }
    }

    /// The session of that class there has a higher epoch.
    pub(super) fn raise(&self, user: UserId, stale: RemoteSession, epoch: Epoch) {
        if let Some(known) = self.shard(user).lock().get_mut(&user) {
            for session in known.sessions.iter_mut().filter(|session| **session == stale) {
                session.epoch = epoch;
            }
        }
    }

    fn shard(&self, user: UserId) -> &Shard {
        // Ids are dense, so their low bits spread evenly.
        &self.shards[user.0 as usize % SHARD_COUNT]
    }
}

impl Known {
    fn is_fresh(&self, now_ms: u64) -> bool {
        let is_new = !self.is_doubtful && now_ms < self.at_ms + FRESH_MS;
        is_new || planted::is_active(Bug::RoutesForEver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId(7);

    fn session(node: u16, epoch: u64) -> RemoteSession {
        RemoteSession { node: NodeId(node), class: DeviceClass::Phone, epoch: Epoch(epoch) }
    }

    fn list(sessions: &[RemoteSession]) -> RemoteSessions {
        sessions.iter().copied().collect()
    }

    #[test]
    fn routes_grow_old_and_nobody_is_offline_for_longer_than_a_second() {
        let routes = Routes::default();
        assert_eq!(routes.of(USER, 0), Route::Unknown);
        routes.put(USER, 0, list(&[]));
        assert!(routes.is_only_here(USER, FRESH_MS - 1));
        assert!(!routes.is_only_here(USER, FRESH_MS));
        assert_eq!(routes.of(USER, FRESH_MS), Route::Unknown);
        routes.put(USER, 0, list(&[session(2, 5)]));
        assert!(!routes.is_only_here(USER, 0));
        assert_eq!(routes.of(USER, FRESH_MS - 1), Route::Fresh(list(&[session(2, 5)])));
        assert_eq!(routes.of(USER, FRESH_MS), Route::Stale(list(&[session(2, 5)])));
        assert_eq!(routes.of(USER, KEPT_MS), Route::Unknown);
    }

    #[test]
    fn what_a_node_denies_is_forgotten_and_a_newer_epoch_is_learned() {
        let routes = Routes::default();
        routes.put(USER, 5_000, list(&[session(2, 5), session(3, 9)]));
        routes.raise(USER, session(3, 9), Epoch(10));
        routes.remove(USER, session(2, 4));
        assert_eq!(routes.of(USER, 5_000), Route::Stale(list(&[session(2, 5), session(3, 10)])));
        routes.remove(USER, session(2, 5));
        assert_eq!(routes.of(USER, 5_000), Route::Stale(list(&[session(3, 10)])));
    }

    #[test]
    fn a_shard_that_is_full_forgets() {
        let routes = Routes::default();
        for number in 0..2 * SHARD_ROUTES_MAX as u64 {
            routes.put(UserId(number * SHARD_COUNT as u64), number, list(&[]));
        }
        let len = routes.shards[0].lock().len();
        assert!(len <= SHARD_ROUTES_MAX, "{len}");
    }
}
