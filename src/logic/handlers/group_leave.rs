//! GROUP_LEAVE: the leaver's last entry of the group says so.

use aldis_wire::{Seq, pb};

use super::{group_id, online};
use crate::job::{Ticket, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupLeaveReq = request.decode()?;
    let user = online(service, request)?.user;
    let group = group_id(body.group_id)?;
    service.write(request, WriteJob::LeaveGroup { user, group });
    Ok(())
}

pub(super) fn handle_left(service: &mut Service, ticket: Ticket, seq: Seq) {
    service.note_own_entry(ticket.conn, seq);
    service.respond(ticket, &pb::GroupLeaveResp { seq: seq.0 });
}
