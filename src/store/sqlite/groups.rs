//! Groups and stays. Each change is an entry of the group's conversation, delivered to all whom it
//! concerns. Knows no caller's rights beyond membership.

use aldis_logic::job::{CreateGroup, Ticket, Written};
use aldis_wire::limits::{GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX};
use aldis_wire::{ConversationKey, GroupId, UserId, pb};
use bytes::Bytes;
use rusqlite::OptionalExtension;

use super::accounts::take_ids;
use super::append::{Draft, Placed};
use super::batch::Batch;
use super::cache::Group;
use super::failure::{Stop, damaged};
use super::rows::number;
use crate::group_event::{self, Role, Standing};
use crate::refusal::{GROUP_FULL, NO_SUCH_GROUP, NO_SUCH_USER, TOO_MANY_GROUPS};

impl Batch<'_> {
    /// GROUP_CREATE.
    pub(super) fn create_group(
        &mut self,
        origin: Ticket,
        job: &CreateGroup,
    ) -> Result<Written, Stop> {
        let others = group_event::each_once(&job.members, Some(job.owner));
        let owner = job.owner.0 as i64;
        if !self.user_exists(job.owner)? {
            return Err(NO_SUCH_USER.into());
        }
        let made_before = self
            .conn
            .prepare_cached(
                "SELECT group_id FROM im_group WHERE creator_id = ? AND request_id = ?",
            )?
            .query_row((owner, job.request_id.0), |row| number(row, 0))
            .optional()?;
        if let Some(group) = made_before {
            return Ok(Written::GroupCreated { group: GroupId(group), seq: Default::default() });
        }
        if others.len() + 1 > GROUP_MEMBERS_MAX {
            return Err(GROUP_FULL.into());
        }
        self.check_users(&others)?;
        let mut members = others;
        members.push(job.owner);
        members.sort_unstable();
        self.check_group_counts(&members)?;

        let group = GroupId(take_ids(self.conn, "group", 1)?);
        self.conn
            .prepare_cached(
                "INSERT INTO im_group (group_id, name, creator_id, request_id, owner_id,
                     member_count, member_version, created_ms)
                 VALUES (?1, ?2, ?3, ?4, ?3, ?5, 1, ?6)",
            )?
            .execute((
                group.0 as i64,
                &job.name,
                owner,
                job.request_id.0,
                members.len() as i64,
                self.now_ms as i64,
            ))?;
        let content = group_event::created(&job.name, job.owner, &members);
        let placed = self.deliver_event(origin, group, job.owner, content, &members)?;
        for &member in &members {
            let role = if member == job.owner { Role::Owner } else { Role::Member };
            self.insert_stay(group, member, placed, role)?;
        }
        let cached = Group { owner: job.owner, members: members.into() };
        self.caches.groups.insert(group, cached);
        Ok(Written::GroupCreated { group, seq: placed.seq })
    }

    /// GROUP_INVITE.
    pub(super) fn invite_members(
        &mut self,
        origin: Ticket,
        actor: UserId,
        group_id: GroupId,
        members: &[UserId],
    ) -> Result<Written, Stop> {
        let group = self.group_of_member(group_id, actor)?;
        let mut added = group_event::each_once(members, None);
        self.check_users(&added)?;
        added.retain(|&user| !group.has(user));
        if added.is_empty() {
            return Ok(Written::Invited { added, seq: Default::default() });
        }
        if group.members.len() + added.len() > GROUP_MEMBERS_MAX {
            return Err(GROUP_FULL.into());
        }
        self.check_group_counts(&added)?;

        let mut all: Vec<UserId> = group.members.iter().chain(&added).copied().collect();
        all.sort_unstable();
        let content = group_event::joined(group.owner, &added);
        let placed = self.deliver_event(origin, group_id, actor, content, &all)?;
        for &user in &added {
            self.insert_stay(group_id, user, placed, Role::Member)?;
        }
        self.update_group(group_id, group.owner, all.len())?;
        self.caches.groups.insert(group_id, Group { owner: group.owner, members: all.into() });
        Ok(Written::Invited { added, seq: placed.seq })
    }

    /// GROUP_LEAVE.
    pub(super) fn leave_group(
        &mut self,
        origin: Ticket,
        user: UserId,
        group_id: GroupId,
    ) -> Result<Written, Stop> {
        let group = match self.group_of_member(group_id, user) {
            Err(Stop::Refuse(_)) if self.was_member(group_id, user)? => {
                return Ok(Written::Left { seq: Default::default() });
            }
            other => other?,
        };
        let rest: Vec<UserId> = group.members.iter().copied().filter(|&id| id != user).collect();
        let owner = if group.owner == user {
            group_event::successor(self.standings(group_id, user)?.into_iter()).unwrap_or_default()
        } else {
            group.owner
        };
        let content = group_event::left(owner, user);
        let placed = self.deliver_event(origin, group_id, user, content, &group.members)?;
        self.conn
            .prepare_cached(
                "UPDATE im_group_member SET leave_seq = ?
                 WHERE group_id = ? AND user_id = ? AND leave_seq = 0",
            )?
            .execute((placed.conv_seq.0 as i64, group_id.0 as i64, user.0 as i64))?;
        if owner != group.owner && owner != UserId::default() {
            self.conn
                .prepare_cached(
                    "UPDATE im_group_member SET role = ?
                     WHERE group_id = ? AND user_id = ? AND leave_seq = 0",
                )?
                .execute((Role::Owner as i64, group_id.0 as i64, owner.0 as i64))?;
        }
        self.update_group(group_id, owner, rest.len())?;
        self.caches.groups.insert(group_id, Group { owner, members: rest.into() });
        Ok(Written::Left { seq: placed.seq })
    }

    /// Members and owner of a group that exists.
    pub(super) fn group(&mut self, id: GroupId) -> Result<Option<&mut Group>, Stop> {
        if self.caches.groups.peek(id).is_none()
            && let Some(group) = self.load_group(id)?
        {
            self.caches.groups.insert(id, group);
        }
        Ok(self.caches.groups.get_mut(id))
    }

    fn load_group(&mut self, id: GroupId) -> Result<Option<Group>, Stop> {
        let Ok(key) = i64::try_from(id.0) else { return Ok(None) };
        let owner = self
            .conn
            .prepare_cached("SELECT owner_id FROM im_group WHERE group_id = ?")?
            .query_row([key], |row| number(row, 0))
            .optional()?;
        let Some(owner) = owner else { return Ok(None) };
        let members = self
            .conn
            .prepare_cached(
                "SELECT user_id FROM im_group_member WHERE group_id = ? AND leave_seq = 0
                 ORDER BY user_id",
            )?
            .query_map([key], |row| number(row, 0).map(UserId))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Some(Group { owner: UserId(owner), members: members.into() }))
    }

    fn group_of_member(&mut self, id: GroupId, user: UserId) -> Result<Group, Stop> {
        match self.group(id)? {
            Some(group) if group.has(user) => Ok(group.clone()),
            _ => Err(NO_SUCH_GROUP.into()),
        }
    }

    fn was_member(&mut self, group: GroupId, user: UserId) -> Result<bool, Stop> {
        let (Ok(group), Ok(user)) = (i64::try_from(group.0), i64::try_from(user.0)) else {
            return Ok(false);
        };
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM im_group_member WHERE group_id = ? AND user_id = ?")?
            .exists((group, user))?)
    }

    fn standings(&mut self, group: GroupId, without: UserId) -> Result<Vec<Standing>, Stop> {
        Ok(self
            .conn
            .prepare_cached(
                "SELECT join_seq, user_id FROM im_group_member
                 WHERE group_id = ? AND user_id <> ? AND leave_seq = 0",
            )?
            .query_map((group.0 as i64, without.0 as i64), |row| {
                Ok(Standing { join_seq: number(row, 0)?, user: UserId(number(row, 1)?) })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?)
    }

    fn check_group_counts(&mut self, users: &[UserId]) -> Result<(), Stop> {
        let mut count = self.conn.prepare_cached(
            "SELECT count(*) FROM im_group_member WHERE user_id = ? AND leave_seq = 0",
        )?;
        for user in users {
            let count = count.query_row([user.0 as i64], |row| number(row, 0))?;
            if count >= GROUPS_PER_USER_MAX as u64 {
                return Err(TOO_MANY_GROUPS.into());
            }
        }
        Ok(())
    }

    fn deliver_event(
        &mut self,
        origin: Ticket,
        group: GroupId,
        actor: UserId,
        content: Bytes,
        owners: &[UserId],
    ) -> Result<Placed, Stop> {
        let draft = Draft {
            msg_id: self.ids.next_id(self.now_ms)?,
            conversation: ConversationKey::group(group),
            sender: actor,
            client_msg_id: None,
            body_hash: 0,
            kind: pb::MsgType::SystemGroup,
            content,
            extra: Bytes::new(),
            refs: Bytes::new(),
        };
        self.deliver(origin, draft, owners)
    }

    fn insert_stay(
        &mut self,
        group: GroupId,
        user: UserId,
        placed: Placed,
        role: Role,
    ) -> Result<(), Stop> {
        self.conn
            .prepare_cached(
                "INSERT INTO im_group_member
                     (group_id, user_id, join_seq, leave_seq, role, joined_ms)
                 VALUES (?, ?, ?, 0, ?, ?)",
            )?
            .execute((
                group.0 as i64,
                user.0 as i64,
                placed.conv_seq.0 as i64,
                role as i64,
                self.now_ms as i64,
            ))?;
        Ok(())
    }

    fn update_group(
        &mut self,
        group: GroupId,
        owner: UserId,
        member_count: usize,
    ) -> Result<(), Stop> {
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE im_group SET owner_id = ?, member_count = ?,
                     member_version = member_version + 1 WHERE group_id = ?",
            )?
            .execute((owner.0 as i64, member_count as i64, group.0 as i64))?;
        if changed == 1 { Ok(()) } else { Err(damaged("a group with members but without a row")) }
    }
}
