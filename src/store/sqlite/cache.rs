//! What the single writer remembers between transactions, bounded. Knows no SQL.
//!
//! Nothing here is written to the database: a counter is the maximum of its range in an index and
//! is read from there when it is not remembered.

use aldis_wire::{ConversationKey, GroupId, UserId};

use crate::group::Group;
use crate::recent::Recent;
use crate::rules::Ties;

/// Mailbox heads: about 40 bytes each, 5 MiB.
const HEADS_MAX: usize = 1 << 17;
/// Conversations: about 60 bytes each, 4 MiB.
const CONVERSATIONS_MAX: usize = 1 << 16;
/// Member lists: at most 16 KiB each, 16 MiB. As many streams without members.
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
    /// Of a 1:1 conversation.
    pub ties: Ties,
}

/// Everything the writer remembers.
#[derive(Debug)]
pub(super) struct Caches {
    pub heads: Recent<UserId, u64>,
    pub conversations: Recent<ConversationKey, Conversation>,
    /// Those that are no streams.
    pub groups: Recent<GroupId, Group>,
    /// Streams without members: a message or a change needs few of them.
    pub stream_states: Recent<GroupId, Group>,
    pub users: Recent<UserId, ()>,
}

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            heads: Recent::new(HEADS_MAX),
            conversations: Recent::new(CONVERSATIONS_MAX),
            groups: Recent::new(GROUPS_MAX),
            stream_states: Recent::new(GROUPS_MAX),
            users: Recent::new(USERS_MAX),
        }
    }

    /// Holds the bounds. Only between transactions: what a transaction has counted up is in no
    /// index before it ends.
    pub(super) fn trim(&mut self) {
        self.heads.trim();
        self.conversations.trim();
        self.groups.trim();
        self.stream_states.trim();
        self.users.trim();
    }

    /// After a rollback or another process's commit nothing remembered is sure.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }
}
