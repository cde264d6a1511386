//! CHANGE_PASSWORD: the old one is checked as at a login, then all tokens and all other sessions of the
//! user end.

use aldis_wire::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};
use aldis_wire::{Code, pb};

use super::login::{BAD_CREDENTIALS, settle, throttle};
use super::{account, bad_request, device_revoke, online, too_large};
use crate::aside::{PasswordChange, Pending};
use crate::job::{
    Account, HashJob, HashResult, JobError, ReadJob, Revoked, Ticket, Verdict, WriteJob,
};
use crate::request::{Refusal, Request};
use crate::service::Service;
use crate::throttle::Attempt;
use crate::token::Claims;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::ChangePasswordReq = request.decode()?;
    let user = online(service, request)?.user;
    if body.old_password.is_empty() {
        return Err(bad_request("old_password is needed"));
    }
    if body.old_password.len().max(body.new_password.len()) > PASSWORD_BYTES_MAX {
        return Err(too_large("a password is over its limit"));
    }
    if body.new_password.len() < PASSWORD_BYTES_MIN {
        return Err(bad_request("a password has at least 8 bytes"));
    }
    let change = PasswordChange {
        old_password: body.old_password,
        new_password: body.new_password,
        account: None,
    };
    let Some(session) = service.session(request.conn) else { return Ok(()) };
    session.aside().pending.push((request.seq, Pending::Password(Box::new(change))));
    service.read(request, ReadJob::Account { user });
    Ok(())
}

/// The store said what the password is now.
pub(super) fn handle_account(service: &mut Service, ticket: Ticket, account: Account) {
    let result = check_old(service, ticket, account);
    refuse(service, ticket, result);
}

fn check_old(service: &mut Service, ticket: Ticket, known: Account) -> Result<(), Refusal> {
    let (node, now) = (service.node.clone(), service.now);
    let Some(session) = service.session(ticket.conn) else { return Ok(()) };
    let address = session.address;
    let Some(mut change) = take(session, ticket) else { return Ok(()) };
    let attempt = Attempt::password(&known.username, address);
    throttle(&node, now, &attempt)?;
    change.account = Some(known);
    if !service.start_attempt(ticket, attempt) {
        return verify_old(service, ticket, change);
    }
    put_back(service, ticket, change);
    Ok(())
}

/// The directory said whether the password may be tried.
pub(super) fn handle_attempted(service: &mut Service, ticket: Ticket, verdict: Verdict) {
    let (node, now) = (service.node.clone(), service.now);
    let Some(session) = service.session(ticket.conn) else { return };
    let address = session.address;
    let Some(change) = take(session, ticket) else { return };
    let Some(known) = &change.account else { return };
    let attempt = Attempt::password(&known.username, address);
    let result = settle(&node, now, &attempt, verdict);
    let result = result.and_then(|()| verify_old(service, ticket, change));
    refuse(service, ticket, result);
}

fn verify_old(
    service: &mut Service,
    ticket: Ticket,
    mut change: Box<PasswordChange>,
) -> Result<(), Refusal> {
    let Some(known) = &change.account else { return Ok(()) };
    let password_phc = known.password_phc.clone();
    let password = std::mem::take(&mut change.old_password);
    hash(service, ticket, change, HashJob::Verify { password, password_phc })
}

/// The password pool answered.
pub(super) fn handle_hashed(service: &mut Service, ticket: Ticket, result: HashResult) {
    let result = match result {
        HashResult::Verified(false) => Err(BAD_CREDENTIALS),
        HashResult::Verified(true) => hash_new(service, ticket),
        HashResult::Hashed(password_phc) => store(service, ticket, password_phc),
        HashResult::Failed => Err(JobError::Internal.into()),
    };
    refuse(service, ticket, result);
}

fn hash_new(service: &mut Service, ticket: Ticket) -> Result<(), Refusal> {
    let Some(session) = service.session(ticket.conn) else { return Ok(()) };
    let address = session.address;
    let Some(mut change) = take(session, ticket) else { return Ok(()) };
    if let Some(account) = &change.account {
        service.forgive(ticket.conn, Attempt::password(&account.username, address));
    }
    let password = std::mem::take(&mut change.new_password);
    hash(service, ticket, change, HashJob::Hash { password })
}

fn hash(
    service: &mut Service,
    ticket: Ticket,
    change: Box<PasswordChange>,
    job: HashJob,
) -> Result<(), Refusal> {
    if !service.has_hash(ticket.conn) {
        return Err(account::POOL_FULL);
    }
    if put_back(service, ticket, change) {
        service.start_hash(ticket, job);
    }
    Ok(())
}

/// Keeps what is known until the answer to a job comes that is about to begin.
fn put_back(service: &mut Service, ticket: Ticket, change: Box<PasswordChange>) -> bool {
    let Some(session) = service.session(ticket.conn) else { return false };
    session.aside().pending.push((ticket.request, Pending::Password(change)));
    service.begin(ticket.conn);
    true
}

fn store(service: &mut Service, ticket: Ticket, password_phc: String) -> Result<(), Refusal> {
    let Some(session) = service.session(ticket.conn) else { return Ok(()) };
    let change = take(session, ticket);
    let (Some(old), Some(online)) = (change.and_then(|change| change.account), session.online())
    else {
        return Ok(());
    };
    let job = WriteJob::ChangePassword {
        user: online.user,
        password_phc,
        old_phc: old.password_phc,
        keep: (online.online.class, online.online.epoch),
        device_id: online.device_id.to_string(),
    };
    service.begin(ticket.conn);
    service.start_write(ticket, job);
    Ok(())
}

/// It is stored.
pub(super) fn handle_changed(service: &mut Service, ticket: Ticket, revoked: &Revoked) {
    let Some(session) = service.session(ticket.conn) else { return };
    let crate::session::State::Online(online) = &mut session.state else { return };
    online.generations = revoked.generations;
    let user = online.user;
    let claims = Claims {
        user,
        device_id: online.device_id.to_string(),
        class: online.online.class,
        generations: online.generations,
    };
    match service.node.mint(&claims, service.now) {
        Ok((token, token_expires_ms)) => {
            service.respond(ticket, &pb::ChangePasswordResp { token, token_expires_ms });
        }
        Err(refusal) => refuse(service, ticket, Err(refusal)),
    }
    device_revoke::end_sessions(service, user, revoked);
}

fn take(session: &mut crate::session::Session, ticket: Ticket) -> Option<Box<PasswordChange>> {
    match session.take_pending(ticket.request)? {
        Pending::Password(change) => Some(change),
        _ => None,
    }
}

/// Answers with an error; nothing is kept of the request.
fn refuse(service: &mut Service, ticket: Ticket, result: Result<(), Refusal>) {
    let Err(refusal) = result else { return };
    if let Some(session) = service.session(ticket.conn) {
        session.take_pending(ticket.request);
    }
    debug_assert_ne!(refusal.code, Code::Ok);
    service.refuse(ticket.conn, ticket.command.id(), ticket.request, refusal);
}
