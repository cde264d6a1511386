//! SEARCH as the store is asked for it. Data only.

use aldis_wire::{ConversationKey, Seq, UserId};
use bytes::Bytes;

use super::StoredMessage;
use crate::search::SearchQuery;

/// Texts in a mailbox, newest first.
#[derive(Clone, Debug)]
pub struct SearchMessages {
    /// Whose.
    pub user: UserId,
    /// For what.
    pub query: SearchQuery,
    /// Only of this one.
    pub conversation: Option<ConversationKey>,
    /// Below this; 0: from the newest one.
    pub before: Seq,
    /// At most so many.
    pub limit: usize,
    /// Unix time: what is old enough can be indexed.
    pub now_ms: u64,
}

/// What has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchNames {
    /// The user's friends.
    Friends,
    /// The groups that the user is in now.
    Groups,
}

/// A page of what was found in a mailbox.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchPage {
    /// Newest first.
    pub entries: Vec<(Seq, StoredMessage)>,
    /// `before` of the next page; 0: everything was looked at.
    pub next: Seq,
    /// Parts of the index that were found missing, for the writer to store.
    pub blocks: Vec<IndexBlock>,
}

/// A part of the index of a mailbox; only the store knows what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBlock {
    /// Which part.
    pub number: u64,
    /// It.
    pub data: Bytes,
}
