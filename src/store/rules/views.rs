//! What a conversation is to one of its members alone: up to where it is read. Only the user's own
//! devices are told, once for each conversation and transaction. Knows no backend.

use std::collections::BTreeMap;

use aldis_logic::job::{Ticket, ViewChange, ViewJob, Written};
use aldis_wire::{ConvSeq, ConversationKey, Seq, UserId, pb};

use super::messages::is_party;
use super::{Needs, Placed, Rows, get, put, tell_self};
use crate::record::{Key, Table, View};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_MESSAGE, NOT_A_PARTY};

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
    let ViewChange::Read(conv_seq) = job.change;
    Needs {
        conversations: vec![ConversationKey::own(user)],
        rows: vec![(Table::View, Key::from_slice(&[user.0, conversation.lo, conversation.hi]))],
        targets: vec![(conversation, conv_seq)],
        stays: conversation.as_group().map(|group| (group, user)).into_iter().collect(),
        ..Needs::default()
    }
}

/// Runs the job. Its entry comes with [`finish`].
pub(super) fn change<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &ViewJob,
) -> Result<Written, R::Stop> {
    let ViewJob { user, conversation, .. } = *job;
    let ViewChange::Read(conv_seq) = job.change;
    check_sight(rows, conversation, user, conv_seq)?;
    let target = rows.target(conversation, conv_seq)?.ok_or(NO_SUCH_MESSAGE)?;
    let key = [user.0, conversation.lo, conversation.hi];
    let mut view: View = get(rows, &key)?;
    if conv_seq.0 > view.read_seq {
        view.read_seq = conv_seq.0;
        view.read_no = target.msg_no.0;
        put(rows, &key, view)?;
        let deferred = rows.deferred();
        deferred.views.insert((user, conversation), (origin, deferred.job));
    }
    Ok(Written::Changed { seq: Seq(0) })
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
    }
}

/// Refuses what the user cannot see.
fn check_sight<R: Rows>(
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
