//! Lists, written once for all backends: of records here, of conversations and what others have of
//! them in files of their own. Knows no backend.

mod conversations;
mod receipts;

use aldis_logic::job::{JobError, StoredMessage};
use aldis_wire::{ConversationKey, GroupId, MsgId, UserId, pb};

pub(crate) use conversations::{conversations, pinned, streams, views};
pub(crate) use receipts::{reactions, receipts};

use crate::group::{Group, Role};
use crate::page::Span;
use crate::record::{GroupRequest, Key, Record, Relation, Row, Table};
use crate::refusal::{NO_SUCH_GROUP, NOT_ALLOWED};
use crate::rules::{Ties, is_listed, relation_info};
use crate::stays::{StoredStay, member_spans, readable};

/// Rows that are looked at in one step: a list may hold few of the rows that it is made of.
const STEP_ROWS: usize = 500;

/// A snapshot of a backend, as lists see it.
pub(crate) trait Scan {
    /// Why it cannot be read; a refusal is one of the reasons.
    type Stop: From<JobError>;

    /// The role of a member now.
    fn role(&mut self, group: GroupId, user: UserId) -> Result<Option<Role>, Self::Stop>;

    /// Whether there is such a user.
    fn has_user(&mut self, user: UserId) -> Result<bool, Self::Stop>;

    /// Rows of a table, in the order of their keys as given.
    fn rows(&mut self, table: Table, keys: &[Key]) -> Result<Vec<Option<Row>>, Self::Stop>;

    /// What the two of each of these 1:1 conversations are to each other, in the same order.
    fn ties(&mut self, pairs: &[ConversationKey]) -> Result<Vec<Ties>, Self::Stop>;

    /// Who is in the group now, at most so many, and whether they may speak. Nobody is in one that there
    /// is not.
    fn group(&mut self, group: GroupId, members_max: usize) -> Result<Group, Self::Stop>;

    /// Rows whose keys begin with `prefix` and end with one more number, above `after`; ascending. The
    /// last numbers come with them.
    fn scan(
        &mut self,
        table: Table,
        prefix: &[u64],
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Row)>, Self::Stop>;
}

/// A place in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub conversation: ConversationKey,
    pub conv_seq: u64,
}

/// An entry without what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub place: Place,
    pub msg_id: MsgId,
    pub msg_no: u64,
    pub kind: pb::MsgType,
    pub time_ms: u64,
}

/// A conversation as one of its members stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Highest conv_seq.
    pub head: u64,
    /// Of a group: the stays, ascending.
    pub stays: Vec<StoredStay>,
}

impl Standing {
    /// What came to the member, ascending: what counts for a list of conversations.
    fn visible(&self, key: ConversationKey) -> Vec<Span> {
        match key.as_group() {
            Some(_) => member_spans(&self.stays, self.head),
            None => self.all(),
        }
    }

    /// What the member can read, ascending: with what was said before, if the group allowed that.
    fn readable(&self, key: ConversationKey) -> Vec<Span> {
        match key.as_group() {
            Some(_) => readable(&self.stays, self.head),
            None => self.all(),
        }
    }

    fn all(&self) -> Vec<Span> {
        let all = Span { first: 1, last: self.head };
        if self.head == 0 { vec![] } else { vec![all] }
    }
}

/// A question for the newest message within some places of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub conversation: ConversationKey,
    /// Ascending, and not empty.
    pub spans: Vec<Span>,
    /// Of this sender only.
    pub sender: Option<UserId>,
}

/// A question for the first entry of a conversation in a part of a mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstAbove {
    pub owner: UserId,
    pub above: u64,
    pub last: u64,
}

/// A snapshot of a backend, as lists of conversations see it. Answers come in the order of the
/// questions.
pub(crate) trait Look: Scan {
    /// What the user pins, newest pin first.
    fn pinned(&mut self, user: UserId) -> Result<Vec<ConversationKey>, Self::Stop>;

    /// The members of a group now, above `after`, ascending.
    fn members(
        &mut self,
        group: GroupId,
        after: UserId,
        limit: usize,
    ) -> Result<Vec<UserId>, Self::Stop>;

    /// The highest MARK_DELIVERED of the users' devices.
    fn cursors(&mut self, users: &[UserId]) -> Result<Vec<u64>, Self::Stop>;

    /// The heads of mailboxes.
    fn heads(&mut self, owners: &[UserId]) -> Result<Vec<u64>, Self::Stop>;

    /// Entries of a mailbox from `from` down, with their seqs.
    fn mailbox(
        &mut self,
        owner: UserId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Outline)>, Self::Stop>;

    /// The conv_seq of the first entry of the conversation in each part of a mailbox.
    fn first_above(
        &mut self,
        conversation: ConversationKey,
        parts: &[FirstAbove],
    ) -> Result<Vec<Option<u64>>, Self::Stop>;

    /// How a user stands in conversations.
    fn standings(
        &mut self,
        user: UserId,
        keys: &[ConversationKey],
    ) -> Result<Vec<Standing>, Self::Stop>;

    /// Entries that exist.
    fn outlines(&mut self, places: &[Place]) -> Result<Vec<Outline>, Self::Stop>;

    /// The newest messages; each conversation is asked for once.
    fn newest(&mut self, wanted: &[Search]) -> Result<Vec<Option<Outline>>, Self::Stop>;

    /// Entries that exist, with at least `bytes_max` + 1 bytes of content and of extra where there
    /// are so many.
    fn messages(
        &mut self,
        entries: &[Outline],
        bytes_max: usize,
    ) -> Result<Vec<StoredMessage>, Self::Stop>;
}

/// FRIEND_LIST.
pub(crate) fn relations<S: Scan>(
    snapshot: &mut S,
    user: UserId,
    list: pb::RelationList,
    after: UserId,
    limit: usize,
) -> Result<pb::FriendListResp, S::Stop> {
    let mut relations = Vec::new();
    let mut after = after.0;
    loop {
        let rows = snapshot.scan(Relation::TABLE, &[user.0], after, STEP_ROWS)?;
        let is_end = rows.len() < STEP_ROWS;
        for (other, row) in rows {
            let relation = Relation::from_row(row).ok_or(JobError::Internal)?;
            after = other;
            if !is_listed(&relation, list) {
                continue;
            }
            if relations.len() == limit {
                return Ok(pb::FriendListResp { relations, more: true });
            }
            relations.push(relation_info(UserId(other), &relation));
        }
        if is_end {
            return Ok(pb::FriendListResp { relations, more: false });
        }
    }
}

/// GROUP_REQUESTS, for owner and admins.
pub(crate) fn group_requests<S: Scan>(
    snapshot: &mut S,
    reader: UserId,
    group: GroupId,
    after: UserId,
    limit: usize,
) -> Result<pb::GroupRequestsResp, S::Stop> {
    match snapshot.role(group, reader)? {
        Some(Role::Admin | Role::Owner) => {}
        Some(Role::Member) => return Err(NOT_ALLOWED.into()),
        None => return Err(NO_SUCH_GROUP.into()),
    }
    let mut requests = Vec::new();
    let mut after = after.0;
    loop {
        let rows = snapshot.scan(GroupRequest::TABLE, &[group.0], after, STEP_ROWS)?;
        let is_end = rows.len() < STEP_ROWS;
        for (user_id, row) in rows {
            let request = GroupRequest::from_row(row).ok_or(JobError::Internal)?;
            after = user_id;
            if !request.is_waiting() {
                continue;
            }
            if requests.len() == limit {
                return Ok(pb::GroupRequestsResp { requests, more: true });
            }
            requests.push(pb::GroupRequestInfo {
                group_id: group.0,
                user_id,
                reason: request.reason,
                state: pb::GroupRequestState::Waiting.into(),
                asked_ms: request.asked_ms,
            });
        }
        if is_end {
            return Ok(pb::GroupRequestsResp { requests, more: false });
        }
    }
}
