//! Lists of records, written once for all backends. Knows no backend.

use aldis_logic::job::JobError;
use aldis_wire::{ConversationKey, GroupId, UserId, pb};

use crate::group::{Group, Role};
use crate::record::{GroupRequest, Key, Record, Relation, Row, Table};
use crate::refusal::{NO_SUCH_GROUP, NOT_ALLOWED};
use crate::rules::{Ties, is_listed, relation_info};

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

    /// Rows of a table with two keys: those with this first key and a second one above `after`,
    /// ascending. The second keys come with them.
    fn scan(
        &mut self,
        table: Table,
        first: u64,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Row)>, Self::Stop>;
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
        let rows = snapshot.scan(Relation::TABLE, user.0, after, STEP_ROWS)?;
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
        let rows = snapshot.scan(GroupRequest::TABLE, group.0, after, STEP_ROWS)?;
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
