//! Lists of records, written once for all backends. Knows no backend.

use aldis_logic::job::JobError;
use aldis_wire::{UserId, pb};

use crate::record::{Record, Relation, Row, Table};
use crate::rules::{is_listed, relation_info};

/// Rows that are looked at in one step: a list may hold few of the rows that it is made of.
const STEP_ROWS: usize = 500;

/// A snapshot of a backend, as lists see it.
pub(crate) trait Scan {
    /// Why it cannot be read; a refusal is one of the reasons.
    type Stop: From<JobError>;

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
