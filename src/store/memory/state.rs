//! What a memory store holds, as plain maps in a fixed order, and one batch running on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aldis_logic::job::{
    Appended, Event, IndexBlock, JobError, StoredMessage, WriteJob, WriteRequest, Written,
};
use aldis_wire::{
    ClientMsgId, ConvSeq, ConversationKey, DeviceClass, GroupId, MsgId, RequestId, UserId, pb,
};
use bytes::Bytes;

use super::Bug;
use crate::group::{self, Member, Role, StreamState};
use crate::record::{Key, Row, Table};
use crate::rules::{self, Deferred, Ties};
use crate::search::Log;
use crate::snowflake::Snowflake;
use crate::stays::StoredStay;

/// Where ids of users and groups begin.
const FIRST_ID: u64 = 10_001;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub users: BTreeMap<UserId, User>,
    pub names: BTreeMap<String, UserId>,
    pub devices: BTreeMap<(UserId, String), Device>,
    pub sessions: BTreeMap<(UserId, DeviceClass), Session>,
    pub groups: BTreeMap<GroupId, Group>,
    pub group_requests: BTreeMap<(UserId, RequestId), GroupId>,
    pub conversations: BTreeMap<ConversationKey, Conversation>,
    /// By (owner, seq).
    pub mailboxes: BTreeMap<(UserId, u64), (ConversationKey, ConvSeq)>,
    /// Entries of users' own, by their place in the mailbox.
    pub own: BTreeMap<(UserId, u64), Arc<StoredMessage>>,
    pub heads: BTreeMap<UserId, u64>,
    pub sent: BTreeMap<(ConversationKey, UserId, ClientMsgId), Sent>,
    pub rows: BTreeMap<(Table, Key), Row>,
    /// Parts of the index of mailboxes.
    pub search_blocks: BTreeMap<(u64, u64), Bytes>,
    /// Cursors of devices in streams of groups.
    pub stream_cursors: BTreeMap<(UserId, String, GroupId), u64>,
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub username: String,
    pub nickname: String,
    pub avatar_url: String,
    pub password_phc: String,
    pub token_generation: u32,
    pub request_id: RequestId,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pub class: Option<DeviceClass>,
    pub name: String,
    pub login_ms: u64,
    pub token_generation: u32,
    pub cursor: u64,
}

/// Epochs of a user and class.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// The newest one.
    pub epoch: u64,
    /// The highest one that there ever was.
    pub issued: u64,
    /// Those up to this one were revoked.
    pub revoked: u64,
    /// On which device the newest one is; empty: that is not known.
    pub device_id: String,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub name: String,
    pub owner: UserId,
    pub created_ms: u64,
    pub is_muted: bool,
    pub stream: Option<StreamState>,
    pub stays: Vec<Stay>,
}

#[derive(Clone, Debug)]
pub(super) struct Stay {
    pub member: Member,
    pub leave_seq: Option<u64>,
    pub joined_ms: u64,
    pub from_seq: u64,
}

/// Entries, of which the first has conv_seq 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    pub entries: Vec<Arc<StoredMessage>>,
    pub message_count: u64,
    /// By the conv_seq of a message that was edited: that of the entry with its newest edit.
    pub edits: BTreeMap<ConvSeq, u64>,
    pub ties: Ties,
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub first: Appended,
    pub kind: pb::MsgType,
    pub content: Bytes,
    pub extra: Bytes,
    pub refs: Bytes,
}

impl State {
    pub(super) fn largest_id(&self) -> Option<MsgId> {
        // Nodes' ids are not in the order of their commits.
        let entries = self.conversations.values().flat_map(|conversation| &conversation.entries);
        entries.chain(self.own.values()).map(|entry| entry.msg_id).max()
    }

    pub(super) fn next_user_id(&self) -> UserId {
        UserId(self.users.keys().next_back().map_or(FIRST_ID, |last| last.0 + 1))
    }

    pub(super) fn next_group_id(&self) -> GroupId {
        GroupId(self.groups.keys().next_back().map_or(FIRST_ID, |last| last.0 + 1))
    }

    pub(super) fn entry(&self, key: ConversationKey, at: ConvSeq) -> Option<&Arc<StoredMessage>> {
        if key.is_own() {
            return self.own.get(&(UserId(key.lo), at.0));
        }
        let index = usize::try_from(at.0.checked_sub(1)?).ok()?;
        self.conversations.get(&key)?.entries.get(index)
    }

    pub(super) fn head(&self, user: UserId) -> u64 {
        self.heads.get(&user).copied().unwrap_or(0)
    }
}

impl Group {
    /// A user's stays, ascending.
    pub(super) fn stay_rows(&self, user: UserId) -> Vec<StoredStay> {
        let own = self.stays.iter().filter(|stay| stay.member.user == user);
        let stored = |stay: &Stay| {
            let left = stay.leave_seq.unwrap_or(0);
            StoredStay::of_row(stay.member.join_seq, left, stay.from_seq)
        };
        own.map(stored).collect()
    }

    /// The members now, as rules see them.
    pub(super) fn now(&self) -> group::Group {
        let members = self.current().map(|stay| stay.member).collect();
        let group = group::Group {
            name: self.name.as_str().into(),
            is_muted: self.is_muted,
            stream: self.stream,
            ..group::Group::default()
        };
        group.with_members(self.owner, members)
    }

    pub(super) fn current(&self) -> impl Iterator<Item = &Stay> {
        self.stays.iter().filter(|stay| stay.leave_seq.is_none())
    }

    pub(super) fn has(&self, user: UserId) -> bool {
        self.current().any(|stay| stay.member.user == user)
    }

    /// The role of a member now.
    pub(super) fn role(&self, user: UserId) -> Option<Role> {
        self.current().find(|stay| stay.member.user == user).map(|stay| stay.member.role)
    }
}

/// A batch that runs.
pub(super) struct Run<'a> {
    pub state: &'a mut State,
    pub ids: &'a mut Snowflake,
    pub poisoned: &'a BTreeSet<ClientMsgId>,
    pub bug: Option<Bug>,
    pub now_ms: u64,
    pub events: Vec<Event>,
    pub deferred: Deferred,
}

impl Run<'_> {
    /// Runs one job; one that fails has changed nothing.
    pub(super) fn job(&mut self, request: &WriteRequest) -> Result<Written, JobError> {
        let ticket = request.ticket;
        match &request.job {
            WriteJob::Append(job) => self.append(ticket, job),
            WriteJob::Register(user) => self.register(user),
            WriteJob::OpenSession(job) => self.open_session(job),
            WriteJob::ReleaseSession { user, class, epoch, before } => {
                self.release_session(*user, *class, *epoch, *before);
                Ok(Written::SessionReleased)
            }
            WriteJob::RevokeDevice { user, device_id } => {
                self.revoke_device(*user, device_id);
                Ok(Written::DeviceRevoked)
            }
            WriteJob::MarkDelivered { user, device_id, stream: None, seq } => {
                self.mark_delivered(*user, device_id, *seq)
            }
            WriteJob::StoreIndex { user, blocks } => {
                let key = |one: &IndexBlock| (Log::of(*user, one.group).index_key(), one.number);
                let blocks = blocks.iter().map(|one| (key(one), one.data.clone()));
                self.state.search_blocks.extend(blocks);
                Ok(Written::IndexStored)
            }
            WriteJob::MarkDelivered { user, device_id, stream: Some(group), seq } => {
                Ok(self.mark_stream(*user, device_id, *group, *seq))
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
            | WriteJob::NoteSeen { .. }) => rules::run(self, ticket, job),
        }
    }

    pub(super) fn next_id(&mut self) -> Result<MsgId, JobError> {
        self.ids.next_id(self.now_ms).map_err(|_| JobError::Unavailable)
    }
}
