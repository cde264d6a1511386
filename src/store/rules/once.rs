//! What makes a request that appends an entry unique: a repeat is found among the entries. Knows no
//! backend.

use aldis_logic::job::Append;
use aldis_wire::{ClientMsgId, ConversationKey, RequestId, UserId};
use bytes::Bytes;

/// What is unique about a message that somebody sends, or another request with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SentKey {
    pub client_msg_id: ClientMsgId,
    pub sender: UserId,
    pub conversation: ConversationKey,
}

impl SentKey {
    pub(crate) fn of(job: &Append) -> Self {
        Self {
            client_msg_id: job.client_msg_id,
            sender: job.sender,
            conversation: job.conversation,
        }
    }
}

/// A request of somebody's in a conversation that is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Once {
    pub id: RequestId,
    /// What a repeat must repeat.
    pub body: Bytes,
}

impl Once {
    /// The id as entries keep it.
    pub(crate) fn client_msg_id(&self) -> ClientMsgId {
        ClientMsgId(self.id.0)
    }
}
