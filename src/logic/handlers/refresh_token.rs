//! REFRESH_TOKEN: another token like this session's, with a new time.

use aldis_wire::{Code, pb};

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
    let (token, token_expires_ms) = mint(service, &claims)?;
    let body = pb::RefreshTokenResp { token, token_expires_ms };
    service.respond(request.ticket(service.reactor), &body);
    Ok(())
}

/// A token that holds from now on, and until when.
pub(super) fn mint(service: &Service, claims: &Claims) -> Result<(String, u64), Refusal> {
    let now_ms = service.now.unix_ms;
    let expires_ms = now_ms + service.node.config.token_ttl_ms;
    match service.node.keyring.mint(claims, now_ms, expires_ms) {
        Ok(token) => Ok((token, expires_ms / 1000 * 1000)),
        Err(error) => {
            log::error!("tokens cannot be signed: {error}");
            Err(Refusal::new(Code::Internal, "tokens cannot be signed"))
        }
    }
}
