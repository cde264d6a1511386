//! Changes of conversations and their messages after sending: what becomes of a message for all, and of
//! a conversation for one of its members.

use aldis_wire::{ConvSeq, ConversationKey, RequestId, UserId};
use bytes::Bytes;

/// A change of what a conversation is to one of its members alone.
#[derive(Clone, Debug)]
pub struct ViewJob {
    /// Whose view it is.
    pub user: UserId,
    /// Of what.
    pub conversation: ConversationKey,
    /// What.
    pub change: ViewChange,
}

/// See [`ViewJob`]. A repeat changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewChange {
    /// MARK_READ: everything up to and with this entry, which the user can see. Never goes back.
    Read(ConvSeq),
    /// CONVERSATION_UPDATE; what is `None` stays.
    Update {
        /// On top of the user's list, or no longer.
        pinned: Option<bool>,
        /// No notifications, or again.
        muted: Option<bool>,
        /// Everything up to and with this entry, which the user can see, is shown no longer. Never
        /// goes back.
        cleared: Option<ConvSeq>,
    },
}

/// A change of a message that was sent.
#[derive(Clone, Debug)]
pub struct MessageJob {
    /// Who changes it.
    pub actor: UserId,
    /// Where it is.
    pub conversation: ConversationKey,
    /// Its place there.
    pub conv_seq: ConvSeq,
    /// What.
    pub change: MessageChange,
}

/// See [`MessageJob`]. A repeat of one that took effect changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageChange {
    /// RECALL.
    Recall {
        /// How long after sending its sender may, ms.
        within_ms: u64,
    },
    /// EDIT.
    Edit {
        /// (conversation, actor, this) is unique, among messages too.
        request_id: RequestId,
        /// What the text says now; already validated.
        content: Bytes,
        /// What goes with it now.
        extra: Bytes,
        /// How long after sending its sender may, ms.
        within_ms: u64,
        /// As in [`Append`](super::Append).
        friends_only: bool,
    },
    /// REACT.
    React {
        /// What; already validated.
        reaction: String,
        /// Or taken back.
        is_added: bool,
        /// As in [`Append`](super::Append).
        friends_only: bool,
    },
}
