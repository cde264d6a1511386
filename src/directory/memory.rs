//! The directory of one machine: a map in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aldis_logic::job::{Registration, SessionRecord};
use aldis_wire::UserId;
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::Directory;

/// See the file's first line.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    sessions: HashMap<UserId, SmallVec<[SessionRecord; 1]>, FixedState>,
}

impl Directory for MemoryDirectory {
    fn register(&mut self, record: SessionRecord) -> Registration {
        let sessions = self.sessions.entry(record.user).or_default();
        match sessions.iter_mut().find(|other| other.class == record.class) {
            Some(other) if other.epoch > record.epoch => Registration::Fenced,
            Some(other) => {
                let older = std::mem::replace(other, record);
                Registration::Live { replaced: (older != record).then_some(older) }
            }
            None => {
                sessions.push(record);
                Registration::Live { replaced: None }
            }
        }
    }

    fn unregister(&mut self, record: SessionRecord) {
        if let Entry::Occupied(mut entry) = self.sessions.entry(record.user) {
            entry.get_mut().retain(|other| *other != record);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    fn sessions_of(&mut self, users: &[UserId]) -> Vec<SessionRecord> {
        users.iter().filter_map(|user| self.sessions.get(user)).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use aldis_logic::job::{BootId, NodeId};
    use aldis_wire::{DeviceClass, Epoch};

    use super::*;

    fn record(epoch: u64, class: DeviceClass, node: u16) -> SessionRecord {
        let (epoch, node, boot) = (Epoch(epoch), NodeId(node), BootId(1));
        SessionRecord { user: UserId(10_001), class, epoch, node, boot }
    }

    #[test]
    fn the_higher_epoch_wins_whatever_the_order() {
        let mut directory = MemoryDirectory::default();
        let (first, second) = (record(1, DeviceClass::Phone, 1), record(2, DeviceClass::Phone, 2));
        assert_eq!(directory.register(second), Registration::Live { replaced: None });
        assert_eq!(directory.register(first), Registration::Fenced);
        assert_eq!(directory.sessions_of(&[UserId(10_001), UserId(1)]), [second]);
        let third = record(3, DeviceClass::Phone, 1);
        assert_eq!(directory.register(third), Registration::Live { replaced: Some(second) });
        assert_eq!(directory.register(third), Registration::Live { replaced: None });
    }

    #[test]
    fn only_ones_own_record_is_taken_back() {
        let mut directory = MemoryDirectory::default();
        let (old, new) = (record(1, DeviceClass::Web, 1), record(2, DeviceClass::Web, 2));
        directory.register(old);
        directory.register(new);
        directory.unregister(old);
        assert_eq!(directory.sessions_of(&[UserId(10_001)]), [new]);
        directory.unregister(new);
        assert!(directory.sessions.is_empty());
    }
}
