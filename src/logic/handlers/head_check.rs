//! Head checks: what a session may have missed, and whether it is still the live one.

use std::collections::VecDeque;

use aldis_wire::{ConnId, pb};

use crate::job::{JobError, ReadJob, ReadResult, Ticket, UserHead};
use crate::service::Service;

/// Users of one head check: a query that a reader answers in well under a millisecond.
const HEAD_CHECK_USERS_MAX: usize = 256;
/// Pause after a check that the store did not answer, so that a store that is down is not asked
/// without end. ms
const RETRY_MS: u64 = 100;
/// The connection in the ticket of a check: no reactor has so many.
const NO_CONN: ConnId = ConnId { index: u32::MAX, generation: 0 };

/// The sessions that may have missed something.
#[derive(Debug, Default)]
pub(crate) struct HeadChecks {
    /// Those that await a check.
    waiting: VecDeque<ConnId>,
    /// Checks under way by the number in their ticket; bounded by the credits for reads.
    under_way: Vec<(u32, Vec<ConnId>)>,
    last_number: u32,
    /// Outages of the store that were followed by a check of all sessions.
    outages_seen: u32,
    /// No check begins before, mono ms.
    not_before_ms: u64,
}

impl HeadChecks {
    /// Whether a check can begin.
    pub fn is_due(&self, mono_ms: u64) -> bool {
        !self.waiting.is_empty() && mono_ms >= self.not_before_ms
    }

    /// When a check that must be made again can begin, mono ms.
    pub fn retry_at_ms(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(self.not_before_ms)
    }
}

/// Notes a session that may have missed something. One that lost its place in the node's table to a
/// newer session has missed that it is over.
pub(crate) fn note(service: &mut Service, conn: ConnId) {
    let Some(session) = service.session(conn) else { return };
    match session.entered() {
        Some((user, online)) if !session.is_closing && !service.node.table.has(user, online) => {
            service.kick(conn, pb::KickReason::Replaced, String::new());
        }
        _ => service.head_checks.waiting.push_back(conn),
    }
}

/// After an outage of the store every session may have missed something: what was stored although
/// its outcome was unknown was delivered to nobody.
pub(crate) fn note_outage(service: &mut Service) {
    let ended_count = service.node.outages.ended_count();
    if std::mem::replace(&mut service.head_checks.outages_seen, ended_count) == ended_count {
        return;
    }
    let sessions = service.sessions.iter().zip(0..);
    let entered = sessions.filter_map(|(session, index)| {
        let session = session.as_ref().filter(|session| session.entered().is_some())?;
        Some(ConnId { index, generation: session.generation })
    });
    service.head_checks.waiting = entered.collect();
}

/// Asks the store about sessions that wait. A session whose LOGIN is under way counts: it may have
/// read its head before what it missed was committed.
pub(crate) fn begin(service: &mut Service) {
    let (mut users, mut conns) = (Vec::new(), Vec::new());
    while users.len() < HEAD_CHECK_USERS_MAX {
        let Some(conn) = service.head_checks.waiting.pop_front() else { break };
        if let Some((user, _)) = service.session(conn).and_then(|session| session.entered()) {
            users.push(user);
            conns.push(conn);
        }
    }
    if users.is_empty() {
        return;
    }
    users.sort_unstable();
    users.dedup();
    let checks = &mut service.head_checks;
    checks.last_number = checks.last_number.wrapping_add(1);
    let request = checks.last_number;
    checks.under_way.push((request, conns));
    let ticket = Ticket { request, ..service.own_ticket(NO_CONN) };
    service.start_read(ticket, ReadJob::Heads { users });
}

/// Whether a read reply answers a head check.
pub(crate) fn is_ours(ticket: Ticket) -> bool {
    ticket.conn == NO_CONN
}

/// The store answered a check, or did not: then it is made again.
pub(crate) fn handle_answer(
    service: &mut Service,
    ticket: Ticket,
    result: Result<ReadResult, JobError>,
) {
    let checks = &mut service.head_checks;
    let position = checks.under_way.iter().position(|(number, _)| *number == ticket.request);
    let conns = position.map(|at| checks.under_way.swap_remove(at).1).unwrap_or_default();
    match result {
        Ok(ReadResult::Heads(heads)) => handle_heads(service, &heads),
        Ok(_) | Err(_) => {
            checks.waiting.extend(conns);
            checks.not_before_ms = service.now.mono_ms + RETRY_MS;
        }
    }
}

/// Raises heads; whoever is behind gets a hint, whoever was fenced is kicked.
fn handle_heads(service: &mut Service, heads: &[UserHead]) {
    for user_head in heads {
        let (mut here, reactor) = (Vec::new(), service.reactor);
        service.node.table.for_each_of(user_head.user, |online| here.push(online));
        for online in here.into_iter().filter(|online| online.reactor == reactor) {
            let newest = user_head.epochs.iter().find(|(class, _)| *class == online.class);
            if newest.is_some_and(|&(_, epoch)| epoch > online.epoch) {
                service.kick(online.conn, pb::KickReason::Replaced, String::new());
                continue;
            }
            let Some(session) = service.session(online.conn) else { continue };
            let Some(head) = session.head_of(user_head.user) else { continue };
            // Whatever raised the head before told the client of it.
            if user_head.head > *head {
                *head = user_head.head;
                service.send_hint(online.conn);
            }
        }
    }
}
