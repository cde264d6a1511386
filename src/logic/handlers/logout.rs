//! LOGOUT: the device's tokens end, then the session. The connection closes after the answer.

use aldis_wire::pb;

use super::online;
use crate::effect::Goodbye;
use crate::job::{Ticket, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let _: pb::LogoutReq = request.decode()?;
    let session = online(service, request)?;
    let (user, device_id) = (session.user, session.device_id.to_string());
    service.write(request, WriteJob::RevokeDevice { user, device_id });
    if let Some(session) = service.session(request.conn) {
        session.is_leaving = true;
    }
    Ok(())
}

pub(super) fn handle_revoked(service: &mut Service, ticket: Ticket) {
    service.respond(ticket, &pb::LogoutResp {});
    service.close(ticket.conn, Goodbye::LoggedOut);
}
