//! MARK_DELIVERED: up to where this device holds its mailbox safely.

use aldis_wire::{Code, Seq, pb};

use super::{bad_request, online, receipt_notify};
use crate::job::{Ticket, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::MarkDeliveredReq = request.decode()?;
    if body.stream != 0 {
        return Err(Refusal::new(Code::NotFound, "no such stream"));
    }
    let session = online(service, request)?;
    let (user, device_id, seq) = (session.user, session.device_id.to_string(), Seq(body.seq));
    if seq > session.head {
        return Err(bad_request("seq is above the head"));
    }
    receipt_notify::note_delivered(service, request.conn, seq);
    service.write(request, WriteJob::MarkDelivered { user, device_id, seq });
    Ok(())
}

pub(super) fn handle_marked(service: &mut Service, ticket: Ticket) {
    service.respond(ticket, &pb::MarkDeliveredResp {});
}
