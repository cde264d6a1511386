//! How members react to messages: a few short texts of each member, told to all as entries. What is
//! recalled has none. Knows no backend.

use aldis_logic::job::{MessageJob, Ticket};
use aldis_wire::limits::REACTIONS_PER_USER_MAX;
use aldis_wire::{RECALLED, Seq, pb};

use super::messages::{actor, event, message};
use super::views::check_sight;
use super::{NewEvent, Rows, encode, get, put};
use crate::record::{Key, Reactions, Table};
use crate::refusal::{IS_RECALLED, NO_SUCH_GROUP, TOO_MANY_REACTIONS};

/// What the actor wants of the message's reactions.
pub(super) struct Wanted<'a> {
    pub reaction: &'a str,
    /// Or taken back.
    pub is_added: bool,
    pub friends_only: bool,
}

/// Of the actor's own reactions.
pub(super) fn row_key(job: &MessageJob) -> Key {
    let key = job.conversation;
    Key::from([key.lo, key.hi, job.conv_seq.0, job.actor.0])
}

/// Who may send there may react, to what that one can see.
pub(super) fn react<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &MessageJob,
    wanted: &Wanted<'_>,
) -> Result<Seq, R::Stop> {
    let key = job.conversation;
    let owners = actor(rows, key, job.actor)?.owners;
    check_sight(rows, key, job.actor, job.conv_seq)?;
    let target = message(rows, job)?;
    if target.flags & RECALLED != 0 {
        return Err(IS_RECALLED.into());
    }
    let row_key = row_key(job);
    let mut own: Reactions = get(rows, &row_key)?;
    let is_there = own.list.iter().any(|made| made == wanted.reaction);
    if is_there == wanted.is_added {
        return Ok(Seq(0));
    }
    match key.as_group() {
        Some(group) => {
            let group = rows.group(group)?.ok_or(NO_SUCH_GROUP)?;
            group.check_sender(job.actor, rows.now_ms())?;
        }
        None => rows.ties(key)?.check_sender(key, job.actor, wanted.friends_only)?,
    }
    let kind = if wanted.is_added {
        if own.list.len() >= REACTIONS_PER_USER_MAX {
            return Err(TOO_MANY_REACTIONS.into());
        }
        own.list.push(wanted.reaction.to_owned());
        pb::MessageEventKind::MessageReacted
    } else {
        own.list.retain(|made| made != wanted.reaction);
        pb::MessageEventKind::MessageUnreacted
    };
    if own.list.is_empty() {
        rows.drop_rows(Table::Reaction, row_key)?;
    } else {
        put(rows, &row_key, own)?;
    }
    let told = pb::MessageEvent {
        reaction: wanted.reaction.to_owned(),
        ..event(kind, job.conv_seq, &target)
    };
    let event = NewEvent {
        conversation: key,
        actor: job.actor,
        kind: pb::MsgType::SystemMessage,
        content: encode(&told),
        once: None,
    };
    Ok(rows.add_event(origin, event, &owners)?.seq)
}
