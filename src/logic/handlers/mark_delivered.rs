//! MARK_DELIVERED: up to where this device holds its mailbox, or a stream, safely.

use aldis_wire::{Seq, pb};

use super::{NO_SUCH_STREAM, bad_request, online, receipt_notify, stream_id};
use crate::job::{Ticket, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::MarkDeliveredReq = request.decode()?;
    if body.stream != 0 {
        return mark_stream(service, request, body);
    }
    let session = online(service, request)?;
    let (user, device_id, seq) = (session.user, session.device_id.to_string(), Seq(body.seq));
    if seq > session.head {
        return Err(bad_request("seq is above the head"));
    }
    receipt_notify::note_delivered(service, request.conn, seq);
    service.write(request, WriteJob::MarkDelivered { user, device_id, stream: None, seq });
    Ok(())
}

/// Only of a stream that the session was told of, and up to there.
fn mark_stream(
    service: &mut Service,
    request: &Request<'_>,
    body: pb::MarkDeliveredReq,
) -> Result<(), Refusal> {
    let group = stream_id(body.stream)?;
    let told = service.stream_heads(request.conn).into_iter().find(|(known, _)| *known == group);
    let (_, head) = told.ok_or(NO_SUCH_STREAM)?;
    let session = online(service, request)?;
    let (user, device_id, seq) = (session.user, session.device_id.to_string(), Seq(body.seq));
    if seq > head {
        return Err(bad_request("seq is above the head"));
    }
    let stream = Some(group);
    service.write(request, WriteJob::MarkDelivered { user, device_id, stream, seq });
    Ok(())
}

pub(super) fn handle_marked(service: &mut Service, ticket: Ticket) {
    service.respond(ticket, &pb::MarkDeliveredResp {});
}
