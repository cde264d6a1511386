//! Groups and stays in SQLite: what the rules read and change of them. Knows no rule.

use aldis_logic::job::CreateGroup;
use aldis_wire::{GroupId, RequestId, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::accounts::take_ids;
use super::batch::Batch;
use super::failure::{Stop, damaged};
use super::rows::number;
use crate::group::{Group, Member, Role, Stay};
use crate::page::Span;

impl Batch<'_> {
    /// A group that exists.
    pub(super) fn load_or_find_group(&mut self, id: GroupId) -> Result<Option<&Group>, Stop> {
        if self.caches.groups.peek(id).is_none()
            && let Some(group) = load(self.conn, id, usize::MAX)?
        {
            self.caches.groups.insert(id, group);
        }
        Ok(self.caches.groups.get_mut(id).map(|group| &*group))
    }

    pub(super) fn find_made_group(
        &self,
        creator: UserId,
        request_id: RequestId,
    ) -> Result<Option<GroupId>, Stop> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT group_id FROM im_group WHERE creator_id = ? AND request_id = ?",
            )?
            .query_row((creator.0 as i64, request_id.0), |row| number(row, 0))
            .optional()?;
        Ok(found.map(GroupId))
    }

    pub(super) fn insert_group(&mut self, job: &CreateGroup) -> Result<GroupId, Stop> {
        let group = take_ids(self.conn, "group", 1)?;
        self.conn
            .prepare_cached(
                "INSERT INTO im_group (group_id, name, creator_id, request_id, owner_id,
                     member_count, member_version, created_ms)
                 VALUES (?1, ?2, ?3, ?4, ?3, 0, 0, ?5)",
            )?
            .execute((
                group as i64,
                &job.name,
                job.owner.0 as i64,
                job.request_id.0,
                self.now_ms as i64,
            ))?;
        Ok(GroupId(group))
    }

    pub(super) fn store_group(
        &mut self,
        id: GroupId,
        group: Group,
        stays: &[Stay],
    ) -> Result<(), Stop> {
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE im_group SET owner_id = ?, member_count = ?, muted = ?, name = ?,
                     member_version = member_version + 1 WHERE group_id = ?",
            )?
            .execute((
                group.owner.0 as i64,
                group.members.len() as i64,
                group.is_muted,
                &*group.name,
                id.0 as i64,
            ))?;
        if changed != 1 {
            return Err(damaged("a group with members but without a row"));
        }
        let mut write = self.conn.prepare_cached(
            "INSERT INTO im_group_member
                 (group_id, user_id, join_seq, leave_seq, role, joined_ms, muted_until_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET leave_seq = ?4, role = ?5, muted_until_ms = ?7",
        )?;
        for Stay { member, leave_seq } in stays {
            write.execute((
                id.0 as i64,
                member.user.0 as i64,
                member.join_seq as i64,
                *leave_seq as i64,
                member.role as i64,
                self.now_ms as i64,
                member.muted_until_ms as i64,
            ))?;
        }
        drop(write);
        self.caches.groups.insert(id, group);
        Ok(())
    }

    pub(super) fn count_groups(&self, user: UserId) -> Result<u64, Stop> {
        let mut count = self.conn.prepare_cached(
            "SELECT count(*) FROM im_group_member WHERE user_id = ? AND leave_seq = 0",
        )?;
        Ok(count.query_row([user.0 as i64], |row| number(row, 0))?)
    }

    pub(super) fn has_stay(&self, group: GroupId, user: UserId) -> Result<bool, Stop> {
        let (Ok(group), Ok(user)) = (i64::try_from(group.0), i64::try_from(user.0)) else {
            return Ok(false);
        };
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM im_group_member WHERE group_id = ? AND user_id = ?")?
            .exists((group, user))?)
    }
}

/// A group with its members now, or with the first ones of them.
pub(super) fn load(
    conn: &Connection,
    id: GroupId,
    members_max: usize,
) -> Result<Option<Group>, Stop> {
    let Ok(key) = i64::try_from(id.0) else { return Ok(None) };
    let found = conn
        .prepare_cached("SELECT owner_id, muted, name FROM im_group WHERE group_id = ?")?
        .query_row([key], |row| {
            Ok((number(row, 0)?, row.get::<_, bool>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    let Some((owner, is_muted, name)) = found else { return Ok(None) };
    let members = conn
        .prepare_cached(
            "SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member
             WHERE group_id = ? AND leave_seq = 0 ORDER BY user_id LIMIT ?",
        )?
        .query_map((key, i64::try_from(members_max).unwrap_or(i64::MAX)), |row| {
            Ok((member(row)?, number(row, 2)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let with_role = |(member, role): (Member, u64)| {
        let role = Role::from_number(role).ok_or_else(|| damaged("a role"))?;
        Ok(Member { role, ..member })
    };
    let members = members.into_iter().map(with_role).collect::<Result<Vec<_>, Stop>>()?;
    let owner = UserId(owner);
    Ok(Some(Group { name: name.into(), owner, is_muted, members: members.into() }))
}

/// The role of a member now.
pub(super) fn role(conn: &Connection, group: GroupId, user: UserId) -> Result<Option<Role>, Stop> {
    let (Ok(group), Ok(user)) = (i64::try_from(group.0), i64::try_from(user.0)) else {
        return Ok(None);
    };
    let role = conn
        .prepare_cached(
            "SELECT role FROM im_group_member
             WHERE group_id = ? AND user_id = ? AND leave_seq = 0",
        )?
        .query_row((group, user), |row| number(row, 0))
        .optional()?;
    Ok(role.and_then(Role::from_number))
}

/// Somebody's stays, ascending; an open one ends with `u64::MAX`.
pub(super) fn stays(conn: &Connection, group: GroupId, user: UserId) -> Result<Vec<Span>, Stop> {
    let (Ok(group), Ok(user)) = (i64::try_from(group.0), i64::try_from(user.0)) else {
        return Ok(vec![]);
    };
    let stays = conn
        .prepare_cached(
            "SELECT join_seq, leave_seq FROM im_group_member
             WHERE group_id = ? AND user_id = ? ORDER BY join_seq",
        )?
        .query_map((group, user), |row| {
            let (first, last) = (number(row, 0)?, number(row, 1)?);
            Ok(Span { first, last: if last == 0 { u64::MAX } else { last } })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(stays)
}

/// Without its role.
fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        user: UserId(number(row, 0)?),
        join_seq: number(row, 1)?,
        role: Role::Member,
        muted_until_ms: number(row, 3)?,
    })
}
