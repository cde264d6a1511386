//! The service of one reactor: takes inputs one at a time, changes its sessions, emits effects.
//! This file owns connections and the dispatch of their frames; what each command does is in
//! `handlers`, what other threads answer in `replies`, what handlers can do in `acts`.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use aldis_wire::limits::PIPELINED_REQUESTS_MAX;
use aldis_wire::{Code, Command, ConnId, Frame, FrameError, OutFrame};

use crate::class::{is_shed_first, need_of};
use crate::credits::{CreditLimits, Credits, Need};
use crate::effect::{Admit, Effect, Goodbye, Lane};
use crate::handlers;
use crate::handlers::head_check::{self, HeadChecks};
use crate::handlers::presence::{self, Presence};
use crate::handlers::receipt_notify::{self, Receipts};
use crate::hold_back::{self, Holds};
use crate::job::ReactorId;
use crate::memory::MemoryLevel;
use crate::node::Node;
use crate::now::Now;
use crate::planted::{RequestBug, is_active};
use crate::request::{Refusal, Request};
use crate::session::{Session, State};

/// See the file's first line.
#[derive(Debug)]
pub struct Service {
    pub(crate) node: Arc<Node>,
    pub(crate) reactor: ReactorId,
    pub(crate) now: Now,
    /// By `ConnId::index`, as dense as the reactor's slab.
    pub(crate) sessions: Vec<Option<Session>>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) credits: Credits,
    /// Connections of which a password is at the pool, gone ones too, and their addresses; bounded
    /// by the credits for hashes.
    pub(crate) checks: HashMap<ConnId, IpAddr>,
    /// Failures of the writer that this service knows of.
    pub(crate) fence: u32,
    /// Which sessions are compared with the store, and when.
    pub(crate) head_checks: HeadChecks,
    /// Which sessions hold entries back.
    pub(crate) holds: Holds,
    /// What others are to be told of marks.
    pub(crate) receipts: Receipts,
    /// Who watches whom, and what others are to be told of who came and went.
    pub(crate) presence: Presence,
    pub(crate) is_draining: bool,
}

impl Service {
    /// A service without sessions.
    pub fn new(node: Arc<Node>, reactor: ReactorId, limits: CreditLimits) -> Self {
        let head_checks = HeadChecks::new(node.config.head_checks);
        Self {
            node,
            reactor,
            now: Now::default(),
            sessions: Vec::new(),
            effects: VecDeque::new(),
            credits: Credits::new(limits),
            checks: HashMap::new(),
            fence: 0,
            head_checks,
            holds: Holds::default(),
            receipts: Receipts::default(),
            presence: Presence::default(),
            is_draining: false,
        }
    }

    /// The next thing to do. Drain it after each input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the service wants a turn although nothing happens, mono ms. While it waits for a reader
    /// it needs none: the reply is a turn.
    pub fn poll_timeout(&self) -> Option<u64> {
        let reads = self.head_checks.due_at_ms().into_iter().chain(self.receipts.due_at_ms());
        let reads = reads.chain(self.presence.read_due_at_ms());
        let reads = reads.filter(|_| self.credits.has(Need::Read));
        reads.chain(self.holds.due_at_ms()).chain(self.presence.due_at_ms()).min()
    }

    /// Sessions that are logged in.
    pub fn online_count(&self) -> usize {
        self.sessions.iter().flatten().filter(|session| session.online().is_some()).count()
    }

    /// Whether nothing is under way at other threads.
    pub fn is_idle(&self) -> bool {
        self.credits.is_idle()
    }

    /// Whether another connection of this address may come.
    pub fn admits(&self, now: Now, address: IpAddr) -> bool {
        self.node.memory.level() < MemoryLevel::Spent && self.node.addresses.admits(address, now)
    }

    /// Whether the limits of addresses and connections hold for this one.
    pub fn counts(&self, address: IpAddr) -> bool {
        self.node.addresses.is_counted(address)
    }

    /// A connection was accepted.
    pub fn handle_open(&mut self, now: Now, conn: ConnId, address: IpAddr) {
        self.now = now;
        let index = conn.index as usize;
        if index >= self.sessions.len() {
            self.sessions.resize_with(index + 1, || None);
        }
        debug_assert!(self.sessions[index].is_none(), "the slot's last connection was closed");
        self.node.addresses.enter(address, now);
        self.sessions[index] = Some(Session::new(conn.generation, address));
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Now, conn: ConnId, frame: Frame<'_>) -> Admit {
        self.now = now;
        let (header, fence) = (frame.header, self.fence);
        let in_flight_max = self.node.config.rates.in_flight;
        let Some(session) = self.session(conn) else { return Admit::Taken };
        if session.is_closing {
            return Admit::Taken;
        }
        let is_busy = matches!(session.state, State::LoggingIn(_) | State::Registering(_));
        if is_busy || session.is_leaving {
            session.is_waiting = true;
            return Admit::Wait;
        }
        if header.code != 0 {
            let refusal = Refusal::new(Code::BadFrame, "a request's code is 0");
            self.refuse(conn, header.cmd, header.seq, refusal);
            self.close(conn, Goodbye::BadFrame);
            return Admit::Taken;
        }
        let Some(command) = Command::request(header.cmd) else {
            self.refuse(
                conn,
                header.cmd,
                header.seq,
                Refusal::new(Code::Unsupported, "unknown command"),
            );
            return Admit::Taken;
        };
        let is_served = command.allowed_before_login()
            || command == Command::UserGet && is_active(RequestBug::Unauthenticated);
        if session.online().is_none() && !is_served {
            self.refuse(
                conn,
                header.cmd,
                header.seq,
                Refusal::new(Code::NotLoggedIn, "log in first"),
            );
            return Admit::Taken;
        }
        if session.in_flight == 0 {
            session.fence = fence;
        }
        if must_wait(session, command, fence, in_flight_max) {
            session.is_waiting = true;
            return Admit::Wait;
        }
        if is_shed_first(command) {
            let is_short = self.node.memory.level() > MemoryLevel::Plenty;
            if is_short || self.credits.is_overloaded() {
                self.refuse(conn, header.cmd, header.seq, OVERLOADED);
                return Admit::Taken;
            }
        }
        let need = need_of(command);
        if !self.credits.has(need) {
            self.credits.wait(conn, need);
            return Admit::Wait;
        }
        let request = Request { conn, command, seq: header.seq, body: frame.body };
        if let Err(refusal) = handlers::handle(self, &request) {
            self.refuse(conn, header.cmd, header.seq, refusal);
        }
        Admit::Taken
    }

    /// Bytes arrived that are no frame. The connection is closed by the caller after flushing.
    pub fn handle_frame_error(&mut self, now: Now, conn: ConnId, error: FrameError) {
        self.now = now;
        let Some(session) = self.session(conn) else { return };
        if session.is_closing {
            return;
        }
        self.retire(conn);
        if let Some(header) = error.header() {
            let message = match error {
                FrameError::TooLarge { .. } => "the body is over the limit",
                _ => "unknown version or flags",
            };
            let frame = OutFrame::error(header.cmd, header.seq, Code::BadFrame, message, 0);
            self.effects.push_back(Effect::Send { conn, frame, lane: Lane::Reply });
        }
    }

    /// The client closed its side and may still read; all its frames were handed in before.
    pub fn handle_half_closed(&mut self, now: Now, conn: ConnId) {
        self.now = now;
        let Some(session) = self.session(conn) else { return };
        session.is_half_closed = true;
        self.close_if_done(conn);
    }

    /// A connection is gone.
    pub fn handle_closed(&mut self, now: Now, conn: ConnId) {
        self.now = now;
        if self.session(conn).is_none() {
            return;
        }
        self.retire(conn);
        let Some(session) = self.sessions[conn.index as usize].take() else { return };
        self.node.addresses.leave(session.address, session.is_stranger, now);
        if matches!(session.state, State::LoggingIn(_) | State::Registering(_)) {
            self.credits.give_account();
        }
    }

    /// A push was dropped because the connection does not drain.
    pub fn handle_push_dropped(&mut self, conn: ConnId) {
        if let Some(session) = self.session(conn) {
            session.is_behind = true;
        }
    }

    /// A connection whose pushes were dropped has caught up.
    pub fn handle_drained(&mut self, now: Now, conn: ConnId) {
        self.now = now;
        let Some(session) = self.session(conn) else { return };
        if std::mem::take(&mut session.is_behind) {
            self.send_hints(conn);
        }
    }

    /// The end of the caller's turn: lets waiting connections go on, pushes what was held back for
    /// long enough, starts head checks.
    pub fn handle_turn_end(&mut self, now: Now) {
        self.now = now;
        while let Some(conn) = self.credits.poll_resumable() {
            self.effects.push_back(Effect::Resume { conn });
        }
        hold_back::flush_due(self);
        head_check::note_outage(self);
        while self.head_checks.is_due(now.mono_ms) && self.credits.has(Need::Read) {
            head_check::begin(self);
        }
        receipt_notify::begin(self);
        presence::run(self);
    }

    /// Holds between any two inputs.
    pub fn invariants(&self) {
        for session in self.sessions.iter().flatten() {
            assert!(usize::from(session.in_flight) <= PIPELINED_REQUESTS_MAX);
            if let Some(online) = session.online() {
                assert!(online.user.0 != 0, "whoever is online is somebody");
            }
        }
    }
}

/// Messages and their syncs go first while the store has much to do. The pause is about what it needs
/// to get through its queues.
pub(crate) const OVERLOADED: Refusal =
    Refusal { code: Code::Busy, message: "the node has too much to do", retry_after_ms: 1_000 };

/// Whether something of the session itself must be over first.
fn must_wait(session: &Session, command: Command, fence: u32, in_flight_max: usize) -> bool {
    let is_full = usize::from(session.in_flight) >= in_flight_max;
    match command {
        // The writer will refuse what was asked in ignorance of its last failure. A send that knows
        // of it would overtake the ones before it.
        Command::MsgSend => is_full || (session.in_flight > 0 && session.fence != fence),
        Command::MsgSync | Command::History | Command::ConversationList | Command::Search => {
            session.is_paging || is_full
        }
        // What it said before it leaves shall be answered, and one password is changed at a time.
        Command::Logout | Command::ChangePassword => session.in_flight > 0,
        _ => is_full,
    }
}
