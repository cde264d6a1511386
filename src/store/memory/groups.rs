//! Groups and stays of a memory store.

use aldis_logic::job::{CreateGroup, JobError, Ticket, Written};
use aldis_wire::limits::{GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, Seq, UserId, pb};
use bytes::Bytes;

use super::append::Draft;
use super::state::{Group, Run, Stay};
use crate::group_event::{self, Role, Standing};
use crate::refusal::{GROUP_FULL, NO_SUCH_GROUP, NO_SUCH_USER, TOO_MANY_GROUPS};

impl Run<'_> {
    pub(super) fn create_group(
        &mut self,
        origin: Ticket,
        job: &CreateGroup,
    ) -> Result<Written, JobError> {
        self.check_users(&[job.owner])?;
        if let Some(&group) = self.state.group_requests.get(&(job.owner, job.request_id)) {
            return Ok(Written::GroupCreated { group, seq: Seq(0) });
        }
        let mut members = group_event::each_once(&job.members, Some(job.owner));
        if members.len() + 1 > GROUP_MEMBERS_MAX {
            return Err(GROUP_FULL);
        }
        self.check_users(&members)?;
        members.push(job.owner);
        members.sort_unstable();
        self.check_group_counts(&members)?;

        let id = self.state.next_group_id();
        let content = group_event::created(&job.name, job.owner, &members);
        let (seq, conv_seq) = self.deliver_event(origin, id, job.owner, content, &members)?;
        let role = |user| if user == job.owner { Role::Owner } else { Role::Member };
        let stays = members.iter().map(|&user| self.stay(user, conv_seq, role(user))).collect();
        let group =
            Group { name: job.name.clone(), owner: job.owner, created_ms: self.now_ms, stays };
        self.state.groups.insert(id, group);
        self.state.group_requests.insert((job.owner, job.request_id), id);
        Ok(Written::GroupCreated { group: id, seq })
    }

    pub(super) fn invite_members(
        &mut self,
        origin: Ticket,
        actor: UserId,
        id: GroupId,
        members: &[UserId],
    ) -> Result<Written, JobError> {
        let group = self.group_of_member(id, actor)?;
        let mut added = group_event::each_once(members, None);
        self.check_users(&added)?;
        added.retain(|&user| !group.has(user));
        if added.is_empty() {
            return Ok(Written::Invited { added, seq: Seq(0) });
        }
        let mut all = group.members();
        all.extend(&added);
        all.sort_unstable();
        if all.len() > GROUP_MEMBERS_MAX {
            return Err(GROUP_FULL);
        }
        self.check_group_counts(&added)?;
        let content = group_event::joined(group.owner, &added);
        let (seq, conv_seq) = self.deliver_event(origin, id, actor, content, &all)?;
        let stays: Vec<_> =
            added.iter().map(|&user| self.stay(user, conv_seq, Role::Member)).collect();
        self.group_mut(id)?.stays.extend(stays);
        Ok(Written::Invited { added, seq })
    }

    pub(super) fn leave_group(
        &mut self,
        origin: Ticket,
        user: UserId,
        id: GroupId,
    ) -> Result<Written, JobError> {
        let group = self.state.groups.get(&id).cloned().ok_or(NO_SUCH_GROUP)?;
        if !group.has(user) {
            let was_member = group.stays.iter().any(|stay| stay.user == user);
            return if was_member { Ok(Written::Left { seq: Seq(0) }) } else { Err(NO_SUCH_GROUP) };
        }
        let owner = if group.owner == user {
            let others = group.current().filter(|stay| stay.user != user);
            let standing = |stay: &Stay| Standing { join_seq: stay.join_seq, user: stay.user };
            group_event::successor(others.map(standing)).unwrap_or_default()
        } else {
            group.owner
        };
        let content = group_event::left(owner, user);
        let (seq, conv_seq) = self.deliver_event(origin, id, user, content, &group.members())?;
        let group = self.group_mut(id)?;
        group.owner = owner;
        for stay in group.stays.iter_mut().filter(|stay| stay.leave_seq.is_none()) {
            if stay.user == user {
                stay.leave_seq = Some(conv_seq.0);
            } else if stay.user == owner {
                stay.role = Role::Owner;
            }
        }
        Ok(Written::Left { seq })
    }

    fn stay(&self, user: UserId, conv_seq: ConvSeq, role: Role) -> Stay {
        Stay { user, join_seq: conv_seq.0, leave_seq: None, role, joined_ms: self.now_ms }
    }

    fn group_mut(&mut self, id: GroupId) -> Result<&mut Group, JobError> {
        self.state.groups.get_mut(&id).ok_or(NO_SUCH_GROUP)
    }

    fn group_of_member(&self, id: GroupId, user: UserId) -> Result<Group, JobError> {
        let group = self.state.groups.get(&id).filter(|group| group.has(user));
        group.cloned().ok_or(NO_SUCH_GROUP)
    }

    fn check_users(&self, users: &[UserId]) -> Result<(), JobError> {
        let all_exist = users.iter().all(|user| self.state.users.contains_key(user));
        if all_exist { Ok(()) } else { Err(NO_SUCH_USER) }
    }

    fn check_group_counts(&self, users: &[UserId]) -> Result<(), JobError> {
        let count =
            |user: UserId| self.state.groups.values().filter(|group| group.has(user)).count();
        if users.iter().any(|&user| count(user) >= GROUPS_PER_USER_MAX) {
            return Err(TOO_MANY_GROUPS);
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
    ) -> Result<(Seq, ConvSeq), JobError> {
        let draft = Draft {
            msg_id: self.next_id()?,
            conversation: ConversationKey::group(group),
            sender: actor,
            client_msg_id: None,
            kind: pb::MsgType::SystemGroup,
            content,
            extra: Bytes::new(),
            refs: Bytes::new(),
        };
        Ok(self.deliver(origin, draft, owners))
    }
}
