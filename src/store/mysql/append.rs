//! Appends entries to conversations: who may, what is a resend, which place. Knows members only as
//! a list.

use aldis_logic::job::{Append, Appended, InStream, StoredMessage, Ticket, Written};
use aldis_wire::{ClientMsgId, ConvSeq, ConversationKey, MsgId, MsgNo, Seq, UserId, pb};
use bytes::Bytes;
use smallvec::SmallVec;

use super::batch::{Batch, Entry, Outcome};
use super::failure::Stop;
use super::plan::SentKey;
use super::working_set::Sent;
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_USER, NOT_A_PARTY, OTHER_BODY};
use crate::rules::Ties;

/// The owners of an entry, without their seqs.
pub(super) type Owners = SmallVec<[(UserId, Seq); 2]>;

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// Which one of the batch it is.
    pub entry: usize,
    pub conv_seq: ConvSeq,
}

impl Batch<'_, '_> {
    /// MSG_SEND.
    pub(super) fn append(&mut self, origin: Ticket, job: &Append) -> Result<Outcome, Stop> {
        let body_hash = self.stored_hash.body(job);
        let key = SentKey::of(job);
        let sent = self.set.sent.get(&key);
        #[cfg(not(feature = "planted-bugs"))]
        let client_msg_id = job.client_msg_id;
        #[cfg(feature = "planted-bugs")]
        let (sent, client_msg_id) = self.planted.forget_sent(sent, job.client_msg_id);
        if let Some(sent) = sent {
            // Who may no longer send still learns what became of a message sent before.
            if sent.body_hash != body_hash {
                return Err(OTHER_BODY.into());
            }
            return Ok(Outcome { written: Written::Appended(sent.first), entry: sent.entry });
        }
        let (owners, stream) = self.recipients(job)?;
        let draft = Draft {
            msg_id: self.next_id()?,
            conversation: job.conversation,
            sender: job.sender,
            client_msg_id: Some(client_msg_id),
            body_hash,
            kind: job.kind,
            content: job.content.clone(),
            extra: job.extra.clone(),
            refs: job.refs.clone(),
            stream,
        };
        let msg_id = draft.msg_id;
        let Placed { entry, conv_seq } = self.deliver(origin, draft, owners);
        let first = Appended { msg_id, seq: Seq(0), conv_seq, time_ms: self.now_ms };
        self.set.sent.insert(key, Sent { first, body_hash, entry: Some(entry) });
        Ok(Outcome { written: Written::Appended(first), entry: Some(entry) })
    }

    fn recipients(&self, job: &Append) -> Result<(Owners, Option<InStream>), Stop> {
        let key = job.conversation;
        if let Some(group) = key.as_group() {
            let group = &self.set.groups.get(&group).ok_or(NO_SUCH_GROUP)?.group;
            group.check_sender(job.sender, self.now_ms)?;
            let owners = match group.stream {
                None => group.users().map(|user| (user, Seq(0))).collect(),
                Some(_) => Owners::new(),
            };
            return Ok((owners, group.in_stream()));
        }
        if key.lo != job.sender.0 && key.hi != job.sender.0 {
            return Err(NOT_A_PARTY.into());
        }
        let (lo, hi) = (UserId(key.lo), UserId(key.hi));
        if !(self.user_exists(lo) && self.user_exists(hi)) {
            return Err(NO_SUCH_USER.into());
        }
        let conversation = self.set.conversations.get(&key);
        let ties = Ties(conversation.map_or(0, |conversation| conversation.now.ties as u8));
        ties.check_sender(key, job.sender, job.friends_only)?;
        let mut owners = Owners::from_buf([(lo, Seq(0)), (hi, Seq(0))]);
        owners.dedup();
        Ok((owners, None))
    }

    /// Gives the entry its place in the conversation. The sender is one of the owners, who are
    /// ascending, unless it is in a stream.
    pub(super) fn deliver(&mut self, origin: Ticket, draft: Draft, owners: Owners) -> Placed {
        let (conv_seq, msg_no) = match draft.conversation.is_own() {
            // Its place is that in the mailbox, which comes with step B.
            true => (ConvSeq(0), MsgNo(0)),
            false => {
                // A conversation that was not locked is one of users or of a group of this very
                // batch.
                let conversation = self.set.conversations.entry(draft.conversation).or_default();
                let now = &mut conversation.now;
                now.max_seq += 1;
                now.change_seq += 1;
                now.msg_count += u64::from(draft.kind.is_message());
                (ConvSeq(now.max_seq), MsgNo(now.msg_count))
            }
        };
        let message = StoredMessage {
            msg_id: draft.msg_id,
            conversation: draft.conversation,
            conv_seq,
            msg_no,
            sender: draft.sender,
            client_msg_id: draft.client_msg_id.unwrap_or_default(),
            kind: draft.kind,
            content: draft.content,
            extra: draft.extra,
            refs: draft.refs,
            time_ms: self.now_ms,
            flags: 0,
        };
        let entry = self.made.entries.len();
        self.made.entries.push(Entry {
            message,
            has_client_msg_id: draft.client_msg_id.is_some(),
            body_hash: draft.body_hash,
            owners,
            sender_seq: Seq(0),
            origin,
            stream: draft.stream,
        });
        Placed { entry, conv_seq }
    }

    /// The id of the next entry.
    pub(super) fn next_id(&self) -> Result<MsgId, Stop> {
        self.claim.next_id(self.now_ms).map_err(|why| Stop::Abort(why.into()))
    }
}
