//! The rules' view of a memory store's transaction.

use std::sync::Arc;

use aldis_logic::job::{Appended, CreateGroup, JobError, Ticket};
use aldis_wire::{
    ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, RECALLED, RequestId, UserId, pb,
};
use bytes::Bytes;

use super::Bug;
use super::append::Draft;
use super::state::{self, Run, Sent};
use crate::group::{Group, Seats, Stay};
use crate::page::Span;
use crate::record::{Key, Row, Table};
use crate::refusal::{NO_SUCH_MESSAGE, OTHER_BODY};
use crate::rules::{
    BodyChange, Deferred, KnownDevice, NewEvent, NewestSession, Once, Placed, Profile, Rows,
    SentKey, Target, Ties,
};
use crate::stays::readable;

impl Rows for Run<'_> {
    type Stop = JobError;

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, JobError> {
        Ok(self.state.users.contains_key(&user))
    }

    fn profile(&mut self, user: UserId) -> Result<Option<Profile>, JobError> {
        Ok(self.state.users.get(&user).map(|stored| Profile {
            username: stored.username.clone(),
            nickname: stored.nickname.clone(),
            avatar_url: stored.avatar_url.clone(),
            password_phc: stored.password_phc.clone(),
            token_generation: stored.token_generation,
        }))
    }

    fn set_profile(&mut self, user: UserId, profile: Profile) -> Result<(), JobError> {
        let stored = self.state.users.get_mut(&user).ok_or(JobError::Internal)?;
        stored.nickname = profile.nickname;
        stored.avatar_url = profile.avatar_url;
        stored.password_phc = profile.password_phc;
        stored.token_generation = profile.token_generation;
        Ok(())
    }

    fn device(&mut self, user: UserId, id: &str) -> Result<Option<KnownDevice>, JobError> {
        let device = self.state.devices.get(&(user, id.to_owned()));
        let known = |device: &state::Device| {
            let token_generation = device.token_generation;
            Some(KnownDevice { class: device.class?, token_generation })
        };
        Ok(device.and_then(known))
    }

    fn raise_device_generation(&mut self, user: UserId, id: &str) -> Result<(), JobError> {
        self.revoke_device(user, id);
        Ok(())
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<NewestSession>, JobError> {
        let own = self.state.sessions.iter().filter(|((owner, _), _)| *owner == user);
        let newest = |((_, class), session): (&(UserId, DeviceClass), &state::Session)| {
            let (epoch, device_id) = (Epoch(session.epoch), session.device_id.clone());
            NewestSession { class: *class, epoch, device_id }
        };
        Ok(own.map(newest).collect())
    }

    fn set_revoked(
        &mut self,
        user: UserId,
        class: DeviceClass,
        epoch: Epoch,
    ) -> Result<(), JobError> {
        if let Some(session) = self.state.sessions.get_mut(&(user, class)) {
            session.revoked = session.revoked.max(epoch.0);
        }
        Ok(())
    }

    fn row(&mut self, table: Table, key: &Key) -> Result<Option<Row>, JobError> {
        Ok(self.state.rows.get(&(table, key.clone())).cloned())
    }

    fn set_row(&mut self, table: Table, key: Key, row: Row) -> Result<(), JobError> {
        self.state.rows.insert((table, key), row);
        Ok(())
    }

    fn drop_rows(&mut self, table: Table, prefix: Key) -> Result<(), JobError> {
        self.state.rows.retain(|(at, key), _| *at != table || !key.starts_with(&prefix));
        Ok(())
    }

    fn ties(&mut self, pair: ConversationKey) -> Result<Ties, JobError> {
        Ok(self.state.conversations.get(&pair).map_or(Ties::default(), |found| found.ties))
    }

    fn set_ties(&mut self, pair: ConversationKey, ties: Ties) -> Result<(), JobError> {
        self.state.conversations.entry(pair).or_default().ties = ties;
        Ok(())
    }

    fn group(&mut self, id: GroupId) -> Result<Option<Group>, JobError> {
        Ok(self.state.groups.get(&id).map(|group| group.now()))
    }

    fn group_for(&mut self, id: GroupId, _seats: Seats<'_>) -> Result<Option<Group>, JobError> {
        self.group(id)
    }

    fn made_group(
        &mut self,
        creator: UserId,
        request_id: RequestId,
    ) -> Result<Option<GroupId>, JobError> {
        Ok(self.state.group_requests.get(&(creator, request_id)).copied())
    }

    fn make_group(&mut self, job: &CreateGroup) -> Result<GroupId, JobError> {
        let id = self.state.next_group_id();
        let group = state::Group {
            name: job.name.clone(),
            owner: job.owner,
            created_ms: self.now_ms,
            is_muted: false,
            stream: None,
            stays: Vec::new(),
        };
        self.state.groups.insert(id, group);
        self.state.group_requests.insert((job.owner, job.request_id), id);
        Ok(id)
    }

    fn change_group(
        &mut self,
        id: GroupId,
        group: Group,
        stays: Vec<Stay>,
    ) -> Result<(), JobError> {
        let joined_ms = self.now_ms;
        let stored = self.state.groups.get_mut(&id).ok_or(JobError::Internal)?;
        (stored.owner, stored.is_muted) = (group.owner, group.is_muted);
        stored.stream = group.stream;
        stored.name = group.name.to_string();
        for Stay { member, leave_seq, from_seq } in stays {
            let leave_seq = (leave_seq != 0).then_some(leave_seq);
            let names = |stay: &&mut state::Stay| {
                (stay.member.user, stay.member.join_seq) == (member.user, member.join_seq)
            };
            match stored.stays.iter_mut().find(names) {
                Some(stay) => (stay.member, stay.leave_seq) = (member, leave_seq),
                None => stored.stays.push(state::Stay { member, leave_seq, joined_ms, from_seq }),
            }
        }
        Ok(())
    }

    fn group_count(&mut self, user: UserId) -> Result<u64, JobError> {
        Ok(self.state.groups.values().filter(|group| group.has(user)).count() as u64)
    }

    fn was_member(&mut self, group: GroupId, user: UserId) -> Result<bool, JobError> {
        let group = self.state.groups.get(&group);
        Ok(group.is_some_and(|group| group.stays.iter().any(|stay| stay.member.user == user)))
    }

    fn stays(&mut self, group: GroupId, user: UserId) -> Result<Vec<Span>, JobError> {
        let stays = self.state.groups.get(&group).map(|group| group.stay_rows(user));
        Ok(readable(&stays.unwrap_or_default(), u64::MAX))
    }

    fn deferred(&mut self) -> &mut Deferred {
        &mut self.deferred
    }

    fn target(
        &mut self,
        conversation: ConversationKey,
        conv_seq: ConvSeq,
    ) -> Result<Option<Target>, JobError> {
        let Some(entry) = self.state.entry(conversation, conv_seq) else { return Ok(None) };
        let edits = self.state.conversations.get(&conversation).map(|found| &found.edits);
        Ok(Some(Target {
            msg_id: entry.msg_id,
            msg_no: entry.msg_no,
            sender: entry.sender,
            kind: entry.kind,
            time_ms: entry.time_ms,
            flags: entry.flags,
            edit_seq: edits.and_then(|edits| edits.get(&conv_seq)).copied().unwrap_or(0),
        }))
    }

    fn change_body(
        &mut self,
        key: ConversationKey,
        conv_seq: ConvSeq,
        change: BodyChange,
    ) -> Result<(), JobError> {
        let conversation = self.state.conversations.get_mut(&key).ok_or(NO_SUCH_MESSAGE)?;
        conversation.edits.insert(conv_seq, change.edit_seq);
        let entry = conversation.entries.get_mut(conv_seq.0 as usize - 1);
        let entry = entry.ok_or(NO_SUCH_MESSAGE)?;
        let mut changed = (**entry).clone();
        let is_kept = self.bug == Some(Bug::RecallKeepsContent) && change.content.is_empty();
        if !is_kept {
            (changed.content, changed.extra) = (change.content, change.extra);
        }
        changed.flags = change.flags;
        if change.flags & RECALLED != 0 {
            changed.refs = Bytes::new();
        }
        // Events that were made before keep what was said then.
        *entry = Arc::new(changed);
        Ok(())
    }

    fn is_repeat(
        &mut self,
        key: &SentKey,
        once: &Once,
        kind: pb::MsgType,
    ) -> Result<bool, JobError> {
        let key = (key.conversation, key.sender, key.client_msg_id);
        match self.state.sent.get(&key) {
            None => Ok(false),
            Some(sent) if sent.kind == kind && sent.content == once.body => Ok(true),
            Some(_) => Err(OTHER_BODY),
        }
    }

    fn add_event(
        &mut self,
        origin: Ticket,
        event: NewEvent,
        owners: &[UserId],
    ) -> Result<Placed, JobError> {
        let draft = Draft {
            msg_id: self.next_id()?,
            conversation: event.conversation,
            sender: event.actor,
            client_msg_id: event.once.as_ref().map(Once::client_msg_id),
            kind: event.kind,
            content: event.content,
            extra: Bytes::new(),
            refs: Bytes::new(),
            stream: event.stream,
        };
        let msg_id = draft.msg_id;
        let (seq, conv_seq) = self.deliver(origin, draft, owners);
        if let Some(once) = event.once {
            let first = Appended { msg_id, seq, conv_seq, time_ms: self.now_ms };
            let key = (event.conversation, event.actor, once.client_msg_id());
            let sent = Sent {
                first,
                kind: event.kind,
                content: once.body,
                extra: Bytes::new(),
                refs: Bytes::new(),
            };
            self.state.sent.insert(key, sent);
        }
        Ok(Placed { seq, conv_seq })
    }
}
