//! The part of a head check that finds ends of streams: what a client was told of and its user does not
//! follow any more may be over, and the entry that says so may be in the stream alone. Who missed the
//! push of that entry gets a hint of it. Knows nothing of when checks are due.

use aldis_wire::{ConnId, GroupId, Seq, UserId};

use crate::job::UserHead;
use crate::service::Service;

/// Streams whose ends one check asks for: each costs a reader some questions, and few end at once.
const STREAM_ENDS_MAX: usize = 64;

/// Whether a stream is over for a user is to be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndAsk {
    pub conn: ConnId,
    pub user: UserId,
    pub group: GroupId,
}

/// What the session's client was told of and the user does not follow, as the store found; what is known to
/// be over already needs no question. False: there was no room for all of it.
pub(super) fn gather(
    service: &mut Service,
    conn: ConnId,
    found: &UserHead,
    asks: &mut Vec<EndAsk>,
) -> bool {
    let Some(streams) = service.session(conn).and_then(|session| session.streams()) else {
        return true;
    };
    let user = found.user;
    let is_followed = |group| found.streams.iter().any(|followed| followed.group == group);
    let is_ours = |ask: &EndAsk| ask.conn == conn;
    if asks.iter().any(is_ours) {
        return true; // a session may be in a check twice
    }
    for told in streams.all().filter(|told| !told.is_over && !is_followed(told.group)) {
        if asks.len() >= STREAM_ENDS_MAX {
            return false;
        }
        asks.push(EndAsk { conn, user, group: told.group });
    }
    true
}

/// The store said where these streams ended: whoever was not told of the end gets a hint. What goes on is
/// followed again since, and the next check finds it so.
pub(super) fn handle_ends(service: &mut Service, asks: &[EndAsk], ends: &[Option<Seq>]) {
    for (&EndAsk { conn, user, group }, &end) in asks.iter().zip(ends) {
        let Some(end) = end else { continue };
        let Some(session) = service.session(conn) else { continue };
        if session.is_closing || session.online().is_none_or(|online| online.user != user) {
            continue;
        }
        if session.streams().is_some_and(|streams| streams.end(group, end)) {
            service.send_stream_hint(conn, group, end);
        }
    }
}
