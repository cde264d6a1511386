//! Appends entries to conversations and mailboxes. Knows members only as a list.

use std::sync::Arc;

use aldis_logic::job::{Append, Appended, Event, InStream, StoredMessage, Ticket, Written};
use aldis_wire::{ClientMsgId, ConvSeq, ConversationKey, MsgId, MsgNo, Seq, UserId, pb};
use bytes::Bytes;
use rusqlite::OptionalExtension;
use smallvec::{SmallVec, smallvec};

use super::batch::Batch;
use super::cache::Conversation;
use super::failure::{Stop, damaged};
use super::index::Index;
use super::rows::number;
use super::runs::{Entry, POSITION_MAX, pack};
use crate::group::{Group, Seats};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_USER, NOT_A_PARTY};
use crate::rules::{SentKey, Ties};

/// An entry before it has its place.
pub(super) struct Draft {
    pub msg_id: MsgId,
    pub conversation: ConversationKey,
    pub sender: UserId,
    /// `None`: the server's own entry.
    pub client_msg_id: Option<ClientMsgId>,
    pub body_hash: i64,
    pub kind: pb::MsgType,
    pub content: Bytes,
    pub extra: Bytes,
    pub refs: Bytes,
    /// It is in a stream, and in mailboxes only besides.
    pub stream: Option<InStream>,
}

/// Where an entry was placed.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    /// In the sender's mailbox.
    pub seq: Seq,
    pub conv_seq: ConvSeq,
}

/// The mailboxes that a message goes to.
enum Recipients {
    Direct(SmallVec<[UserId; 2]>),
    Group(Group),
}

impl Recipients {
    fn users(&self) -> SmallVec<[UserId; 2]> {
        match self {
            Recipients::Direct(users) => users.clone(),
            Recipients::Group(group) => group.owners(&[]).into(),
        }
    }

    fn in_stream(&self) -> Option<InStream> {
        match self {
            Recipients::Direct(_) => None,
            Recipients::Group(group) => group.in_stream(),
        }
    }
}

impl Batch<'_> {
    /// MSG_SEND.
    pub(super) fn append(&mut self, origin: Ticket, job: &Append) -> Result<Written, Stop> {
        let body_hash = self.stored_hash.body(job);
        let recipients = match self.recipients(job) {
            Ok(recipients) => recipients,
            // Who may no longer send still learns what became of a message sent before.
            Err(Stop::Refuse(why)) => {
                let first = self.find_resend(&SentKey::of(job), body_hash)?;
                return first.map(Written::Appended).ok_or(Stop::Refuse(why));
            }
            Err(abort) => return Err(abort),
        };
        let msg_id = self.ids.next_id(self.now_ms)?;
        if let Some(first) = self.claim(&SentKey::of(job), msg_id, body_hash)? {
            return Ok(Written::Appended(first));
        }
        let draft = Draft {
            msg_id,
            conversation: job.conversation,
            sender: job.sender,
            client_msg_id: Some(job.client_msg_id),
            body_hash,
            kind: job.kind,
            content: job.content.clone(),
            extra: job.extra.clone(),
            refs: job.refs.clone(),
            stream: recipients.in_stream(),
        };
        let placed = self.deliver(origin, draft, &recipients.users())?;
        let Placed { seq, conv_seq } = placed;
        Ok(Written::Appended(Appended { msg_id, seq, conv_seq, time_ms: self.now_ms }))
    }

    fn recipients(&mut self, job: &Append) -> Result<Recipients, Stop> {
        let key = job.conversation;
        if let Some(group) = key.as_group() {
            let now_ms = self.now_ms;
            let group = self.load_seats(group, Seats { users: &[job.sender], has_staff: false })?;
            let group = group.ok_or(NO_SUCH_GROUP)?;
            group.check_sender(job.sender, now_ms)?;
            return Ok(Recipients::Group(group));
        }
        if key.lo != job.sender.0 && key.hi != job.sender.0 {
            return Err(NOT_A_PARTY.into());
        }
        let (lo, hi) = (UserId(key.lo), UserId(key.hi));
        // A conversation that exists was between users that exist, and those are never deleted.
        let ties = self.conversation(key)?.map(|conversation| conversation.ties);
        if ties.is_none() && !(self.user_exists(lo)? && self.user_exists(hi)?) {
            return Err(NO_SUCH_USER.into());
        }
        ties.unwrap_or_default().check_sender(key, job.sender, job.friends_only)?;
        Ok(Recipients::Direct(if lo == hi { smallvec![lo] } else { smallvec![lo, hi] }))
    }

    /// Gives the entry its places, writes its body and makes its event. The sender is one of the
    /// owners, unless it is in a stream.
    pub(super) fn deliver(
        &mut self,
        origin: Ticket,
        draft: Draft,
        owners: &[UserId],
    ) -> Result<Placed, Stop> {
        if draft.conversation.is_own() {
            return self.deliver_own(origin, draft);
        }
        let is_message = draft.kind.is_message();
        let (number, conv_seq, msg_no) = {
            let conversation = self.conversation_or_new(draft.conversation)?;
            conversation.head += 1;
            conversation.message_count += u64::from(is_message);
            (conversation.number, conversation.head, conversation.message_count)
        };
        check_position(conv_seq)?;
        let msg_id = draft.msg_id.0 as i64;
        self.pending.conversations.push(Entry { key: pack(number, conv_seq), msg_id });

        let mut places = SmallVec::with_capacity(owners.len());
        let mut sender_seq = 0;
        for &owner in owners {
            let seq = {
                let head = self.head(owner)?;
                *head += 1;
                *head
            };
            check_position(seq)?;
            self.pending.mailboxes.push(Entry { key: pack(owner.0, seq), msg_id });
            places.push((owner, Seq(seq)));
            if owner == draft.sender {
                sender_seq = seq;
            }
        }
        self.insert_body(&draft, conv_seq, msg_no, sender_seq)?;
        let stream = draft.stream;
        let message = draft.placed(ConvSeq(conv_seq), MsgNo(msg_no), self.now_ms);
        self.events.push(Event { message: Arc::new(message), owners: places, origin, stream });
        Ok(Placed { seq: Seq(sender_seq), conv_seq: ConvSeq(conv_seq) })
    }

    /// An entry of a user's own: its place there is that in the mailbox.
    fn deliver_own(&mut self, origin: Ticket, draft: Draft) -> Result<Placed, Stop> {
        let owner = draft.sender;
        let seq = {
            let head = self.head(owner)?;
            *head += 1;
            *head
        };
        check_position(seq)?;
        let msg_id = draft.msg_id.0 as i64;
        self.pending.mailboxes.push(Entry { key: pack(owner.0, seq), msg_id });
        self.insert_body(&draft, seq, 0, seq)?;
        let (seq, conv_seq) = (Seq(seq), ConvSeq(seq));
        let message = Arc::new(draft.placed(conv_seq, MsgNo(0), self.now_ms));
        let owners = smallvec![(owner, seq)];
        self.events.push(Event { message, owners, origin, stream: None });
        Ok(Placed { seq, conv_seq })
    }

    fn insert_body(
        &mut self,
        draft: &Draft,
        conv_seq: u64,
        msg_no: u64,
        sender_seq: u64,
    ) -> Result<(), Stop> {
        self.hot.body_insert.execute((
            draft.msg_id.0 as i64,
            draft.conversation.lo as i64,
            draft.conversation.hi as i64,
            conv_seq as i64,
            msg_no as i64,
            draft.sender.0 as i64,
            sender_seq as i64,
            draft.client_msg_id.as_ref().map(|id| &id.0[..]),
            draft.body_hash,
            i32::from(draft.kind),
            self.now_ms as i64,
            &draft.content[..],
            &draft.extra[..],
            &draft.refs[..],
        ))?;
        Ok(())
    }

    /// The mailbox head of a user, to be counted up.
    pub(super) fn head(&mut self, owner: UserId) -> Result<&mut u64, Stop> {
        if self.caches.heads.peek(owner).is_none() {
            let last = Index::Mailboxes.last(self.conn, owner.0)?;
            self.caches.heads.insert(owner, last.map_or(0, |last| last.position));
        }
        Ok(self.caches.heads.get_mut(owner).expect("it was found or inserted"))
    }

    /// The counters of a conversation that exists.
    pub(super) fn conversation(
        &mut self,
        key: ConversationKey,
    ) -> Result<Option<&mut Conversation>, Stop> {
        if self.caches.conversations.peek(key).is_none()
            && let Some(conversation) = self.load_conversation(key)?
        {
            self.caches.conversations.insert(key, conversation);
        }
        Ok(self.caches.conversations.get_mut(key))
    }

    pub(super) fn conversation_or_new(
        &mut self,
        key: ConversationKey,
    ) -> Result<&mut Conversation, Stop> {
        if self.conversation(key)?.is_none() {
            self.conn
                .prepare_cached("INSERT INTO im_conversation (lo, hi) VALUES (?, ?)")?
                .execute((key.lo as i64, key.hi as i64))?;
            let number = self.conn.last_insert_rowid() as u64;
            let ties = Ties::default();
            let conversation = Conversation { number, head: 0, message_count: 0, ties };
            self.caches.conversations.insert(key, conversation);
        }
        Ok(self.caches.conversations.get_mut(key).expect("it was found or inserted"))
    }

    fn load_conversation(&mut self, key: ConversationKey) -> Result<Option<Conversation>, Stop> {
        let found: Option<(u64, u8)> = self
            .conn
            .prepare_cached("SELECT number, ties FROM im_conversation WHERE lo = ? AND hi = ?")?
            .query_row((key.lo as i64, key.hi as i64), |row| Ok((number(row, 0)?, row.get(1)?)))
            .optional()?;
        let Some((conversation, ties)) = found else { return Ok(None) };
        let last = Index::Conversations.last(self.conn, conversation)?;
        let message_count = match last {
            None => 0,
            Some(last) => self
                .conn
                .prepare_cached("SELECT msg_no FROM im_message_body WHERE msg_id = ?")?
                .query_row([last.msg_id.0 as i64], |row| number(row, 0))?,
        };
        let head = last.map_or(0, |last| last.position);
        Ok(Some(Conversation { number: conversation, head, message_count, ties: Ties(ties) }))
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

/// A mailbox or conversation holds 2^32 - 1 entries; what comes then fails alone.
fn check_position(position: u64) -> Result<(), Stop> {
    if position > POSITION_MAX { Err(damaged("a sequence is used up")) } else { Ok(()) }
}
