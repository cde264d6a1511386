//! REFRESH_TOKEN: another token like this session's, with a new time.

use aldis_wire::pb;

use super::online;
use crate::request::{Refusal, Request};
use crate::service::Service;
use crate::token::Claims;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let _: pb::RefreshTokenReq = request.decode()?;
    let session = online(service, request)?;
    let claims = Claims {
        user: session.user,
        device_id: session.device_id.to_string(),
        class: session.online.class,
        generations: session.generations,
    };
    let (token, token_expires_ms) = service.node.mint(&claims, service.now)?;
    let body = pb::RefreshTokenResp { token, token_expires_ms };
    service.respond(request.ticket(service.reactor), &body);
    Ok(())
}
