//! Groups and stays in SQLite: what the rules read and change of them. Knows no rule.

use aldis_logic::job::CreateGroup;
use aldis_wire::{GroupId, RequestId, UserId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::accounts::take_ids;
use super::batch::Batch;
use super::failure::{Stop, damaged};
use super::rows::number;
use crate::group::{Group, Member, Role, Seats, Stay, StreamState};
use crate::stays::StoredStay;

impl Batch<'_> {
    /// A group that exists, with all members.
    pub(super) fn load_or_find_group(&mut self, id: GroupId) -> Result<Option<Group>, Stop> {
        if let Some(known) = self.caches.groups.get_mut(id) {
            return Ok(Some(known.clone()));
        }
        let Some(group) = self.load_group_row(id)? else { return Ok(None) };
        let group = Group { members: self.load_members(id)?.into(), ..group };
        self.remember_group(id, &group);
        Ok(Some(group))
    }

    /// A group with those who are asked for: a message to a stream needs no member but its sender.
    pub(super) fn load_seats(
        &mut self,
        id: GroupId,
        seats: Seats<'_>,
    ) -> Result<Option<Group>, Stop> {
        if let Some(known) = self.caches.groups.get_mut(id) {
            return Ok(Some(known.clone()));
        }
        if self.caches.stream_states.get_mut(id).is_none() {
            let Some(group) = self.load_group_row(id)? else { return Ok(None) };
            if group.stream.is_none() {
                return self.load_or_find_group(id);
            }
            self.caches.stream_states.insert(id, group);
        }
        let Some(state) = self.caches.stream_states.peek(id).cloned() else { return Ok(None) };
        let mut members = if seats.has_staff { self.load_staff(id)? } else { Vec::new() };
        for &user in seats.users {
            members.extend(self.load_member(id, user)?);
        }
        members.sort_unstable_by_key(|member| member.user);
        members.dedup();
        Ok(Some(Group { members: members.into(), ..state }))
    }

    fn remember_group(&mut self, id: GroupId, group: &Group) {
        if group.stream.is_none() {
            self.caches.groups.insert(id, group.clone());
            return;
        }
        self.caches.groups.remove(id);
        let state = Group { members: [].into(), ..group.clone() };
        self.caches.stream_states.insert(id, state);
    }

    /// Without its members.
    fn load_group_row(&self, id: GroupId) -> Result<Option<Group>, Stop> {
        let Ok(key) = i64::try_from(id.0) else { return Ok(None) };
        let found = self
            .conn
            .prepare_cached(
                "SELECT owner_id, muted, name, begin_seq, end_seq, member_seq, member_count
                 FROM im_group WHERE group_id = ?",
            )?
            .query_row([key], |row| {
                Ok(Group {
                    owner: UserId(number(row, 0)?),
                    is_muted: row.get(1)?,
                    name: row.get::<_, String>(2)?.into(),
                    stream: StreamState::of_row(number(row, 3)?, number(row, 4)?, number(row, 5)?),
                    member_count: number(row, 6)? as usize,
                    members: [].into(),
                })
            })
            .optional()?;
        Ok(found)
    }

    /// A member now.
    fn load_member(&self, id: GroupId, user: UserId) -> Result<Option<Member>, Stop> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member
                 WHERE group_id = ? AND user_id = ? AND leave_seq = 0",
            )?
            .query_row((id.0 as i64, user.0 as i64), |row| Ok((member(row)?, number(row, 2)?)))
            .optional()?;
        found.map(with_role).transpose()
    }

    /// Owner and admins, and the longest-standing of the others: the second one, too, because one of them may
    /// be who leaves.
    fn load_staff(&self, id: GroupId) -> Result<Vec<Member>, Stop> {
        let members = self
            .conn
            .prepare_cached(
                "SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member
                 WHERE group_id = ?1 AND leave_seq = 0 AND role > ?2
                 UNION ALL SELECT * FROM (
                     SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member
                     WHERE group_id = ?1 AND leave_seq = 0 AND role = ?2
                     ORDER BY join_seq, user_id LIMIT 2)",
            )?
            .query_map((id.0 as i64, Role::Member as i64), |row| {
                Ok((member(row)?, number(row, 2)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        members.into_iter().map(with_role).collect()
    }

    fn load_members(&self, id: GroupId) -> Result<Vec<Member>, Stop> {
        let members = self
            .conn
            .prepare_cached(
                "SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member
                 WHERE group_id = ? AND leave_seq = 0 ORDER BY user_id",
            )?
            .query_map([id.0 as i64], |row| Ok((member(row)?, number(row, 2)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        members.into_iter().map(with_role).collect()
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
        let stream = group.stream.unwrap_or_default();
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE im_group SET owner_id = ?, member_count = ?, muted = ?, name = ?,
                     begin_seq = ?, end_seq = ?, member_seq = ?,
                     member_version = member_version + 1 WHERE group_id = ?",
            )?
            .execute((
                group.owner.0 as i64,
                group.member_count as i64,
                group.is_muted,
                &*group.name,
                stream.begin_seq as i64,
                stream.end_seq as i64,
                stream.member_seq as i64,
                id.0 as i64,
            ))?;
        if changed != 1 {
            return Err(damaged("a group with members but without a row"));
        }
        let mut write = self.conn.prepare_cached(
            "INSERT INTO im_group_member
                 (group_id, user_id, join_seq, leave_seq, role, joined_ms, muted_until_ms, from_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET leave_seq = ?4, role = ?5, muted_until_ms = ?7",
        )?;
        for Stay { member, leave_seq, from_seq } in stays {
            write.execute((
                id.0 as i64,
                member.user.0 as i64,
                member.join_seq as i64,
                *leave_seq as i64,
                member.role as i64,
                self.now_ms as i64,
                member.muted_until_ms as i64,
                *from_seq as i64,
            ))?;
        }
        drop(write);
        self.remember_group(id, &group);
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
    let members = members.into_iter().map(with_role).collect::<Result<Vec<_>, Stop>>()?;
    let owner = UserId(owner);
    let (name, members) = (name.into(), members.into());
    Ok(Some(Group { name, owner, is_muted, members, ..Group::default() }))
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

/// Somebody's stays, ascending.
pub(super) fn stays(
    conn: &Connection,
    group: GroupId,
    user: UserId,
) -> Result<Vec<StoredStay>, Stop> {
    let (Ok(group), Ok(user)) = (i64::try_from(group.0), i64::try_from(user.0)) else {
        return Ok(vec![]);
    };
    let stays = conn
        .prepare_cached(
            "SELECT join_seq, leave_seq, from_seq FROM im_group_member
             WHERE group_id = ? AND user_id = ? ORDER BY join_seq",
        )?
        .query_map((group, user), |row| {
            Ok(StoredStay::of_row(number(row, 0)?, number(row, 1)?, number(row, 2)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(stays)
}

fn with_role((member, role): (Member, u64)) -> Result<Member, Stop> {
    let role = Role::from_number(role).ok_or_else(|| damaged("a role"))?;
    Ok(Member { role, ..member })
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
