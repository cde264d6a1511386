//! A batch whose jobs run, in memory, on the rows that were locked for it. Knows nothing of when
//! its transaction began and how it ends.
//!
//! What runs here is step A of an append: its place in the conversation. Its places in mailboxes
//! are step B, see `mailboxes`; the two are apart because owners and conversations may once be in
//! different databases.

use std::collections::BTreeMap;

use aldis_logic::job::{
    InStream, IndexBlock, JobError, StoredMessage, Ticket, WriteJob, WriteRequest, Written,
};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, RequestId, Seq, UserId};
use smallvec::SmallVec;

use super::claim::Claim;
use super::failure::{Abort, Stop};
use super::working_set::{Caches, DeviceKey, WorkingSet};
use crate::group::Stay;
use crate::record::{Key, Table};
use crate::rules::{self, BodyChange, Deferred};
use crate::search::Log;
use crate::stored_hash::StoredHash;

/// What a job gave, but for the seq, which is known once the mailboxes are locked.
#[derive(Debug)]
pub(super) struct Outcome {
    pub written: Written,
    /// The entry whose seq in its sender's mailbox belongs into it.
    pub entry: Option<usize>,
}

impl From<Written> for Outcome {
    fn from(written: Written) -> Self {
        Self { written, entry: None }
    }
}

/// An entry with its place in the conversation.
#[derive(Debug)]
pub(super) struct Entry {
    pub message: StoredMessage,
    /// Most of the server's own entries have no client_msg_id.
    pub has_client_msg_id: bool,
    pub body_hash: i64,
    /// Ascending. Seqs come with step B.
    pub owners: SmallVec<[(UserId, Seq); 2]>,
    /// Of the sender, if it is one of the owners.
    pub sender_seq: Seq,
    pub origin: Ticket,
    pub stream: Option<InStream>,
}

/// A cursor to move once the mailbox's head is known.
#[derive(Debug)]
pub(super) struct Mark {
    pub device: DeviceKey,
    pub seq: Seq,
    /// How many entries the batch had made when it was asked for.
    pub entry_count: usize,
}

/// A row of im_stream_cursor to raise.
#[derive(Debug)]
pub(super) struct StreamMark<'a> {
    pub user: UserId,
    pub device_id: &'a str,
    pub group: GroupId,
    pub seq: Seq,
}

/// A row of im_user to insert.
#[derive(Debug)]
pub(super) struct NewAccount<'a> {
    pub user: UserId,
    pub account: &'a aldis_logic::job::NewUser,
}

/// A row of im_group to insert.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewGroup {
    pub group: GroupId,
    pub creator: UserId,
    pub request_id: RequestId,
}

/// A row of im_group_member to insert or to change.
#[derive(Clone, Copy, Debug)]
pub(super) struct StayRow {
    pub group: GroupId,
    pub stay: Stay,
}

/// What the jobs made beside changing the working set.
#[derive(Debug, Default)]
pub(super) struct Made<'a> {
    pub entries: Vec<Entry>,
    pub marks: Vec<Mark>,
    pub stream_marks: Vec<StreamMark<'a>>,
    /// What entries say from now on, also some of this batch.
    pub bodies: BTreeMap<(ConversationKey, ConvSeq), BodyChange>,
    /// Rows that are dropped before others are written, by the first numbers of their keys.
    pub dropped: Vec<(Table, Key)>,
    /// Parts of the index of mailboxes and streams.
    pub search_blocks: BTreeMap<(u64, u64), &'a [u8]>,
    pub accounts: Vec<NewAccount<'a>>,
    pub groups: Vec<NewGroup>,
    /// In the order in which they happened.
    pub stays: Vec<StayRow>,
    /// Groups with other members or another owner than before, ascending and each once in the end.
    pub changed_groups: Vec<GroupId>,
}

/// A batch that runs: the requests outlive what the writer lends it.
pub(super) struct Batch<'r, 'w> {
    pub set: WorkingSet,
    pub made: Made<'r>,
    pub deferred: Deferred,
    pub caches: &'w Caches,
    pub claim: &'w Claim,
    pub stored_hash: &'w StoredHash,
    pub now_ms: u64,
    #[cfg(feature = "planted-bugs")]
    pub planted: &'w super::planted::Planted,
}

impl<'r> Batch<'r, '_> {
    /// Runs the jobs in order.
    pub(super) fn run_all(
        &mut self,
        requests: &'r [WriteRequest],
    ) -> Result<Vec<Result<Outcome, JobError>>, Abort> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for (number, request) in requests.iter().enumerate() {
            self.deferred.job = number;
            match self.run(request) {
                Ok(outcome) => outcomes.push(Ok(outcome)),
                Err(Stop::Refuse(why)) => outcomes.push(Err(why)),
                Err(Stop::Abort(why)) => return Err(why),
            }
        }
        let first = self.made.entries.len();
        let told = rules::finish(self).map_err(Stop::into_abort)?;
        for (entry, (job, _)) in (first..).zip(told) {
            let written = Written::Changed { seq: Seq(0) };
            outcomes[job] = Ok(Outcome { written, entry: Some(entry) });
        }
        self.made.changed_groups.sort_unstable();
        self.made.changed_groups.dedup();
        Ok(outcomes)
    }

    /// Runs one job. A refused one has changed nothing.
    fn run(&mut self, request: &'r WriteRequest) -> Result<Outcome, Stop> {
        let ticket = request.ticket;
        match &request.job {
            WriteJob::Append(job) => self.append(ticket, job),
            WriteJob::Register(user) => self.register(user),
            WriteJob::OpenSession(job) => self.open_session(job),
            WriteJob::ReleaseSession { user, class, epoch, before } => {
                Ok(self.release_session(*user, *class, *epoch, *before))
            }
            WriteJob::RevokeDevice { user, device_id } => Ok(self.revoke_device(*user, device_id)),
            WriteJob::MarkDelivered { user, device_id, stream: None, seq } => {
                self.mark_delivered(*user, device_id, *seq)
            }
            WriteJob::StoreIndex { user, blocks } => {
                let key = |one: &IndexBlock| (Log::of(*user, one.group).index_key(), one.number);
                let blocks = blocks.iter().map(|block| (key(block), &block.data[..]));
                self.made.search_blocks.extend(blocks);
                Ok(Written::IndexStored.into())
            }
            &WriteJob::MarkDelivered { user, ref device_id, stream: Some(group), seq } => {
                self.made.stream_marks.push(StreamMark { user, device_id, group, seq });
                Ok(Written::Marked.into())
            }
            job @ (WriteJob::CreateGroup(_)
            | WriteJob::InviteMembers { .. }
            | WriteJob::LeaveGroup { .. }
            | WriteJob::Group(_)
            | WriteJob::Friend(_)
            | WriteJob::Message(_)
            | WriteJob::View(_)
            | WriteJob::UpdateUser(_)
            | WriteJob::EndDevice { .. }
            | WriteJob::ChangePassword { .. }
            | WriteJob::NoteSeen { .. }) => self.run_by_rules(ticket, job),
        }
    }

    fn run_by_rules(&mut self, ticket: Ticket, job: &'r WriteJob) -> Result<Outcome, Stop> {
        let first = self.made.entries.len();
        let written = rules::run(self, ticket, job)?;
        let actor = rules::actor(job);
        let new = self.made.entries.iter().enumerate().skip(first);
        let own = new.into_iter().find(|(_, entry)| entry.message.sender == actor);
        Ok(Outcome { written, entry: own.map(|(entry, _)| entry) })
    }

    /// Whether the user exists, as far as the plan asked.
    pub(super) fn user_exists(&self, user: UserId) -> bool {
        self.set.users.contains_key(&user) || self.caches.users.peek(user).is_some()
    }
}
