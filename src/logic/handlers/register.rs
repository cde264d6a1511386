//! REGISTER: hash the password, then create the user.

use std::net::IpAddr;

use aldis_wire::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, USERNAME_BYTES_MAX};
use aldis_wire::name::normalize_username;
use aldis_wire::{Code, RequestId, UserId, pb};

use super::{account, bad_request, check_display_name, id_16, too_large};
use crate::job::{HashJob, NewUser, Ticket, WriteJob};
use crate::node::Node;
use crate::now::Now;
use crate::request::{Refusal, Request};
use crate::service::Service;
use crate::session::{Registering, State};

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::RegisterReq = request.decode()?;
    if service.session(request.conn).is_some_and(|session| session.online().is_some()) {
        return Err(Refusal::new(Code::Forbidden, "already logged in"));
    }
    let (user, password) = check(body)?;
    if !service.has_hash(request.conn) {
        return Err(account::POOL_FULL);
    }
    let now = service.now;
    let Some(session) = service.session(request.conn) else { return Ok(()) };
    let address = session.address;
    throttle(&service.node, now, address)?;
    let state = State::Registering(Box::new(Registering { request: request.seq, user }));
    service.begin_account_step(request.conn, state);
    let ticket = request.ticket(service.reactor);
    service.start_hash(ticket, HashJob::Hash { password });
    Ok(())
}

/// The user to create, still without a hash, and the password.
pub(crate) fn check(body: pb::RegisterReq) -> Result<(NewUser, String), Refusal> {
    let username = normalize_username(&body.username).ok_or_else(|| {
        if body.username.len() > USERNAME_BYTES_MAX {
            return too_large("the username is over its limit");
        }
        bad_request("a username is 1 to 64 bytes of letters, digits, _ - and .")
    })?;
    let nickname = if body.nickname.is_empty() { body.username } else { body.nickname };
    check_display_name(&nickname)?;
    if body.password.len() > PASSWORD_BYTES_MAX {
        return Err(too_large("the password is over its limit"));
    }
    if body.password.len() < PASSWORD_BYTES_MIN {
        return Err(bad_request("a password has at least 8 bytes"));
    }
    let request_id = RequestId(id_16(&body.request_id, "request_id has 16 bytes")?);
    Ok((NewUser { username, nickname, password_phc: String::new(), request_id }, body.password))
}

/// Counts a registration, or says when the next one may come.
pub(crate) fn throttle(node: &Node, now: Now, address: IpAddr) -> Result<(), Refusal> {
    node.throttle.lock().register(now, address).map_err(|retry_after_ms| {
        let refusal = Refusal::new(Code::RateLimited, "too many registrations");
        Refusal { retry_after_ms, ..refusal }
    })
}

pub(super) fn handle_hashed(service: &mut Service, ticket: Ticket, password_phc: String) {
    let Some(session) = service.session(ticket.conn) else { return };
    let State::Registering(registering) = &mut session.state else { return };
    if registering.request != ticket.request {
        return;
    }
    let user = NewUser { password_phc, ..registering.user.clone() };
    service.start_write(ticket, WriteJob::Register(user));
}

pub(super) fn handle_registered(service: &mut Service, ticket: Ticket, user: UserId) {
    service.respond(ticket, &pb::RegisterResp { user_id: user.0 });
    service.end_account_step(ticket.conn, State::Fresh);
}
