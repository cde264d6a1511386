//! Who is there: answers to those who ask, and what is told to sessions that want to hear of it. Where
//! users are the directory says, who may see it the store. When it is looked at is in `presence`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aldis_wire::limits::PRESENCE_USERS_MAX;
use aldis_wire::{Command, ConnId, OutFrame, UserId, pb};
use foldhash::fast::FixedState;

use super::{ID_MAX, online, too_large};
use crate::acts::NO_CONN;
use crate::aside::Pending;
use crate::credits::Need;
use crate::effect::{Effect, Lane};
use crate::job::{JobError, LocateReply, ReadJob, ReadResult, Ticket, WriteJob};
use crate::node::LinkUse;
use crate::presence::{Board, Change, Classes, Hints};
use crate::request::{Refusal, Request};
use crate::service::Service;

/// Users of one look into the directory.
const LOOK_USERS_MAX: usize = 256;
/// Pause between two looks: with the above some 2,500 users a second for each reactor, whatever
/// comes. ms
const LOOK_PAUSE_MS: u64 = 100;
/// Watchers of one question who may see.
const TELL_WATCHERS_MAX: usize = 256;
/// Pause between two messages to the others about who came and went here. ms
const HINT_PAUSE_MS: u64 = 200;
/// When users were seen last is stored together. ms
const SEEN_PAUSE_MS: u64 = 5_000;
/// Users of one such job.
const SEEN_USERS_MAX: usize = 256;
/// Users who wait for one. Of more it is not stored.
const SEEN_WAITING_MAX: usize = 65_536;

/// What a service has to do about presence.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    pub board: Board,
    /// For the others.
    hints: Hints,
    hints_not_before_ms: u64,
    look_not_before_ms: u64,
    /// Of whom the directory is asked.
    looking: Option<Vec<UserId>>,
    /// What the watchers are to be told if they may see it.
    telling: Option<Vec<Change>>,
    departures_seen: u32,
    seen: BTreeMap<UserId, u64>,
    seen_at_ms: u64,
}

impl Presence {
    /// When a reader is wanted, mono ms.
    pub fn read_due_at_ms(&self) -> Option<u64> {
        let tell = (self.board.has_changes() && self.telling.is_none()).then_some(0);
        let look = self.board.due_at_ms().filter(|_| self.looking.is_none());
        tell.or(look.map(|at_ms| at_ms.max(self.look_not_before_ms)))
    }

    /// When something else is to be done, mono ms. When users were seen last waits for a turn that
    /// comes anyway.
    pub fn due_at_ms(&self) -> Option<u64> {
        (!self.hints.is_empty()).then_some(self.hints_not_before_ms)
    }
}

/// A session begins or ends.
pub(crate) fn note(service: &mut Service, user: UserId, has_come: bool) {
    let (now, presence) = (service.now, &mut service.presence);
    let is_alone = service.node.config.link == LinkUse::Off;
    match has_come {
        // Nobody wants to hear of it.
        _ if is_alone && service.node.watch_count.load(Ordering::Relaxed) == 0 => {}
        true => presence.hints.came(user),
        false => presence.hints.left(user),
    }
    if presence.seen.is_empty() {
        presence.seen_at_ms = now.mono_ms + SEEN_PAUSE_MS;
    }
    if presence.seen.len() < SEEN_WAITING_MAX || presence.seen.contains_key(&user) {
        presence.seen.insert(user, now.unix_ms);
    }
}

/// Does what is due.
pub(crate) fn run(service: &mut Service) {
    let now_ms = service.now.mono_ms;
    let departures = service.node.departures.count();
    let presence = &mut service.presence;
    if std::mem::replace(&mut presence.departures_seen, departures) != departures {
        presence.board.handle_departure(now_ms);
    }
    if !presence.hints.is_empty() && now_ms >= presence.hints_not_before_ms {
        presence.hints_not_before_ms = now_ms + HINT_PAUSE_MS;
        let hints = std::mem::take(&mut presence.hints);
        service.emit(Effect::Hints(Arc::new(hints)));
    }
    let is_seen_due = service.is_draining || now_ms >= service.presence.seen_at_ms;
    while is_seen_due && !service.presence.seen.is_empty() && service.credits.has(Need::Write) {
        store_seen(service);
    }
    while service.presence.read_due_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
        && service.credits.has(Need::Read)
    {
        if service.presence.board.has_changes() && service.presence.telling.is_none() {
            ask_who_may_see(service);
        } else {
            look(service);
        }
    }
}

/// Stores when users were seen last, all that is left when the node goes away.
fn store_seen(service: &mut Service) {
    let seen = &mut service.presence.seen;
    let mut users = Vec::new();
    while users.len() < SEEN_USERS_MAX
        && let Some(next) = seen.pop_first()
    {
        users.push(next);
    }
    let ticket = service.own_ticket(NO_CONN);
    service.start_write(ticket, WriteJob::NoteSeen { users });
}

fn own_ticket(service: &Service) -> Ticket {
    Ticket { command: Command::PresenceSubscribe, ..service.own_ticket(NO_CONN) }
}

/// Whether a reply answers a question of this file.
pub(crate) fn is_ours(ticket: Ticket) -> bool {
    ticket.conn == NO_CONN && ticket.command == Command::PresenceSubscribe
}

/// Asks the directory where those are who are due.
fn look(service: &mut Service) {
    let (now_ms, presence) = (service.now.mono_ms, &mut service.presence);
    let users = presence.board.take_due(now_ms, LOOK_USERS_MAX);
    presence.look_not_before_ms = now_ms + LOOK_PAUSE_MS;
    presence.looking = Some(users.clone());
    let ticket = own_ticket(service);
    service.start_locate(ticket, users);
}

/// The directory said where those are whom sessions watch.
pub(crate) fn handle_looked(service: &mut Service, reply: &LocateReply) {
    let now_ms = service.now.mono_ms;
    let found = found(service, reply);
    let users = service.presence.looking.take().unwrap_or_default();
    for user in users.iter().filter(|user| !reply.unknown.contains(user)) {
        let classes = here(service, *user, found.get(user).copied().unwrap_or_default());
        service.presence.board.handle_found(now_ms, *user, classes);
    }
}

/// Asks the store which watchers may be told what is new.
fn ask_who_may_see(service: &mut Service) {
    let changes = service.presence.board.take_changes(TELL_WATCHERS_MAX);
    let mut pairs = Vec::new();
    for change in &changes {
        pairs.extend(change.watchers.iter().map(|conn| (viewer(service, *conn), change.user)));
    }
    service.presence.telling = Some(changes);
    let ticket = own_ticket(service);
    service.start_read(ticket, ReadJob::Sight { pairs });
}

/// Whose a connection is; user 0 if it is gone, who sees nobody.
fn viewer(service: &Service, conn: ConnId) -> UserId {
    let session = service.sessions.get(conn.index as usize).and_then(Option::as_ref);
    let session = session.filter(|session| session.generation == conn.generation);
    session.and_then(|session| session.online()).map_or(UserId(0), |online| online.user)
}

/// The store said who may see; those are told.
pub(crate) fn handle_sight(service: &mut Service, result: Result<ReadResult, JobError>) {
    let changes = service.presence.telling.take().unwrap_or_default();
    let Ok(ReadResult::Sight(seen)) = result else {
        let board = &mut service.presence.board;
        return changes.iter().for_each(|change| board.note_untold(change.user));
    };
    let mut told: BTreeMap<ConnId, Vec<pb::PresenceInfo>> = BTreeMap::new();
    let mut seen = seen.into_iter();
    for Change { user, classes, watchers } in changes {
        for conn in watchers {
            if let Some(Some(last_seen_ms)) = seen.next() {
                told.entry(conn).or_default().push(info(user, classes, last_seen_ms, false));
            }
        }
    }
    for (conn, users) in told {
        let Some(session) = service.session(conn) else { continue };
        if session.online().is_none() || session.is_closing || session.is_behind {
            continue;
        }
        let body = pb::PresenceNotify { users };
        let frame = OutFrame::notification(Command::PresenceNotify, &body);
        service.emit(Effect::Send { conn, frame, lane: Lane::Notice });
    }
}

/// PRESENCE_QUERY and PRESENCE_SUBSCRIBE: who of them may be seen.
pub(super) fn ask(
    service: &mut Service,
    request: &Request<'_>,
    user_ids: &[u64],
) -> Result<(), Refusal> {
    let viewer = online(service, request)?.user;
    let can_exist = |id: &&u64| (1..=ID_MAX).contains(*id);
    let mut users: Vec<UserId> = user_ids.iter().filter(can_exist).copied().map(UserId).collect();
    users.sort_unstable();
    users.dedup();
    if users.len() > PRESENCE_USERS_MAX {
        return Err(too_large("too many user_ids"));
    }
    let pairs = users.iter().map(|user| (viewer, *user)).collect();
    let Some(session) = service.session(request.conn) else { return Ok(()) };
    session.aside().pending.push((request.seq, Pending::Sight(users)));
    service.read(request, ReadJob::Sight { pairs });
    Ok(())
}

/// The store said who may be seen; where they are is asked next.
pub(super) fn handle_visible(service: &mut Service, ticket: Ticket, seen: Vec<Option<u64>>) {
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(Pending::Sight(users)) = session.take_pending(ticket.request) else { return };
    let pairs = users.into_iter().zip(seen);
    let visible: Vec<(UserId, u64)> =
        pairs.filter_map(|(user, seen)| seen.map(|seen_ms| (user, seen_ms))).collect();
    let users: Vec<UserId> = visible.iter().map(|(user, _)| *user).collect();
    if ticket.command == Command::PresenceSubscribe
        && let Err(refusal) = super::presence_subscribe::replace(service, ticket.conn, &users)
    {
        return service.refuse(ticket.conn, ticket.command.id(), ticket.request, refusal);
    }
    let Some(session) = service.session(ticket.conn) else { return };
    session.aside().pending.push((ticket.request, Pending::Located(visible)));
    service.begin(ticket.conn);
    service.start_locate(ticket, users);
}

/// The directory said where they are.
pub(super) fn handle_located(service: &mut Service, ticket: Ticket, reply: &LocateReply) {
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(Pending::Located(visible)) = session.take_pending(ticket.request) else { return };
    let found = found(service, reply);
    let mut users = Vec::with_capacity(visible.len());
    for (user, last_seen_ms) in visible {
        let classes = here(service, user, found.get(&user).copied().unwrap_or_default());
        let is_unknown = classes.is_empty() && reply.unknown.contains(&user);
        if ticket.command == Command::PresenceSubscribe && !is_unknown {
            service.presence.board.note_told(service.now.mono_ms, user, classes);
        }
        users.push(info(user, classes, last_seen_ms, is_unknown));
    }
    match ticket.command {
        Command::PresenceSubscribe => service.respond(ticket, &pb::PresenceSubscribeResp { users }),
        _ => service.respond(ticket, &pb::PresenceQueryResp { users }),
    }
}

type Found = HashMap<UserId, Classes, FixedState>;

/// Sessions on other nodes, by user.
fn found(service: &Service, reply: &LocateReply) -> Found {
    let mut found = Found::default();
    let elsewhere = |node| node != service.node.config.node;
    for record in reply.sessions.iter().filter(|record| elsewhere(record.node)) {
        found.entry(record.user).or_default().insert(record.class);
    }
    found
}

/// With the user's sessions on this node, which it knows best itself.
fn here(service: &Service, user: UserId, mut classes: Classes) -> Classes {
    service.node.table.for_each_of(user, |online| classes.insert(online.class));
    classes
}

fn info(user: UserId, classes: Classes, last_seen_ms: u64, is_unknown: bool) -> pb::PresenceInfo {
    pb::PresenceInfo {
        user_id: user.0,
        online: classes.iter().map(|class| pb::DeviceClass::from(class).into()).collect(),
        last_seen_ms: if classes.is_empty() { last_seen_ms } else { 0 },
        is_unknown,
    }
}
