//! Appends of a memory store.

use std::sync::Arc;

use aldis_logic::job::{
    Append, Appended, Event, InStream, JobError, StoredMessage, Ticket, Written,
};
use aldis_wire::{ClientMsgId, ConvSeq, ConversationKey, MsgId, MsgNo, Seq, UserId, pb};
use bytes::Bytes;
use smallvec::SmallVec;

use super::Bug;
use super::state::{Run, Sent};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_USER, NOT_A_PARTY, OTHER_BODY};
use crate::rules::Ties;

/// An entry before it has its place.
pub(super) struct Draft {
    pub msg_id: MsgId,
    pub conversation: ConversationKey,
    pub sender: UserId,
    /// `None`: the server's own entry.
    pub client_msg_id: Option<ClientMsgId>,
    pub kind: pb::MsgType,
    pub content: Bytes,
    pub extra: Bytes,
    pub refs: Bytes,
    /// It is in a stream, and in mailboxes only besides.
    pub stream: Option<InStream>,
}

impl Run<'_> {
    pub(super) fn append(&mut self, origin: Ticket, job: &Append) -> Result<Written, JobError> {
        if self.poisoned.contains(&job.client_msg_id) {
            return Err(JobError::Internal);
        }
        let (owners, stream) = match self.recipients(job) {
            Ok(recipients) => recipients,
            // Who may no longer send still learns what became of a message sent before.
            Err(why) => return self.find_resend(job)?.map(Written::Appended).ok_or(why),
        };
        let msg_id = self.next_id()?;
        if let Some(first) = self.find_resend(job)? {
            return Ok(Written::Appended(first));
        }
        let draft = Draft {
            msg_id,
            conversation: job.conversation,
            sender: job.sender,
            client_msg_id: Some(job.client_msg_id),
            kind: job.kind,
            content: job.content.clone(),
            extra: job.extra.clone(),
            refs: job.refs.clone(),
            stream,
        };
        let (seq, conv_seq) = self.deliver(origin, draft, &owners);
        let first = Appended { msg_id, seq, conv_seq, time_ms: self.now_ms };
        let sent = Sent {
            first,
            kind: job.kind,
            content: job.content.clone(),
            extra: job.extra.clone(),
            refs: job.refs.clone(),
        };
        self.state.sent.insert((job.conversation, job.sender, job.client_msg_id), sent);
        Ok(Written::Appended(first))
    }

    fn find_resend(&self, job: &Append) -> Result<Option<Appended>, JobError> {
        if self.bug == Some(Bug::NoDedupe) {
            return Ok(None);
        }
        let key = (job.conversation, job.sender, job.client_msg_id);
        let Some(sent) = self.state.sent.get(&key) else { return Ok(None) };
        let is_same = sent.kind == job.kind
            && sent.content == job.content
            && sent.extra == job.extra
            && sent.refs == job.refs;
        if is_same { Ok(Some(sent.first)) } else { Err(OTHER_BODY) }
    }

    fn recipients(&self, job: &Append) -> Result<(Vec<UserId>, Option<InStream>), JobError> {
        let key = job.conversation;
        if let Some(group) = key.as_group() {
            let group = self.state.groups.get(&group).ok_or(NO_SUCH_GROUP)?.now();
            group.check_sender(job.sender, self.now_ms)?;
            return Ok((group.owners(&[]), group.in_stream()));
        }
        let mut owners = vec![UserId(key.lo), UserId(key.hi)];
        owners.dedup();
        if !owners.contains(&job.sender) {
            return Err(NOT_A_PARTY);
        }
        if !owners.iter().all(|user| self.state.users.contains_key(user)) {
            return Err(NO_SUCH_USER);
        }
        let ties = self.state.conversations.get(&key).map_or(Ties::default(), |found| found.ties);
        let ties = if self.bug == Some(Bug::BlocksForgotten) { Ties::default() } else { ties };
        ties.check_sender(key, job.sender, job.friends_only)?;
        Ok((owners, None))
    }

    /// Places the entry; returns the sender's seq and the conv_seq.
    pub(super) fn deliver(
        &mut self,
        origin: Ticket,
        draft: Draft,
        owners: &[UserId],
    ) -> (Seq, ConvSeq) {
        if draft.conversation.is_own() {
            return self.deliver_own(origin, draft);
        }
        let conversation = self.state.conversations.entry(draft.conversation).or_default();
        conversation.message_count += u64::from(draft.kind.is_message());
        let conv_seq = ConvSeq(conversation.entries.len() as u64 + 1);
        let msg_no = MsgNo(conversation.message_count);
        let stream = draft.stream;
        let message = Arc::new(draft.placed(conv_seq, msg_no, self.now_ms));
        conversation.entries.push(message.clone());
        let mut places = SmallVec::new();
        let mut sender_seq = Seq(0);
        for &owner in owners {
            let head = self.state.heads.entry(owner).or_default();
            *head += 1;
            self.state.mailboxes.insert((owner, *head), (message.conversation, conv_seq));
            places.push((owner, Seq(*head)));
            if owner == message.sender {
                sender_seq = Seq(*head);
            }
        }
        self.events.push(Event { message, owners: places, origin, stream });
        (sender_seq, conv_seq)
    }

    /// An entry of a user's own: its place there is that in the mailbox.
    fn deliver_own(&mut self, origin: Ticket, draft: Draft) -> (Seq, ConvSeq) {
        let owner = draft.sender;
        let head = self.state.heads.entry(owner).or_default();
        *head += 1;
        let (seq, conv_seq) = (Seq(*head), ConvSeq(*head));
        let message = Arc::new(draft.placed(conv_seq, MsgNo(0), self.now_ms));
        self.state.own.insert((owner, seq.0), message.clone());
        self.state.mailboxes.insert((owner, seq.0), (message.conversation, conv_seq));
        let owners = SmallVec::from_slice(&[(owner, seq)]);
        self.events.push(Event { message, owners, origin, stream: None });
        (seq, conv_seq)
    }
}

impl Draft {
    fn placed(self, conv_seq: ConvSeq, msg_no: MsgNo, time_ms: u64) -> StoredMessage {
        StoredMessage {
            msg_id: self.msg_id,
            conversation: self.conversation,
            conv_seq,
            msg_no,
            sender: self.sender,
            client_msg_id: self.client_msg_id.unwrap_or_default(),
            kind: self.kind,
            content: self.content,
            extra: self.extra,
            refs: self.refs,
            time_ms,
            flags: 0,
        }
    }
}
