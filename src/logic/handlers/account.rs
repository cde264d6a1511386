//! The steps of LOGIN and REGISTER: which of the two a reply belongs to is the session's state.

use aldis_wire::{Code, ConnId};

use super::{login, register};
use crate::acts::NO_CONN;
use crate::job::{
    HashResult, JobError, ReadResult, Registration, SessionOpened, Ticket, Verdict, WriteJob,
    Written,
};
use crate::request::Refusal;
use crate::service::Service;
use crate::session::State;

/// The password pool has no room. The pause is about what it needs to get through its queue.
pub(crate) const POOL_FULL: Refusal = Refusal {
    code: Code::Busy,
    message: "too many logins and registrations at once",
    retry_after_ms: 1_000,
};

/// A store writer answered.
pub(crate) fn handle_written(
    service: &mut Service,
    ticket: Ticket,
    result: Result<Written, JobError>,
) {
    match result {
        Ok(Written::SessionOpened(opened)) => login::handle_opened(service, ticket, opened),
        Ok(Written::Registered(user)) => register::handle_registered(service, ticket, user),
        Ok(other) => unreachable!("{other:?} is no step of an account"),
        Err(error) => fail(service, ticket, error.into()),
    }
}

/// A store reader answered.
pub(crate) fn handle_read(
    service: &mut Service,
    ticket: Ticket,
    result: Result<ReadResult, JobError>,
) {
    match result {
        Ok(ReadResult::Credentials(found)) => login::handle_credentials(service, ticket, found),
        Ok(ReadResult::LoginState(state)) => login::handle_state(service, ticket, state),
        Ok(other) => unreachable!("{other:?} is no step of an account"),
        Err(error) => fail(service, ticket, error.into()),
    }
}

/// The password pool answered.
pub(crate) fn handle_hashed(service: &mut Service, ticket: Ticket, result: HashResult) {
    match result {
        HashResult::Hashed(phc) => register::handle_hashed(service, ticket, phc),
        HashResult::Verified(is_right) => login::handle_verified(service, ticket, is_right),
        HashResult::Failed => fail(service, ticket, JobError::Internal.into()),
    }
}

/// The directory said whether an attempt may be made.
pub(crate) fn handle_attempted(service: &mut Service, ticket: Ticket, verdict: Verdict) {
    match service.session(ticket.conn).map(|session| &session.state) {
        Some(State::Registering(_)) => register::handle_attempted(service, ticket, verdict),
        _ => login::handle_attempted(service, ticket, verdict),
    }
}

/// The directory answered.
pub(crate) fn handle_registration(service: &mut Service, ticket: Ticket, answer: Registration) {
    login::handle_registration(service, ticket, answer);
}

/// Ends a LOGIN or REGISTER with an error; the connection may try again.
pub(super) fn fail(service: &mut Service, ticket: Ticket, refusal: Refusal) {
    service.refuse(ticket.conn, ticket.command.id(), ticket.request, refusal);
    abandon(service, ticket.conn);
}

/// A LOGIN came to nothing after its session was opened. Its epoch is the newest; as long as it is,
/// every session that is live would be taken for replaced.
pub(crate) fn release(service: &mut Service, conn: ConnId, opened: &SessionOpened) {
    let &SessionOpened { user, class, epoch, before, .. } = opened;
    let ticket = Ticket { conn: NO_CONN, ..service.own_ticket(conn) };
    service.start_write(ticket, WriteJob::ReleaseSession { user, class, epoch, before });
}

/// Back to the state before, and out of the table.
fn abandon(service: &mut Service, conn: ConnId) {
    let session = service.session(conn);
    let (entered, opened) =
        session.map(|session| (session.entered(), session.opened())).unwrap_or_default();
    if let Some((user, online)) = entered {
        service.leave(conn, user, online);
    }
    if let Some(opened) = opened {
        release(service, conn, &opened);
    }
    service.end_account_step(conn, State::Fresh);
}
