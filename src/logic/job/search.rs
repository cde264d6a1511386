//! SEARCH as the store is asked for it. Data only.

use aldis_wire::{ConversationKey, GroupId, Seq, UserId};
use bytes::Bytes;

use super::StoredMessage;
use crate::search::SearchQuery;

/// Texts in a mailbox and in the streams that its owner follows or followed; of each newest first.
#[derive(Clone, Debug)]
pub struct SearchMessages {
    /// Whose.
    pub user: UserId,
    /// For what.
    pub query: SearchQuery,
    /// Only of this one.
    pub conversation: Option<ConversationKey>,
    /// Of the page before; 0: from the beginning.
    pub cursor: u64,
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

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchPage {
    /// Of a mailbox or stream newest first, with their places there.
    pub entries: Vec<(Seq, StoredMessage)>,
    /// Of the next page; 0: everything was looked at.
    pub cursor: u64,
    /// Parts of the index that were found missing, for the writer to store.
    pub blocks: Vec<IndexBlock>,
}

/// A part of the index of a mailbox or stream; only the store knows what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBlock {
    /// Of this group's stream; `None`: of the mailbox.
    pub group: Option<GroupId>,
    /// Which part.
    pub number: u64,
    /// It.
    pub data: Bytes,
}
