//! Requests on the wire by the seq of their frame. Knows what they are, not what answers mean.

use std::collections::BTreeMap;

use aldis_wire::{ClientMsgId, Command};

use super::outbox::Target;
use super::request::{Request, RequestNo};

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) enum Pending {
    Login { by_token: bool },
    Heartbeat,
    RefreshToken,
    Send { target: Target, client_msg_id: ClientMsgId },
    Sync { no: RequestNo, request: Request, stream: u64 },
    Mark { stream: u64, seq: u64 },
    Asked { no: RequestNo, request: Request },
}

impl Pending {
    pub(super) fn command(&self) -> Command {
        match self {
            Pending::Login { .. } => Command::Login,
            Pending::Heartbeat => Command::Heartbeat,
            Pending::RefreshToken => Command::RefreshToken,
            Pending::Send { .. } => Command::MsgSend,
            Pending::Sync { .. } => Command::MsgSync,
            Pending::Mark { .. } => Command::MarkDelivered,
            Pending::Asked { request, .. } => request.command(),
        }
    }
}

/// All of one connection.
#[derive(Debug, Default)]
pub(super) struct PendingTable {
    by_seq: BTreeMap<u32, (u64, Pending)>,
    last_seq: u32,
}

impl PendingTable {
    /// The seq for a request that goes out at `now`. Seqs start at 1 on each connection; 0 is the
    /// notifications'.
    pub(super) fn insert(&mut self, now: u64, pending: Pending) -> u32 {
        self.last_seq = self.last_seq.checked_add(1).unwrap_or(1);
        self.by_seq.insert(self.last_seq, (now, pending));
        self.last_seq
    }

    /// The request that this response answers.
    pub(super) fn remove(&mut self, seq: u32) -> Option<Pending> {
        self.by_seq.remove(&seq).map(|(_, pending)| pending)
    }

    /// When the oldest one went out.
    pub(super) fn oldest_sent_at(&self) -> Option<u64> {
        self.by_seq.first_key_value().map(|(_, &(sent_at, _))| sent_at)
    }

    /// Forgets all, oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pending> + use<> {
        self.last_seq = 0;
        std::mem::take(&mut self.by_seq).into_values().map(|(_, pending)| pending)
    }

    pub(super) fn len(&self) -> usize {
        self.by_seq.len()
    }
}
