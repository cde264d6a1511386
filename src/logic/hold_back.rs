//! Entries that came before their predecessors, of one session: they wait a little, so that clients
//! rarely see a gap. Commits of several nodes overtake each other on their ways here; without a link
//! to other nodes there is nothing to hold back.

use std::collections::VecDeque;

use aldis_wire::{ConnId, PushTail, Seq};
use smallvec::SmallVec;

use crate::effect::{Effect, Lane};
use crate::node::LinkUse;
use crate::service::Service;
use crate::session::{OnlineSession, State};

/// How long an entry waits for those below it. A client waits five times as long before it syncs. ms
pub(crate) const HOLD_MS: u64 = 20;
/// Entries of one session that wait.
pub(crate) const HELD_ENTRIES_MAX: usize = 64;

/// Entries to push now, ascending.
type Due = SmallVec<[(Seq, PushTail); 4]>;

/// What a session waits for. There is none as long as all entries up to the head were told.
#[derive(Debug)]
pub(crate) struct HoldBack {
    /// The client was told of everything up to here.
    told: Seq,
    /// When waiting ends, mono ms.
    until_ms: u64,
    /// Above `told` + 1, ascending. `None`: the client knows it by its own answer.
    entries: Vec<(Seq, Option<PushTail>)>,
}

/// Sessions that hold something back, by the time at which that ends. Those that hold nothing any
/// more are still in it until then; each delivery adds one at most.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    queue: VecDeque<(u64, ConnId)>,
}

impl Holds {
    /// When the first hold ends, mono ms.
    pub fn due_at_ms(&self) -> Option<u64> {
        self.queue.front().map(|&(at_ms, _)| at_ms)
    }
}

impl HoldBack {
    fn new(told: Seq, until_ms: u64) -> Self {
        Self { told, until_ms, entries: Vec::new() }
    }

    fn insert(&mut self, seq: Seq, push: Option<PushTail>) {
        // Most come in ascending order.
        let at = self.entries.partition_point(|(held, _)| *held < seq);
        match self.entries.get_mut(at) {
            Some((held, known)) if *held == seq => {
                if push.is_none() {
                    *known = None;
                }
            }
            _ => self.entries.insert(at, (seq, push)),
        }
    }

    /// Everything up to `seq` was told: what goes on from there.
    fn advance(&mut self, seq: Seq) -> Due {
        self.told = self.told.max(seq);
        let mut due = Due::new();
        let mut count = 0;
        for (held, push) in &self.entries {
            if held.0 > self.told.0 + 1 {
                break;
            }
            // What is below is told already.
            if held.0 == self.told.0 + 1 {
                due.extend(push.clone().map(|push| (*held, push)));
                self.told = *held;
            }
            count += 1;
        }
        self.entries.drain(..count);
        due
    }

    fn take_all(&mut self) -> Due {
        self.entries.drain(..).filter_map(|(seq, push)| Some((seq, push?))).collect()
    }
}

/// An entry for a session that is online and whose head was `head_before`: pushed, or held back.
/// `push`: `None` if the client knows of it by an answer.
pub(crate) fn handle_entry(
    service: &mut Service,
    conn: ConnId,
    head_before: Seq,
    seq: Seq,
    push: Option<&PushTail>,
) {
    let until_ms = service.now.mono_ms + HOLD_MS;
    let Some(online) = online(service, conn) else { return };
    let hold = online.hold.get_or_insert_with(|| Box::new(HoldBack::new(head_before, 0)));
    let due = if seq.0 <= hold.told.0 + 1 {
        let mut due = Due::new();
        due.extend(push.map(|push| (seq, push.clone())));
        due.extend(hold.advance(seq));
        due
    } else {
        hold.insert(seq, push.cloned());
        if hold.entries.len() > HELD_ENTRIES_MAX { hold.take_all() } else { Due::new() }
    };
    let is_new = hold.until_ms == 0 && !hold.entries.is_empty();
    if is_new {
        hold.until_ms = until_ms;
    }
    if hold.entries.is_empty() {
        online.hold = None;
    }
    if is_new {
        service.holds.queue.push_back((until_ms, conn));
    }
    push_all(service, conn, &due);
}

/// The client was told that its mailbox reaches up to here, and reads it itself.
pub(crate) fn handle_told(service: &mut Service, conn: ConnId, head: Seq) {
    let Some(online) = online(service, conn) else { return };
    let Some(hold) = &mut online.hold else { return };
    let due = hold.advance(head);
    if hold.entries.is_empty() {
        online.hold = None;
    }
    push_all(service, conn, &due);
}

/// Ends holds that have waited long enough: their clients see the gap and sync.
pub(crate) fn flush_due(service: &mut Service) {
    let now_ms = service.now.mono_ms;
    while let Some(&(at_ms, conn)) = service.holds.queue.front()
        && at_ms <= now_ms
    {
        service.holds.queue.pop_front();
        let Some(online) = online(service, conn) else { continue };
        // The hold may be another one than that which was queued.
        let Some(mut hold) = online.hold.take_if(|hold| hold.until_ms <= now_ms) else { continue };
        push_all(service, conn, &hold.take_all());
    }
}

/// Whether this node holds entries back at all.
pub(crate) fn is_used(service: &Service) -> bool {
    service.node.config.link != LinkUse::Off
}

fn online(service: &mut Service, conn: ConnId) -> Option<&mut OnlineSession> {
    match &mut service.session(conn)?.state {
        State::Online(online) => Some(online),
        _ => None,
    }
}

fn push_all(service: &mut Service, conn: ConnId, due: &[(Seq, PushTail)]) {
    let Some(session) = service.session(conn) else { return };
    if session.is_closing || session.is_behind {
        return;
    }
    let Some(head) = session.online().map(|online| online.head) else { return };
    for (seq, push) in due {
        let frame = push.frame(*seq, head.max(*seq));
        service.effects.push_back(Effect::Send { conn, frame, lane: Lane::Push });
    }
}
