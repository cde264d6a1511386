//! The node-wide session table: user -> live sessions on this node. Sharded, so that reactors and
//! writers rarely meet; holds facts about where, never about what was sent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aldis_wire::{ConnId, DeviceClass, Epoch, UserId};
use foldhash::fast::FixedState;
use parking_lot::RwLock;
use smallvec::SmallVec;

use crate::job::ReactorId;

/// Shards: many more than threads, so that two of them rarely want the same.
const SHARD_COUNT: usize = 64;

/// A live session on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Online {
    /// The reactor that serves it.
    pub reactor: ReactorId,
    /// Its connection there.
    pub conn: ConnId,
    /// Its device class.
    pub class: DeviceClass,
    /// Its epoch; the higher one of a class is the live one.
    pub epoch: Epoch,
}

/// What came of entering a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is in, alone in its class.
    New,
    /// It is in; the older one is out and must be told.
    Replaced(Online),
    /// A newer session of the class is there: this one lost.
    Fenced,
}

type Shard = RwLock<HashMap<UserId, SmallVec<[Online; 1]>, FixedState>>;

/// See the file's first line.
#[derive(Debug)]
pub struct SessionTable {
    shards: Box<[Shard]>,
}

impl Default for SessionTable {
    fn default() -> Self {
        Self { shards: (0..SHARD_COUNT).map(|_| Shard::default()).collect() }
    }
}

impl SessionTable {
    /// Enters a session unless a newer one of its class is there.
    pub fn enter(&self, user: UserId, online: Online) -> Entered {
        let mut shard = self.shard(user).write();
        let sessions = shard.entry(user).or_default();
        match sessions.iter_mut().find(|other| other.class == online.class) {
            Some(other) if other.epoch > online.epoch => Entered::Fenced,
            Some(other) => Entered::Replaced(std::mem::replace(other, online)),
            None => {
                sessions.push(online);
                Entered::New
            }
        }
    }

    /// Removes a session if it is still the one that is entered.
    pub fn leave(&self, user: UserId, online: Online) {
        if let Entry::Occupied(mut entry) = self.shard(user).write().entry(user) {
            entry.get_mut().retain(|other| *other != online);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    /// Calls `visit` with each session of the user here.
    pub fn for_each_of(&self, user: UserId, mut visit: impl FnMut(Online)) {
        if let Some(sessions) = self.shard(user).read().get(&user) {
            sessions.iter().copied().for_each(&mut visit);
        }
    }

    /// Whether the user has a session here.
    pub fn has_any(&self, user: UserId) -> bool {
        self.shard(user).read().contains_key(&user)
    }

    /// Whether this very session is entered.
    pub fn has(&self, user: UserId, online: Online) -> bool {
        let shard = self.shard(user).read();
        shard.get(&user).is_some_and(|sessions| sessions.contains(&online))
    }

    /// Sessions on this node.
    pub fn session_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().values().map(|s| s.len()).sum::<usize>()).sum()
    }

    fn shard(&self, user: UserId) -> &Shard {
        // Ids are dense, so their low bits spread evenly.
        &self.shards[user.0 as usize % SHARD_COUNT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online(index: u32, class: DeviceClass, epoch: u64) -> Online {
        let conn = ConnId { index, generation: 0 };
        Online { reactor: ReactorId(0), conn, class, epoch: Epoch(epoch) }
    }

    fn sessions(table: &SessionTable, user: UserId) -> Vec<Online> {
        let mut found = vec![];
        table.for_each_of(user, |online| found.push(online));
        found
    }

    #[test]
    fn the_higher_epoch_of_a_class_stays_whatever_the_order() {
        let (table, user) = (SessionTable::default(), UserId(10_001));
        let (first, second) = (online(1, DeviceClass::Phone, 1), online(2, DeviceClass::Phone, 2));
        assert_eq!(table.enter(user, second), Entered::New);
        assert_eq!(table.enter(user, first), Entered::Fenced);
        let third = online(3, DeviceClass::Phone, 3);
        assert_eq!(table.enter(user, third), Entered::Replaced(second));
        assert_eq!(sessions(&table, user), [third]);
    }

    #[test]
    fn classes_live_side_by_side_and_leaving_is_for_ones_own() {
        let (table, user) = (SessionTable::default(), UserId(10_001));
        let (phone, web) = (online(1, DeviceClass::Phone, 1), online(2, DeviceClass::Web, 1));
        table.enter(user, phone);
        table.enter(user, web);
        let newer = online(3, DeviceClass::Phone, 2);
        table.enter(user, newer);
        table.leave(user, phone);
        assert_eq!(sessions(&table, user), [newer, web]);
        table.leave(user, newer);
        table.leave(user, web);
        assert_eq!(table.session_count(), 0);
    }
}
