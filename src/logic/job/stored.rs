//! What is stored, and why a job has no result: common to reading and writing.

use std::sync::Arc;

use aldis_wire::{ClientMsgId, Code, ConvSeq, ConversationKey, MsgId, MsgNo, Seq, UserId, pb};
use bytes::Bytes;
use smallvec::SmallVec;

use super::Ticket;
/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// A rule says no; nothing happened.
    #[error("{0}: {1}")]
    Refused(Code, &'static str),
    /// The store cannot be reached or the outcome is unknown; the same job may be tried again.
    #[error("store unavailable")]
    Unavailable,
    /// The job itself fails, again and again; others are not affected.
    #[error("internal error")]
    Internal,
}

impl JobError {
    /// The code of the response.
    pub fn code(self) -> Code {
        match self {
            JobError::Refused(code, _) => code,
            JobError::Unavailable => Code::Unavailable,
            JobError::Internal => Code::Internal,
        }
    }

    /// The text of the response.
    pub fn message(self) -> &'static str {
        match self {
            JobError::Refused(_, message) => message,
            JobError::Unavailable => "the store is unavailable, try again",
            JobError::Internal => "internal error",
        }
    }
}

/// A message or other event as stored: one copy for all readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub msg_id: MsgId,
    /// Where it is.
    pub conversation: ConversationKey,
    /// Position there.
    pub conv_seq: ConvSeq,
    /// Messages there up to and with this one.
    pub msg_no: MsgNo,
    /// Who made it.
    pub sender: UserId,
    /// As sent; of a server's own entry the id of the request that made it, or all zero.
    pub client_msg_id: ClientMsgId,
    /// What it is.
    pub kind: pb::MsgType,
    /// What it says.
    pub content: Bytes,
    /// What goes with it.
    pub extra: Bytes,
    /// What it refers to: an encoded `MessageRefs`, empty if there is nothing.
    pub refs: Bytes,
    /// When, Unix ms.
    pub time_ms: u64,
    /// Bit 0 recalled, bit 1 edited.
    pub flags: u32,
}

/// A commit made an entry: what fan-out delivers. Events of a batch come in commit order.
#[derive(Clone, Debug)]
pub struct Event {
    /// The entry, without seq.
    pub message: Arc<StoredMessage>,
    /// The mailboxes it went to, with its seq there.
    pub owners: SmallVec<[(UserId, Seq); 2]>,
    /// The request that made it: the response is that connection's own entry.
    pub origin: Ticket,
    /// The group is a stream, and the entry is in it: who follows it gets it there.
    pub stream: Option<InStream>,
}

/// Of an entry that is in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InStream {
    /// The entry before it that last changed who is a member: who is known to have been one at or
    /// after that place was one until this entry.
    pub member_seq: ConvSeq,
}
