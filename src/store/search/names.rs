//! SEARCH of friends and groups: all of a user's are looked at, so there is no index. Knows no backend.

use aldis_logic::job::{JobError, SearchNames};
use aldis_logic::search::SearchQuery;
use aldis_wire::{GroupId, UserId, pb};

use crate::lists::Scan;
use crate::record::{Record, Relation};
use crate::rules::is_listed;

/// Rows that are looked at in one step.
const STEP_ROWS: usize = 500;
/// Rows that one request looks at: all groups of a user, most users' friends.
const ROWS_MAX: usize = 2_000;

/// A snapshot of a backend, as a search of names sees it.
pub(crate) trait Names: Scan {
    /// Those of the users that there are.
    fn users(&mut self, users: &[UserId]) -> Result<Vec<pb::UserInfo>, Self::Stop>;

    /// Groups that the user is in now, ascending, above `after`.
    fn groups(
        &mut self,
        user: UserId,
        after: GroupId,
        limit: usize,
    ) -> Result<pb::GroupListResp, Self::Stop>;
}

/// A page of hits, ascending by id.
pub(crate) fn search_names<N: Names>(
    snapshot: &mut N,
    user: UserId,
    names: SearchNames,
    query: &SearchQuery,
    after: u64,
    limit: usize,
) -> Result<pb::SearchResp, N::Stop> {
    let mut page = pb::SearchResp { cursor: after, ..pb::SearchResp::default() };
    for _ in 0..ROWS_MAX / STEP_ROWS {
        let is_end = match names {
            SearchNames::Friends => friends(snapshot, user, query, limit, &mut page)?,
            SearchNames::Groups => groups(snapshot, user, query, limit, &mut page)?,
        };
        if is_end {
            page.cursor = 0;
            break;
        }
        if page.users.len() + page.groups.len() >= limit {
            break;
        }
    }
    Ok(page)
}

/// One step; true: there are no more. The page's cursor is the last one that was looked at.
fn friends<N: Names>(
    snapshot: &mut N,
    user: UserId,
    query: &SearchQuery,
    limit: usize,
    page: &mut pb::SearchResp,
) -> Result<bool, N::Stop> {
    let rows = snapshot.scan(Relation::TABLE, &[user.0], page.cursor, STEP_ROWS)?;
    let is_last = rows.len() < STEP_ROWS;
    let mut friends = Vec::new();
    let last = rows.last().map_or(page.cursor, |(id, _)| *id);
    for (id, row) in rows {
        let relation = Relation::from_row(row).ok_or(JobError::Internal)?;
        if is_listed(&relation, pb::RelationList::Friends) {
            friends.push((UserId(id), relation.remark));
        }
    }
    let ids: Vec<UserId> = friends.iter().map(|(id, _)| *id).collect();
    let mut users = snapshot.users(&ids)?.into_iter().peekable();
    for (id, remark) in friends {
        let Some(info) = users.next_if(|info| info.user_id == id.0) else { continue };
        if !query.matches(&format!("{}\n{}\n{remark}", info.username, info.nickname)) {
            continue;
        }
        if page.users.len() >= limit {
            return Ok(false);
        }
        page.cursor = id.0;
        page.users.push(info);
    }
    page.cursor = last;
    Ok(is_last)
}

fn groups<N: Names>(
    snapshot: &mut N,
    user: UserId,
    query: &SearchQuery,
    limit: usize,
    page: &mut pb::SearchResp,
) -> Result<bool, N::Stop> {
    let step = snapshot.groups(user, GroupId(page.cursor), STEP_ROWS)?;
    let last = step.groups.last().map_or(page.cursor, |group| group.group_id);
    for group in step.groups {
        if !query.matches(&group.name) {
            continue;
        }
        if page.groups.len() >= limit {
            return Ok(false);
        }
        page.cursor = group.group_id;
        page.groups.push(group);
    }
    page.cursor = last;
    Ok(!step.more)
}
