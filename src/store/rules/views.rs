//! What a conversation is to one of its members alone: up to where it is read and cleared, whether it
//! is pinned. Only the user's own devices are told, once for each conversation and transaction. Knows
//! no backend.

use std::collections::BTreeMap;

use aldis_logic::job::{Ticket, ViewChange, ViewJob, Written};
use aldis_wire::limits::PINNED_MAX;
use aldis_wire::{ConvSeq, ConversationKey, Seq, UserId, pb};

use super::messages::is_party;
use super::{Needs, Placed, Rows, get, put, tell_self};
use crate::record::{Key, Table, Tally, View};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_MESSAGE, NOT_A_PARTY, TOO_MANY_PINNED};

/// A conversation that exists has this entry.
const FIRST: ConvSeq = ConvSeq(1);

/// What a transaction tells users of themselves at its end.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    /// Which job of the transaction runs.
    pub job: usize,
    /// By view that was changed: the last job that did it.
    views: BTreeMap<(UserId, ConversationKey), (Ticket, usize)>,
}

pub(super) fn needs(job: &ViewJob) -> Needs {
    let ViewJob { user, conversation, .. } = *job;
    let mut needs = Needs {
        conversations: vec![ConversationKey::own(user)],
        rows: vec![(Table::View, Key::from_slice(&[user.0, conversation.lo, conversation.hi]))],
        stays: conversation.as_group().map(|group| (group, user)).into_iter().collect(),
        ..Needs::default()
    };
    match job.change {
        ViewChange::Read(conv_seq) => needs.targets.push((conversation, conv_seq)),
        ViewChange::Update { pinned, cleared, .. } => {
            needs.targets.push((conversation, cleared.unwrap_or(FIRST)));
            if pinned.is_some() {
                needs.users.push(user);
                needs.rows.push((Table::Tally, Key::from_slice(&[user.0])));
            }
        }
    }
    needs
}

/// Runs the job. Its entry comes with [`finish`].
pub(super) fn change<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &ViewJob,
) -> Result<Written, R::Stop> {
    let ViewJob { user, conversation, .. } = *job;
    let key = [user.0, conversation.lo, conversation.hi];
    let before: View = get(rows, &key)?;
    let view = match job.change {
        ViewChange::Read(at) => {
            check_sight(rows, conversation, user, at)?;
            let target = rows.target(conversation, at)?.ok_or(NO_SUCH_MESSAGE)?;
            match at.0 > before.read_seq {
                true => View { read_seq: at.0, read_no: target.msg_no.0, ..before },
                false => before,
            }
        }
        ViewChange::Update { pinned, muted, cleared } => {
            let mut view = cleared_view(rows, job, before, cleared)?;
            view.muted = muted.map_or(view.muted, u64::from);
            if let Some(pinned) = pinned {
                pin(rows, user, &mut view, pinned)?;
            }
            view
        }
    };
    if view != before {
        put(rows, &key, view)?;
        let deferred = rows.deferred();
        deferred.views.insert((user, conversation), (origin, deferred.job));
    }
    Ok(Written::Changed { seq: Seq(0) })
}

/// The view with the history cleared up to and with an entry, if one is named. The conversation must
/// be one that the user can see something of.
fn cleared_view<R: Rows>(
    rows: &mut R,
    job: &ViewJob,
    view: View,
    cleared: Option<ConvSeq>,
) -> Result<View, R::Stop> {
    let ViewJob { user, conversation, .. } = *job;
    let Some(at) = cleared else {
        let is_there = match conversation.as_group() {
            Some(group) => !rows.stays(group, user)?.is_empty(),
            None => is_party(conversation, user) && rows.target(conversation, FIRST)?.is_some(),
        };
        return if is_there { Ok(view) } else { Err(NOT_A_PARTY.into()) };
    };
    check_sight(rows, conversation, user, at)?;
    let target = rows.target(conversation, at)?.ok_or(NO_SUCH_MESSAGE)?;
    match at.0 > view.cleared_seq {
        true => Ok(View { cleared_seq: at.0, cleared_no: target.msg_no.0, ..view }),
        false => Ok(view),
    }
}

fn pin<R: Rows>(
    rows: &mut R,
    user: UserId,
    view: &mut View,
    is_pinned: bool,
) -> Result<(), R::Stop> {
    if is_pinned == (view.pinned_ms != 0) {
        return Ok(());
    }
    let mut tally: Tally = get(rows, &[user.0])?;
    if is_pinned {
        if tally.pinned >= PINNED_MAX as u64 {
            return Err(TOO_MANY_PINNED.into());
        }
        tally.pinned += 1;
        view.pinned_ms = rows.now_ms().max(1);
    } else {
        tally.pinned = tally.pinned.saturating_sub(1);
        view.pinned_ms = 0;
    }
    put(rows, &[user.0], tally)
}

/// Tells what was deferred: the jobs whose results name the entries, with their places.
pub(crate) fn finish<R: Rows>(rows: &mut R) -> Result<Vec<(usize, Placed)>, R::Stop> {
    let views = std::mem::take(&mut rows.deferred().views);
    let mut told = Vec::with_capacity(views.len());
    for ((user, conversation), (origin, job)) in views {
        let view: View = get(rows, &[user.0, conversation.lo, conversation.hi])?;
        let what = pb::self_event::What::View(shown(user, conversation, &view));
        told.push((job, tell_self(rows, origin, user, what)?));
    }
    Ok(told)
}

/// The view as its user sees it.
pub(crate) fn shown(user: UserId, key: ConversationKey, view: &View) -> pb::ConversationView {
    pb::ConversationView {
        receiver_id: key.peer_of(user).map_or(0, |peer| peer.0),
        group_id: key.as_group().map_or(0, |group| group.0),
        read_conv_seq: view.read_seq,
        pinned_ms: view.pinned_ms,
        muted: view.muted != 0,
        cleared_conv_seq: view.cleared_seq,
    }
}

/// Refuses what the user cannot see.
pub(super) fn check_sight<R: Rows>(
    rows: &mut R,
    key: ConversationKey,
    user: UserId,
    at: ConvSeq,
) -> Result<(), R::Stop> {
    let Some(group) = key.as_group() else {
        return if is_party(key, user) { Ok(()) } else { Err(NOT_A_PARTY.into()) };
    };
    let stays = rows.stays(group, user)?;
    if stays.is_empty() {
        return Err(NO_SUCH_GROUP.into());
    }
    match stays.iter().any(|stay| (stay.first..=stay.last).contains(&at.0)) {
        true => Ok(()),
        false => Err(NO_SUCH_MESSAGE.into()),
    }
}
