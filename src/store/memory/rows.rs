//! The rules' view of a memory store's transaction.

use std::sync::Arc;

use aldis_logic::job::{Appended, JobError, Ticket};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, RECALLED, UserId, pb};
use bytes::Bytes;

use super::append::Draft;
use super::state::{Run, Sent, Stay};
use crate::group_event::Role;
use crate::page::Span;
use crate::record::{Key, Row, Table};
use crate::refusal::{NO_SUCH_MESSAGE, OTHER_BODY};
use crate::rules::{BodyChange, Deferred, NewEvent, Once, Placed, Rows, SentKey, Target, Ties};

impl Rows for Run<'_> {
    type Stop = JobError;

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, JobError> {
        Ok(self.state.users.contains_key(&user))
    }

    fn row(&mut self, table: Table, key: &Key) -> Result<Option<Row>, JobError> {
        Ok(self.state.rows.get(&(table, key.clone())).cloned())
    }

    fn set_row(&mut self, table: Table, key: Key, row: Row) -> Result<(), JobError> {
        self.state.rows.insert((table, key), row);
        Ok(())
    }

    fn ties(&mut self, pair: ConversationKey) -> Result<Ties, JobError> {
        Ok(self.state.conversations.get(&pair).map_or(Ties::default(), |found| found.ties))
    }

    fn set_ties(&mut self, pair: ConversationKey, ties: Ties) -> Result<(), JobError> {
        self.state.conversations.entry(pair).or_default().ties = ties;
        Ok(())
    }

    fn members(&mut self, group: GroupId) -> Result<Vec<UserId>, JobError> {
        Ok(self.state.groups.get(&group).map_or(vec![], |group| group.members()))
    }

    fn role(&mut self, group: GroupId, user: UserId) -> Result<Option<Role>, JobError> {
        let group = self.state.groups.get(&group);
        let stay = group.and_then(|group| group.current().find(|stay| stay.user == user));
        Ok(stay.map(|stay| stay.role))
    }

    fn stays(&mut self, group: GroupId, user: UserId) -> Result<Vec<Span>, JobError> {
        let stays = self.state.groups.get(&group).map_or(&[][..], |group| &group.stays);
        let own = stays.iter().filter(|stay| stay.user == user);
        let span =
            |stay: &Stay| Span { first: stay.join_seq, last: stay.leave_seq.unwrap_or(u64::MAX) };
        Ok(own.map(span).collect())
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
        (changed.content, changed.extra) = (change.content, change.extra);
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
