//! Groups and stays. Each change is an entry of the group's conversation, delivered to all whom it
//! concerns. Knows no caller's rights beyond membership.

use aldis_logic::job::{CreateGroup, Ticket, Written};
use aldis_wire::limits::{GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX};
use aldis_wire::{ConversationKey, GroupId, MsgId, Seq, UserId, pb};
use bytes::Bytes;

use super::append::{Draft, Placed};
use super::batch::{Batch, NewGroup, Outcome, StayRow};
use super::failure::{Stop, damaged};
use super::working_set::Group;
use crate::group_event::{self, Role, Standing};
use crate::refusal::{GROUP_FULL, NO_SUCH_GROUP, NO_SUCH_USER, TOO_MANY_GROUPS};

/// A change of a group as an entry.
struct GroupEvent<'a> {
    msg_id: MsgId,
    group: GroupId,
    actor: UserId,
    content: Bytes,
    /// Whom it concerns, ascending.
    owners: &'a [Standing],
}

impl<'r> Batch<'r, '_> {
    /// GROUP_CREATE.
    pub(super) fn create_group(
        &mut self,
        origin: Ticket,
        job: &'r CreateGroup,
    ) -> Result<Outcome, Stop> {
        let owner = job.owner;
        self.check_users(&[owner])?;
        if let Some(&group) = self.set.group_requests.get(&(owner, job.request_id)) {
            return Ok(Written::GroupCreated { group, seq: Seq(0) }.into());
        }
        let mut users = group_event::each_once(&job.members, Some(owner));
        if users.len() + 1 > GROUP_MEMBERS_MAX {
            return Err(GROUP_FULL.into());
        }
        self.check_users(&users)?;
        users.push(owner);
        users.sort_unstable();
        self.check_group_counts(&users)?;

        let msg_id = self.next_id()?;
        let group = self.set.group_ids.take().map(GroupId);
        let group = group.ok_or_else(|| damaged("no group ids are left"))?;
        let content = group_event::created(&job.name, owner, &users);
        // A new conversation's first entry.
        let members: Vec<Standing> =
            users.iter().map(|&user| Standing { join_seq: 1, user }).collect();
        let event = GroupEvent { msg_id, group, actor: owner, content, owners: &members };
        let placed = self.deliver_event(origin, event);
        debug_assert_eq!(placed.conv_seq.0, 1, "the id is new, so is the conversation");
        for &member in &members {
            let role = if member.user == owner { Role::Owner } else { Role::Member };
            self.join(group, member, role);
        }
        self.made.groups.push(NewGroup {
            group,
            name: &job.name,
            creator: owner,
            request_id: job.request_id,
        });
        self.set.group_requests.insert((owner, job.request_id), group);
        self.set_members(group, owner, members);
        let written = Written::GroupCreated { group, seq: Seq(0) };
        Ok(Outcome { written, entry: Some(placed.entry) })
    }

    /// GROUP_INVITE.
    pub(super) fn invite_members(
        &mut self,
        origin: Ticket,
        actor: UserId,
        id: GroupId,
        members: &[UserId],
    ) -> Result<Outcome, Stop> {
        let group = self.group_of_member(id, actor)?;
        let mut added = group_event::each_once(members, None);
        self.check_users(&added)?;
        added.retain(|&user| group.member(user).is_none());
        if added.is_empty() {
            return Ok(Written::Invited { added, seq: Seq(0) }.into());
        }
        if group.members.len() + added.len() > GROUP_MEMBERS_MAX {
            return Err(GROUP_FULL.into());
        }
        self.check_group_counts(&added)?;

        let join_seq = self.head(id) + 1;
        let joined = added.iter().map(|&user| Standing { join_seq, user });
        let mut all: Vec<Standing> = group.members.iter().copied().chain(joined).collect();
        all.sort_unstable_by_key(|member| member.user);
        let content = group_event::joined(group.owner, &added);
        let msg_id = self.next_id()?;
        let event = GroupEvent { msg_id, group: id, actor, content, owners: &all };
        let placed = self.deliver_event(origin, event);
        for &user in &added {
            self.join(id, Standing { join_seq, user }, Role::Member);
        }
        self.set_members(id, group.owner, all);
        Ok(Outcome { written: Written::Invited { added, seq: Seq(0) }, entry: Some(placed.entry) })
    }

    /// GROUP_LEAVE.
    pub(super) fn leave_group(
        &mut self,
        origin: Ticket,
        user: UserId,
        id: GroupId,
    ) -> Result<Outcome, Stop> {
        let leaver = self.set.groups.get(&id).and_then(|group| group.member(user));
        let Some(leaver) = leaver else {
            return match self.set.ever_members.contains(&(id, user)) {
                true => Ok(Written::Left { seq: Seq(0) }.into()),
                false => Err(NO_SUCH_GROUP.into()),
            };
        };
        let group = self.group_of_member(id, user)?;
        let others = || group.members.iter().copied().filter(|member| member.user != user);
        let owner = match group.owner == user {
            true => group_event::successor(others()).unwrap_or_default(),
            false => group.owner,
        };
        let content = group_event::left(owner, user);
        let msg_id = self.next_id()?;
        let owners = &group.members;
        let event = GroupEvent { msg_id, group: id, actor: user, content, owners };
        let placed = self.deliver_event(origin, event);
        let role = if group.owner == user { Role::Owner } else { Role::Member };
        self.made.stays.push(StayRow {
            group: id,
            user,
            join_seq: leaver.join_seq,
            leave_seq: placed.conv_seq.0,
            role,
        });
        if owner != group.owner
            && let Some(Standing { join_seq, user }) = group.member(owner)
        {
            let role = Role::Owner;
            self.made.stays.push(StayRow { group: id, user, join_seq, leave_seq: 0, role });
        }
        self.set.ever_members.insert((id, user));
        if let Some(count) = self.set.group_counts.get_mut(&user) {
            *count = count.saturating_sub(1);
        }
        self.set_members(id, owner, others().collect());
        Ok(Outcome { written: Written::Left { seq: Seq(0) }, entry: Some(placed.entry) })
    }

    fn group_of_member(&self, id: GroupId, user: UserId) -> Result<Group, Stop> {
        match self.set.groups.get(&id) {
            Some(group) if group.member(user).is_some() => Ok(group.clone()),
            _ => Err(NO_SUCH_GROUP.into()),
        }
    }

    /// Refuses a list in which somebody is unknown.
    fn check_users(&self, users: &[UserId]) -> Result<(), Stop> {
        match users.iter().all(|&user| self.user_exists(user)) {
            true => Ok(()),
            false => Err(NO_SUCH_USER.into()),
        }
    }

    fn check_group_counts(&self, users: &[UserId]) -> Result<(), Stop> {
        let count = |user| self.set.group_counts.get(user).copied().unwrap_or(0);
        match users.iter().any(|user| count(user) >= GROUPS_PER_USER_MAX as u64) {
            true => Err(TOO_MANY_GROUPS.into()),
            false => Ok(()),
        }
    }

    /// Entries of the group's conversation so far.
    fn head(&self, group: GroupId) -> u64 {
        let conversation = self.set.conversations.get(&ConversationKey::group(group));
        conversation.map_or(0, |conversation| conversation.now.max_seq)
    }

    fn deliver_event(&mut self, origin: Ticket, event: GroupEvent<'_>) -> Placed {
        let draft = Draft {
            msg_id: event.msg_id,
            conversation: ConversationKey::group(event.group),
            sender: event.actor,
            client_msg_id: None,
            body_hash: 0,
            kind: pb::MsgType::SystemGroup,
            content: event.content,
            extra: Bytes::new(),
            refs: Bytes::new(),
        };
        let owners = event.owners.iter().map(|member| (member.user, Seq(0))).collect();
        self.deliver(origin, draft, owners)
    }

    fn join(&mut self, group: GroupId, Standing { join_seq, user }: Standing, role: Role) {
        self.made.stays.push(StayRow { group, user, join_seq, leave_seq: 0, role });
        *self.set.group_counts.entry(user).or_default() += 1;
    }

    /// Replaces members and owner; what is remembered of the group elsewhere is void then.
    fn set_members(&mut self, id: GroupId, owner: UserId, members: Vec<Standing>) {
        let conversation = self.set.conversations.entry(ConversationKey::group(id)).or_default();
        let version = &mut conversation.now.member_version;
        *version += 1;
        let group = Group { owner, version: *version, members: members.into() };
        self.set.groups.insert(id, group);
        self.made.changed_groups.push(id);
    }
}
