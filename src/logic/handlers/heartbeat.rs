//! HEARTBEAT: answered from memory, so that it costs next to nothing.

use aldis_wire::pb;

use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let _: pb::HeartbeatReq = request.decode()?;
    let session = service.session(request.conn);
    let head = session.and_then(|session| session.online()).map_or(0, |online| online.head.0);
    let heads = service.stream_heads(request.conn).into_iter();
    let heads =
        heads.map(|(group, head)| pb::StreamHead { stream: group.0, head: head.0, cursor: 0 });
    let body = pb::HeartbeatResp {
        head_seq: head,
        server_time_ms: service.now.unix_ms,
        heads: heads.collect(),
    };
    service.respond(request.ticket(service.reactor), &body);
    Ok(())
}
