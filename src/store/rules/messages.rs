//! What becomes of a message after it was sent. The message keeps its place, id and sender; an entry
//! of its own says what was done, so that whoever was away learns of it. Knows no backend.
//!
//! At most one entry holds a text that was edited, the newest of them: what was said before is gone,
//! and a recall finds all that there is by the message's `edit_seq`.

use aldis_logic::job::{InStream, JobError, MessageChange, MessageJob, Ticket, Written};
use aldis_wire::limits::EDIT_MS_MAX;
use aldis_wire::{ConvSeq, ConversationKey, EDITED, MsgId, MsgNo, RECALLED, Seq, UserId, pb};
use bytes::Bytes;

use super::reactions::{self, Wanted};
use super::{Needs, NewEvent, Once, Rows, SentKey, encode};
use crate::group::{Role, Seats};
use crate::record::{Key, Table};
use crate::refusal::{
    IS_RECALLED, NO_SUCH_GROUP, NO_SUCH_MESSAGE, NO_TEXT, NOT_A_PARTY, NOT_THE_SENDER, TOO_LATE,
};

/// An entry, as far as rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub msg_id: MsgId,
    pub msg_no: MsgNo,
    pub sender: UserId,
    pub kind: pb::MsgType,
    pub time_ms: u64,
    /// Bits [`RECALLED`] and [`EDITED`].
    pub flags: u32,
    /// The conv_seq of the entry with its newest edit; 0: there is none.
    pub edit_seq: u64,
}

/// What an entry says from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyChange {
    pub content: Bytes,
    pub extra: Bytes,
    pub flags: u32,
    pub edit_seq: u64,
}

/// A member of a conversation who changes something in it.
pub(super) struct Actor {
    /// Of a group; two users are both members.
    pub role: Role,
    /// All who get the entry in their mailboxes, ascending.
    pub owners: Vec<UserId>,
    /// The conversation is a stream.
    pub stream: Option<InStream>,
}

pub(super) fn needs(job: &MessageJob) -> Needs {
    let key = job.conversation;
    let group = key.as_group();
    let is_party = group.is_some() || is_party(key, job.actor);
    let mut needs = Needs {
        conversations: if group.is_none() && is_party { vec![key] } else { vec![] },
        seats: group.map(|group| (group, job.actor)).into_iter().collect(),
        targets: vec![(key, job.conv_seq)],
        ..Needs::default()
    };
    match &job.change {
        MessageChange::Recall { .. } => {}
        MessageChange::Edit { request_id, .. } => needs.once.push(sent_key(job, request_id.0)),
        MessageChange::React { .. } => {
            needs.rows.push((Table::Reaction, reactions::row_key(job)));
            needs.stays.extend(group.map(|group| (group, job.actor)));
        }
    }
    needs
}

/// Runs the job.
pub(super) fn change<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &MessageJob,
) -> Result<Written, R::Stop> {
    let seq = match &job.change {
        MessageChange::Recall { within_ms } => recall(rows, origin, job, *within_ms)?,
        MessageChange::Edit { .. } => edit(rows, origin, job)?,
        MessageChange::React { reaction, is_added, friends_only } => {
            let wanted = Wanted { reaction, is_added: *is_added, friends_only: *friends_only };
            reactions::react(rows, origin, job, &wanted)?
        }
    };
    Ok(Written::Changed { seq })
}

fn recall<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &MessageJob,
    within_ms: u64,
) -> Result<Seq, R::Stop> {
    let key = job.conversation;
    let actor = actor(rows, key, job.actor)?;
    let target = message(rows, job)?;
    let (is_sender, rules) = (target.sender == job.actor, actor.role >= Role::Admin);
    if !is_sender && !rules {
        return Err(NOT_THE_SENDER.into());
    }
    if target.flags & RECALLED != 0 {
        return Ok(Seq(0));
    }
    if !rules && is_over(rows.now_ms(), &target, within_ms) {
        return Err(TOO_LATE.into());
    }
    blank_edit(rows, job, &target)?;
    let gone = BodyChange {
        content: Bytes::new(),
        extra: Bytes::new(),
        flags: target.flags | RECALLED,
        edit_seq: 0,
    };
    rows.change_body(key, job.conv_seq, gone)?;
    rows.drop_rows(Table::Reaction, Key::from_slice(&[key.lo, key.hi, job.conv_seq.0]))?;
    let event = NewEvent {
        conversation: key,
        actor: job.actor,
        kind: pb::MsgType::SystemMessage,
        content: encode(&event(pb::MessageEventKind::MessageRecalled, job.conv_seq, &target)),
        once: None,
        stream: actor.stream,
    };
    Ok(rows.add_event(origin, event, &actor.owners)?.seq)
}

fn edit<R: Rows>(rows: &mut R, origin: Ticket, job: &MessageJob) -> Result<Seq, R::Stop> {
    let MessageChange::Edit { request_id, content, extra, within_ms, friends_only } = &job.change
    else {
        unreachable!("it was looked at before")
    };
    let key = job.conversation;
    let wanted = pb::MessageEvent {
        kind: pb::MessageEventKind::MessageEdited.into(),
        conv_seq: job.conv_seq.0,
        content: content.clone(),
        extra: extra.clone(),
        ..pb::MessageEvent::default()
    };
    // Who may no longer edit still learns that an edit was done before.
    let once = Once { id: *request_id, body: encode(&wanted) };
    let kind = pb::MsgType::SystemMessage;
    if rows.is_repeat(&sent_key(job, request_id.0), &once, kind)? {
        return Ok(Seq(0));
    }
    let actor = actor(rows, key, job.actor)?;
    let target = message(rows, job)?;
    if target.sender != job.actor {
        return Err(NOT_THE_SENDER.into());
    }
    if target.kind != pb::MsgType::Text {
        return Err(NO_TEXT.into());
    }
    if target.flags & RECALLED != 0 {
        return Err(IS_RECALLED.into());
    }
    if is_over(rows.now_ms(), &target, (*within_ms).min(EDIT_MS_MAX)) {
        return Err(TOO_LATE.into());
    }
    // Whoever may say nothing more may not say it in the place of what was said before.
    check_speaker(rows, key, job.actor, *friends_only)?;
    blank_edit(rows, job, &target)?;
    let event = NewEvent {
        conversation: key,
        actor: job.actor,
        kind,
        content: encode(&pb::MessageEvent { msg_id: target.msg_id.0, ..wanted }),
        once: Some(once),
        stream: actor.stream,
    };
    let placed = rows.add_event(origin, event, &actor.owners)?;
    let edited = BodyChange {
        content: content.clone(),
        extra: extra.clone(),
        flags: target.flags | EDITED,
        edit_seq: placed.conv_seq.0,
    };
    rows.change_body(key, job.conv_seq, edited)?;
    Ok(placed.seq)
}

/// The entry of the last edit holds a text that is said no longer.
fn blank_edit<R: Rows>(rows: &mut R, job: &MessageJob, target: &Target) -> Result<(), R::Stop> {
    if target.edit_seq == 0 {
        return Ok(());
    }
    let blank = BodyChange {
        content: encode(&event(pb::MessageEventKind::MessageEdited, job.conv_seq, target)),
        extra: Bytes::new(),
        flags: RECALLED,
        edit_seq: 0,
    };
    rows.change_body(job.conversation, ConvSeq(target.edit_seq), blank)
}

pub(super) fn event(
    kind: pb::MessageEventKind,
    conv_seq: ConvSeq,
    target: &Target,
) -> pb::MessageEvent {
    pb::MessageEvent {
        kind: kind.into(),
        msg_id: target.msg_id.0,
        conv_seq: conv_seq.0,
        ..pb::MessageEvent::default()
    }
}

/// The actor, who must be a member now.
pub(super) fn actor<R: Rows>(
    rows: &mut R,
    key: ConversationKey,
    user: UserId,
) -> Result<Actor, R::Stop> {
    if let Some(group) = key.as_group() {
        let group =
            rows.group_for(group, Seats { users: &[user], has_staff: false })?.unwrap_or_default();
        let role = group.member(user).ok_or(NO_SUCH_GROUP)?.role;
        return Ok(Actor { role, owners: group.owners(&[]), stream: group.in_stream() });
    }
    if !is_party(key, user) {
        return Err(NOT_A_PARTY.into());
    }
    let mut owners = vec![UserId(key.lo), UserId(key.hi)];
    owners.dedup();
    Ok(Actor { role: Role::Member, owners, stream: None })
}

/// Refuses a member who may not send anything now.
pub(super) fn check_speaker<R: Rows>(
    rows: &mut R,
    key: ConversationKey,
    actor: UserId,
    friends_only: bool,
) -> Result<(), R::Stop> {
    let Some(group) = key.as_group() else {
        return Ok(rows.ties(key)?.check_sender(key, actor, friends_only)?);
    };
    let now_ms = rows.now_ms();
    let seats = Seats { users: &[actor], has_staff: false };
    Ok(rows.group_for(group, seats)?.unwrap_or_default().check_sender(actor, now_ms)?)
}

/// The message that the job names.
pub(super) fn message<R: Rows>(rows: &mut R, job: &MessageJob) -> Result<Target, R::Stop> {
    let target = rows.target(job.conversation, job.conv_seq)?;
    let target = target.filter(|target| target.kind.is_message());
    target.ok_or_else(|| JobError::into(NO_SUCH_MESSAGE))
}

pub(super) fn is_party(key: ConversationKey, user: UserId) -> bool {
    !key.is_own() && (key.lo == user.0 || key.hi == user.0)
}

fn is_over(now_ms: u64, target: &Target, within_ms: u64) -> bool {
    now_ms > target.time_ms.saturating_add(within_ms)
}

fn sent_key(job: &MessageJob, id: [u8; 16]) -> SentKey {
    SentKey {
        client_msg_id: aldis_wire::ClientMsgId(id),
        sender: job.actor,
        conversation: job.conversation,
    }
}
