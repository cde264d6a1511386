//! What the single writer remembers between transactions, bounded. Knows no SQL.
//!
//! Nothing here is written to the database: a counter is the maximum of its range in an index and
//! is read from there when it is not remembered.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use aldis_wire::{ConversationKey, GroupId, UserId};
use foldhash::fast::RandomState;

/// Mailbox heads: about 40 bytes each, 5 MiB.
const HEADS_MAX: usize = 1 << 17;
/// Conversations: about 60 bytes each, 4 MiB.
const CONVERSATIONS_MAX: usize = 1 << 16;
/// Member lists: at most 4 KiB each, 4 MiB.
const GROUPS_MAX: usize = 1 << 10;
/// Users known to exist: about 20 bytes each, 1 MiB.
const USERS_MAX: usize = 1 << 16;

/// Counters of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversation {
    /// What its index keys are packed with.
    pub number: u64,
    /// Highest conv_seq.
    pub head: u64,
    /// Messages, without other events.
    pub message_count: u64,
}

/// Members of a group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub owner: UserId,
    /// Ascending.
    pub members: Arc<[UserId]>,
}

impl Group {
    pub(super) fn has(&self, user: UserId) -> bool {
        self.members.binary_search(&user).is_ok()
    }
}

/// Everything the writer remembers.
#[derive(Debug)]
pub(super) struct Caches {
    pub heads: Recent<UserId, u64>,
    pub conversations: Recent<ConversationKey, Conversation>,
    pub groups: Recent<GroupId, Group>,
    pub users: Recent<UserId, ()>,
}

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            heads: Recent::new(HEADS_MAX),
            conversations: Recent::new(CONVERSATIONS_MAX),
            groups: Recent::new(GROUPS_MAX),
            users: Recent::new(USERS_MAX),
        }
    }

    /// Holds the bounds. Only between transactions: what a transaction has counted up is in no
    /// index before it ends.
    pub(super) fn trim(&mut self) {
        self.heads.trim();
        self.conversations.trim();
        self.groups.trim();
        self.users.trim();
    }

    /// After a rollback or another process's commit nothing remembered is sure.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }
}

/// A map that keeps about its most recently used entries: two generations, of which the older one
/// is dropped when the younger one has grown to half the limit. Costs nothing per use, unlike a list.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    entries_max: usize,
}

impl<K: Eq + Hash + Copy, V> Recent<K, V> {
    fn new(entries_max: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), entries_max }
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        if !self.old.is_empty()
            && !self.young.contains_key(&key)
            && let Some(value) = self.old.remove(&key)
        {
            self.young.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    /// Looks without making it recent.
    pub(super) fn peek(&self, key: K) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    fn trim(&mut self) {
        if self.young.len() >= self.entries_max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::new(8);
        for key in 0..100u32 {
            recent.insert(key, key);
            assert_eq!(recent.get_mut(0).copied(), Some(0), "used all the time");
            recent.trim();
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get_mut(1), None);
        assert_eq!(recent.peek(99), Some(&99));
    }

    #[test]
    fn the_newer_value_wins() {
        let mut recent = Recent::new(2);
        recent.insert(1, 'a');
        recent.trim();
        recent.insert(1, 'b');
        assert_eq!(recent.peek(1), Some(&'b'));
        assert_eq!(recent.get_mut(1), Some(&mut 'b'));
    }
}
