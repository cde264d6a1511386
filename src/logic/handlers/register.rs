//! REGISTER: hash the password, then create the user.

use aldis_wire::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, USERNAME_BYTES_MAX};
use aldis_wire::name::normalize_username;
use aldis_wire::{Code, RequestId, UserId, pb};

use super::{account, bad_request, check_display_name, id_16, login, too_large};
use crate::job::{HashJob, NewUser, Ticket, Verdict, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;
use crate::session::{Registering, State};
use crate::throttle::Attempt;

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
    let attempt = Attempt::registration(session.address);
    login::throttle(&service.node, now, &attempt)?;
    let registering = Registering { request: request.seq, user, password };
    service.begin_account_step(request.conn, State::Registering(Box::new(registering)));
    let ticket = request.ticket(service.reactor);
    if !service.start_attempt(ticket, attempt) {
        hash(service, ticket);
    }
    Ok(())
}

/// The directory said whether the address may register one more.
pub(super) fn handle_attempted(service: &mut Service, ticket: Ticket, verdict: Verdict) {
    let (node, now) = (service.node.clone(), service.now);
    let Some(address) = service.session(ticket.conn).map(|session| session.address) else { return };
    match login::settle(&node, now, &Attempt::registration(address), verdict) {
        // Others may have taken what room there was.
        Ok(()) if !service.has_hash(ticket.conn) => {
            account::fail(service, ticket, account::POOL_FULL);
        }
        Ok(()) => hash(service, ticket),
        Err(refusal) => account::fail(service, ticket, refusal),
    }
}

fn hash(service: &mut Service, ticket: Ticket) {
    let Some(registering) = registering(service, ticket) else { return };
    let password = std::mem::take(&mut registering.password);
    service.start_hash(ticket, HashJob::Hash { password });
}

fn registering(service: &mut Service, ticket: Ticket) -> Option<&mut Registering> {
    match &mut service.session(ticket.conn)?.state {
        State::Registering(registering) if registering.request == ticket.request => {
            Some(registering)
        }
        _ => None,
    }
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

pub(super) fn handle_hashed(service: &mut Service, ticket: Ticket, password_phc: String) {
    let Some(registering) = registering(service, ticket) else { return };
    let user = NewUser { password_phc, ..registering.user.clone() };
    service.start_write(ticket, WriteJob::Register(user));
}

pub(super) fn handle_registered(service: &mut Service, ticket: Ticket, user: UserId) {
    service.respond(ticket, &pb::RegisterResp { user_id: user.0 });
    service.end_account_step(ticket.conn, State::Fresh);
}
