//! PRESENCE_SUBSCRIBE: whose coming and going a session wants to hear of from now on.

use std::sync::atomic::Ordering;

use aldis_wire::{Code, ConnId, UserId, pb};

use super::presence;
use crate::request::{Refusal, Request};
use crate::service::Service;

/// All sessions of the reactor together watch as many users as they may. The pause is about what it
/// takes for some of them to end.
const NO_ROOM: Refusal = Refusal {
    code: Code::Busy,
    message: "too many users are watched on this node",
    retry_after_ms: 10_000,
};

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::PresenceSubscribeReq = request.decode()?;
    presence::ask(service, request, &body.user_ids)
}

/// The session watches these, and those that it watched before no longer.
pub(super) fn replace(
    service: &mut Service,
    conn: ConnId,
    users: &[UserId],
) -> Result<(), Refusal> {
    let now_ms = service.now.mono_ms;
    end(service, conn);
    if !service.presence.board.has_room(users.len()) {
        return Err(NO_ROOM);
    }
    let Some(session) = service.session(conn) else { return Ok(()) };
    session.aside().watching = users.into();
    service.node.watch_count.fetch_add(users.len(), Ordering::Relaxed);
    users.iter().for_each(|user| service.presence.board.watch(now_ms, conn, *user));
    Ok(())
}

/// The session watches nobody any more.
pub(crate) fn end(service: &mut Service, conn: ConnId) {
    let Some(session) = service.session(conn) else { return };
    let Some(aside) = &mut session.aside else { return };
    let watching = std::mem::take(&mut aside.watching);
    service.node.watch_count.fetch_sub(watching.len(), Ordering::Relaxed);
    watching.iter().for_each(|user| service.presence.board.unwatch(conn, *user));
}
