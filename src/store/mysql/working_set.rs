//! What a batch works on: the rows it has locked and looked up, changed in memory until they are
//! written back. Also what the writer remembers between batches. Knows no SQL and no rules.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use aldis_logic::job::Appended;
use aldis_wire::{ConvSeq, ConversationKey, DeviceClass, GroupId, RequestId, UserId};
use foldhash::fast::RandomState;

use super::plan::SentKey;
use crate::group::Group;
use crate::recent::Recent;
use crate::record::{Key, Row, Table};
use crate::rules::{Profile, Target};
use crate::stays::StoredStay;

/// Users known to exist: about 20 bytes each, 5 MiB. They are never deleted.
const USERS_MAX: usize = 1 << 18;
/// Member lists: at most 16 KiB each, 16 MiB.
const GROUPS_MAX: usize = 1 << 10;
/// Member lists of streams, which only changes of them need: 640 KiB each at 20,000 members, 10 MiB.
const STREAMS_MAX: usize = 1 << 4;

/// A map of ids of ours.
pub(super) type Map<K, V> = HashMap<K, V, RandomState>;

/// What the writer remembers between batches. Positions are not among it: other nodes move them.
#[derive(Debug)]
pub(super) struct Caches {
    pub users: Recent<UserId, ()>,
    /// Each holds as long as the conversation's row has its version.
    pub groups: Recent<GroupId, VersionedGroup>,
    /// The same of streams.
    pub streams: Recent<GroupId, VersionedGroup>,
}

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            users: Recent::new(USERS_MAX),
            groups: Recent::new(GROUPS_MAX),
            streams: Recent::new(STREAMS_MAX),
        }
    }

    /// A group with all members, if it is known as of this version.
    pub(super) fn group(&mut self, id: GroupId, version: u64) -> Option<VersionedGroup> {
        let known = match self.groups.get_mut(id) {
            Some(known) if known.version == version => Some(known),
            _ => self.streams.get_mut(id).filter(|known| known.version == version),
        };
        known.cloned()
    }

    /// Remembers a group, if it has all members.
    pub(super) fn put_group(&mut self, id: GroupId, known: VersionedGroup) {
        if !known.has_all {
            return;
        }
        match known.group.stream {
            None => self.groups.insert(id, known),
            Some(_) => self.streams.insert(id, known),
        }
    }

    /// Holds the bounds.
    pub(super) fn trim(&mut self) {
        self.users.trim();
        self.groups.trim();
        self.streams.trim();
    }
}

/// Counters of a conversation, as in im_conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Entries.
    pub max_seq: u64,
    /// Messages among them.
    pub msg_count: u64,
    /// Rises with every change of anything.
    pub change_seq: u64,
    /// Rises with every change of members or roles.
    pub member_version: u64,
    /// Of a 1:1 conversation: what the two are to each other.
    pub ties: u64,
}

/// A conversation whose row is locked, or that the batch creates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conversation {
    pub now: Counters,
    /// What the row says in this transaction; zeros where there is none yet.
    pub stored: Counters,
}

/// A group as of some version of its members.
#[derive(Clone, Debug, Default)]
pub(super) struct VersionedGroup {
    /// Of which member_version this is.
    pub version: u64,
    /// It names all members: a new one does, a small one, and one that was asked for so.
    pub has_all: bool,
    pub group: Group,
}

/// The first sending of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Without its seq if it was in this batch.
    pub first: Appended,
    pub body_hash: i64,
    /// Which of the batch's entries it is; `None`: it was stored before.
    pub entry: Option<usize>,
}

/// Names a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DeviceKey {
    pub user: UserId,
    pub device_id: String,
}

/// A row of im_device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub class: u8,
    pub name: String,
    pub token_generation: u32,
    pub cursor: u64,
    pub login_ms: u64,
    pub is_changed: bool,
}

/// A row of im_session.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// The newest one.
    pub epoch: u64,
    /// The highest one that there ever was.
    pub issued: u64,
    /// Those up to this one were revoked.
    pub revoked: u64,
    /// On which device the newest one is; empty: that is not known.
    pub device_id: String,
    pub is_changed: bool,
}

/// A row of im_sequence, locked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequence {
    /// The next free number; 0: the row was not asked for.
    next: u64,
    is_changed: bool,
}

impl Sequence {
    pub(super) fn locked(next: u64) -> Self {
        Self { next, is_changed: false }
    }

    /// Takes a number. `None`: there is none.
    pub(super) fn take(&mut self) -> Option<u64> {
        let taken = self.next;
        if taken == 0 {
            return None;
        }
        self.next = taken.checked_add(1)?;
        self.is_changed = true;
        Some(taken)
    }

    /// The next free number, if some were taken.
    pub(super) fn changed(&self) -> Option<u64> {
        self.is_changed.then_some(self.next)
    }
}

/// A row that the rules ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredRow {
    /// `None`: it is not stored.
    pub row: Option<Row>,
    pub is_changed: bool,
}

/// A username that is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedUser {
    pub user: UserId,
    pub request_id: RequestId,
}

/// What a batch works on.
#[derive(Debug, Default)]
pub(super) struct WorkingSet {
    /// Those that exist.
    pub conversations: Map<ConversationKey, Conversation>,
    /// Those that exist, of the groups that the batch names; of streams perhaps without those members
    /// that it does not.
    pub groups: Map<GroupId, VersionedGroup>,
    pub sent: Map<SentKey, Sent>,
    /// Token generations of users whose rows are locked.
    pub users: Map<UserId, u32>,
    /// Rows of users that the rules ask for, and whether they were changed.
    pub profiles: Map<UserId, (Profile, bool)>,
    pub names: HashMap<String, NamedUser>,
    pub devices: HashMap<DeviceKey, Device>,
    pub sessions: Map<(UserId, DeviceClass), Session>,
    pub group_requests: Map<(UserId, RequestId), GroupId>,
    /// In how many groups a user is; those in none are not there.
    pub group_counts: Map<UserId, u64>,
    /// Who was ever in a group, as far as somebody who leaves asks.
    pub ever_members: HashSet<(GroupId, UserId)>,
    /// Rows that the rules ask for, also those that are not stored.
    pub records: Map<(Table, Key), StoredRow>,
    /// Entries that the rules ask for, of those that were stored before the batch.
    pub targets: Map<(ConversationKey, ConvSeq), Target>,
    /// Stays that the rules ask for, as stored, by join_seq.
    pub stays: Map<(GroupId, UserId), BTreeMap<u64, StoredStay>>,
    pub user_ids: Sequence,
    pub group_ids: Sequence,
}

/// The keys of what fits, ascending: the order in which rows are locked and written.
pub(super) fn sorted_keys<K: Ord + Hash + Clone, V, S>(
    map: &HashMap<K, V, S>,
    mut fits: impl FnMut(&V) -> bool,
) -> Vec<K> {
    let mut keys: Vec<K> =
        map.iter().filter(|(_, value)| fits(value)).map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_gives_each_number_once_and_none_unless_it_is_locked() {
        let mut ids = Sequence::locked(10_001);
        assert_eq!(ids.changed(), None);
        assert_eq!((ids.take(), ids.take()), (Some(10_001), Some(10_002)));
        assert_eq!(ids.changed(), Some(10_003));
        assert_eq!(Sequence::default().take(), None);
        assert_eq!(Sequence::locked(u64::MAX).take(), None);
    }
}
