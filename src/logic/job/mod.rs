//! What the logic asks of other threads and what they answer: store, hashing. Data only.
//!
//! A job carries a [`Ticket`] and its reply brings it back, so nothing waits in a table for it; a
//! reply to a connection that is gone is discarded by the generation in the ticket.

mod account;
mod attempt;
mod directory;
mod group;
mod hash;
mod message;
mod read;
mod search;
mod stored;
mod write;

use aldis_wire::{Command, ConnId};

pub use account::{
    Generations, NewUser, OpenSession, PresenceAudience, Revoked, SessionOpened, UpdateUser,
};
pub use attempt::{AttemptJob, AttemptReply, AttemptRequest, Verdict};
pub use directory::{
    BootId, DirectoryJob, DirectoryReply, DirectoryRequest, LocateReply, LocateRequest, NodeId,
    Registration, SessionRecord,
};
pub use group::{CreateGroup, GroupChange, GroupJob, GroupLimits, GroupUpdate, JoinMode};
pub use hash::{HashJob, HashReply, HashRequest, HashResult};
pub use message::{MessageChange, MessageJob, ViewChange, ViewJob};
pub use read::{
    Account, Audience, ConversationSummary, ConversationsPage, Credentials, Device, Followed,
    HistoryPage, HistoryRange, LoginState, ReadJob, ReadReply, ReadRequest, ReadResult, SyncPage,
    UserHead,
};
pub use search::{IndexBlock, SearchMessages, SearchNames, SearchPage};
pub use stored::{Event, InStream, JobError, StoredMessage};
pub use write::{
    Append, Appended, FailedSend, FriendChange, FriendJob, WriteJob, WriteReply, WriteRequest,
    Written,
};

/// A reactor of this node, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReactorId(pub u16);

/// Who waits for a reply: one request of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Where the connection lives.
    pub reactor: ReactorId,
    /// The connection.
    pub conn: ConnId,
    /// The request's seq in the frame header.
    pub request: u32,
    /// The request's command, for the answer.
    pub command: Command,
    /// Bytes that the request keeps in memory until its reply; queues are bounded by their sum.
    pub bytes: u32,
}

impl Ticket {
    /// For an entry of which the request's response does not tell: its connection gets it as all others
    /// do. No reactor has so many connections.
    pub fn of_nobody(self) -> Self {
        Self { conn: ConnId { index: u32::MAX, generation: 0 }, ..self }
    }
}
