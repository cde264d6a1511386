//! Head checks: what a session may have missed, and whether it is still the live one, and known to be. Here is which
//! sessions are asked about and what the answer does; when they are due by themselves is in
//! `check_times`.

use std::collections::VecDeque;

use aldis_wire::{Command, ConnId, DeviceClass, Epoch, pb};

use super::stream_ends::{self, EndAsk};
use crate::acts::NO_CONN;
use crate::check_times::{CheckTimes, HeadCheckTimes};
use crate::job::{JobError, ReadJob, ReadResult, Ticket, UserHead};
use crate::service::Service;
use crate::session::Session;

/// Users of one head check: a query that a reader answers in well under a millisecond.
const HEAD_CHECK_USERS_MAX: usize = 256;
/// Checks of one reactor that may be under way: one that is answered and one that waits behind it.
/// Clients' own questions stand in the same queue.
const UNDER_WAY_MAX: usize = 2;
/// Pause after a check that the store did not answer, so that a store that is down is not asked
/// without end. ms
const RETRY_MS: u64 = 100;

/// A question of a check under way.
#[derive(Debug)]
struct Check {
    /// In its ticket.
    number: u32,
    question: Question,
}

/// What a check asks the store.
#[derive(Debug)]
enum Question {
    /// How far everything is.
    Heads {
        conns: Vec<ConnId>,
        /// When it began, in ticks of the node's streams.
        tick: u64,
    },
    /// Whether what their users do not follow, as the answer to that said, is over.
    Ends(Vec<EndAsk>),
}

/// The sessions to ask about.
#[derive(Debug)]
pub(crate) struct HeadChecks {
    /// Those that are known to have missed something.
    waiting: VecDeque<ConnId>,
    /// Those that may have missed something that nobody here knows of.
    times: CheckTimes,
    /// Checks under way by the number in their ticket.
    under_way: Vec<Check>,
    last_number: u32,
    /// Outages of the store that were followed by a check of all sessions.
    outages_seen: u32,
    /// The same of alarms.
    alarms_seen: u32,
    /// No check begins before, mono ms.
    not_before_ms: u64,
}

impl HeadChecks {
    /// Nobody is to be asked about.
    pub fn new(times: Option<HeadCheckTimes>) -> Self {
        Self {
            waiting: VecDeque::new(),
            times: CheckTimes::new(times),
            under_way: Vec::new(),
            last_number: 0,
            outages_seen: 0,
            alarms_seen: 0,
            not_before_ms: 0,
        }
    }

    /// Whether a check can begin.
    pub fn is_due(&self, mono_ms: u64) -> bool {
        self.due_at_ms().is_some_and(|at_ms| at_ms <= mono_ms)
    }

    /// When a check can begin, mono ms. `None`: not before something else happens.
    pub fn due_at_ms(&self) -> Option<u64> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return None;
        }
        let at_ms = if self.waiting.is_empty() { self.times.due_at_ms()? } else { 0 };
        Some(at_ms.max(self.not_before_ms))
    }
}

/// Notes a session that entered the directory: what other nodes do before they hear of that does
/// not reach it.
pub(crate) fn note_login(service: &mut Service, conn: ConnId) {
    service.head_checks.times.note_login(service.now.mono_ms, conn);
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
/// its outcome was unknown was delivered to nobody. After an alarm, too.
pub(crate) fn note_outage(service: &mut Service) {
    let (ended_count, alarm_count) =
        (service.node.outages.ended_count(), service.node.alarms.count());
    let checks = &mut service.head_checks;
    let is_seen = (checks.outages_seen, checks.alarms_seen) == (ended_count, alarm_count);
    (checks.outages_seen, checks.alarms_seen) = (ended_count, alarm_count);
    if is_seen {
        return;
    }
    let slots = 0..service.sessions.len();
    service.head_checks.waiting =
        slots.filter_map(|slot| entered_at(&service.sessions, slot)).collect();
}

/// The session in a slot that is to be compared with the store. One whose LOGIN is under way
/// counts: it may have read its head before what it missed was committed.
fn entered_at(sessions: &[Option<Session>], slot: usize) -> Option<ConnId> {
    let session = sessions.get(slot)?.as_ref()?;
    let is_entered = session.entered().is_some() && !session.is_closing;
    is_entered.then_some(ConnId { index: slot as u32, generation: session.generation })
}

/// Asks the store about the sessions that are due, as many as one check takes.
pub(crate) fn begin(service: &mut Service) {
    let (checks, mono_ms) = (&mut service.head_checks, service.now.mono_ms);
    let mut conns = Vec::new();
    while conns.len() < HEAD_CHECK_USERS_MAX {
        let Some(conn) = checks.waiting.pop_front() else { break };
        conns.push(conn);
    }
    if checks.waiting.is_empty() {
        checks.waiting.shrink_to(HEAD_CHECK_USERS_MAX);
    }
    while conns.len() < HEAD_CHECK_USERS_MAX && checks.times.take_login(mono_ms, &mut conns) {}
    let sessions = &service.sessions;
    let session_at = |slot| entered_at(sessions, slot);
    checks.times.take_step(mono_ms, sessions.len(), session_at, &mut conns, HEAD_CHECK_USERS_MAX);
    for &conn in &conns {
        service.list(conn);
    }
    let mut users = Vec::with_capacity(conns.len());
    conns.retain(|&conn| {
        let user = service.session(conn).and_then(|session| session.entered());
        users.extend(user.map(|(user, _)| user));
        user.is_some()
    });
    if users.is_empty() {
        return;
    }
    users.sort_unstable();
    users.dedup();
    let tick = service.node.streams.tick();
    ask(service, Question::Heads { conns, tick }, ReadJob::Heads { users });
}

fn ask(service: &mut Service, question: Question, job: ReadJob) {
    let checks = &mut service.head_checks;
    checks.last_number = checks.last_number.wrapping_add(1);
    let request = checks.last_number;
    checks.under_way.push(Check { number: request, question });
    let ticket = Ticket { request, ..service.own_ticket(NO_CONN) };
    service.start_read(ticket, job);
}

/// Whether a read reply answers a head check.
pub(crate) fn is_ours(ticket: Ticket) -> bool {
    ticket.conn == NO_CONN && ticket.command == Command::Heartbeat
}

/// The store answered a check, or did not: then it is made again.
pub(crate) fn handle_answer(
    service: &mut Service,
    ticket: Ticket,
    result: Result<ReadResult, JobError>,
) {
    let checks = &mut service.head_checks;
    let position = checks.under_way.iter().position(|check| check.number == ticket.request);
    let Some(Check { question, .. }) = position.map(|at| checks.under_way.swap_remove(at)) else {
        return;
    };
    match (question, result) {
        (Question::Heads { conns, tick }, Ok(ReadResult::Heads(heads))) => {
            handle_heads(service, &conns, heads, tick);
        }
        (Question::Ends(asks), Ok(ReadResult::StreamEnds(ends))) => {
            stream_ends::handle_ends(service, &asks, &ends);
        }
        (question, _) => {
            match question {
                Question::Heads { conns, .. } => checks.waiting.extend(conns),
                Question::Ends(asks) => checks.waiting.extend(asks.iter().map(|ask| ask.conn)),
            }
            checks.not_before_ms = service.now.mono_ms + RETRY_MS;
        }
    }
}

/// Raises heads; whoever is behind gets a hint, whoever was fenced is kicked. Heads and epochs only
/// grow, so an answer that is overtaken by newer facts changes nothing.
fn handle_heads(service: &mut Service, conns: &[ConnId], mut heads: Vec<UserHead>, tick: u64) {
    heads.sort_unstable_by_key(|found| found.user);
    let mut asks = Vec::new();
    for &conn in conns {
        let entered = service.session(conn).and_then(|session| session.entered());
        let Some((user, online)) = entered else { continue };
        let Ok(at) = heads.binary_search_by_key(&user, |found| found.user) else { continue };
        let of_class = |(class, _): &&(DeviceClass, Epoch)| *class == online.class;
        let revoked = heads[at].revoked.iter().find(of_class);
        if revoked.is_some_and(|&(_, epoch)| online.epoch <= epoch) {
            service.kick(conn, pb::KickReason::Revoked, String::new());
            continue;
        }
        let newest = heads[at].epochs.iter().find(of_class);
        if newest.is_some_and(|&(_, epoch)| epoch > online.epoch) {
            service.kick(conn, pb::KickReason::Replaced, String::new());
            continue;
        }
        let Some(session) = service.session(conn) else { continue };
        let Some(head) = session.head_of(user) else { continue };
        // Whatever raised the head before told the client of it.
        if heads[at].head > *head {
            *head = heads[at].head;
            service.send_hint(conn);
        }
        handle_streams(service, conn, &heads[at], tick);
        if !stream_ends::gather(service, conn, &heads[at], &mut asks) {
            // The others are for the next check.
            service.head_checks.waiting.push_back(conn);
        }
    }
    if !asks.is_empty() {
        let pairs = asks.iter().map(|ask| (ask.user, ask.group)).collect();
        ask(service, Question::Ends(asks), ReadJob::StreamEnds { asks: pairs });
    }
}

/// The same for what the user follows. One who follows something that the session did not hear of gets a
/// hint of it; whether what it follows no longer is over is asked next.
fn handle_streams(service: &mut Service, conn: ConnId, found: &UserHead, tick: u64) {
    let node = service.node.clone();
    node.streams.reconcile(found.user, &found.streams, tick);
    for followed in &found.streams {
        let Some(session) = service.session(conn) else { return };
        let is_behind = session
            .tell_stream(followed.group, followed.head)
            .is_some_and(|told| told < followed.head);
        if is_behind && !session.is_closing {
            service.send_stream_hint(conn, followed.group, followed.head);
        }
    }
}
