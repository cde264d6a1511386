//! The service of one reactor: takes inputs one at a time, changes its sessions, emits effects.
//! What each command does is in `handlers`; this file owns dispatch, accounting and session life.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use aldis_wire::limits::PIPELINED_REQUESTS_MAX;
use aldis_wire::{
    Code, Command, ConnId, Frame, FrameError, Message, OutFrame, Seq, UserId, hint_frame, pb,
};

use crate::credits::{CreditLimits, Credits, Need};
use crate::effect::{Admit, Effect, Goodbye, Lane, PeerMail};
use crate::fanout::Delivery;
use crate::handlers;
use crate::job::{
    DirectoryJob, DirectoryReply, DirectoryRequest, HashJob, HashReply, HashRequest, JobError,
    ReactorId, ReadJob, ReadReply, ReadRequest, ReadResult, SessionRecord, Ticket, WriteJob,
    WriteReply, WriteRequest,
};
use crate::node::{Node, Now};
use crate::session::{Session, State};
use crate::table::Online;

/// Users of one head check: a query that a reader answers in well under a millisecond.
const HEAD_CHECK_USERS_MAX: usize = 256;

/// A request that is being handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub conn: ConnId,
    pub command: Command,
    pub seq: u32,
    pub body: &'a [u8],
}

impl Request<'_> {
    /// For its jobs.
    pub fn ticket(&self, reactor: ReactorId) -> Ticket {
        let bytes = self.body.len() as u32;
        Ticket { reactor, conn: self.conn, request: self.seq, command: self.command, bytes }
    }

    /// The body as its message.
    pub fn decode<M: Message + Default>(&self) -> Result<M, Refusal> {
        M::decode(self.body).map_err(|_| Refusal::new(Code::BadRequest, "the body does not decode"))
    }
}

/// Why a request is answered with another code than OK, right away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: Code,
    pub message: &'static str,
    pub retry_after_ms: u32,
}

impl Refusal {
    pub fn new(code: Code, message: &'static str) -> Self {
        Self { code, message, retry_after_ms: 0 }
    }
}

impl From<JobError> for Refusal {
    fn from(error: JobError) -> Self {
        Self::new(error.code(), error.message())
    }
}

/// See the file's first line.
#[derive(Debug)]
pub struct Service {
    pub(crate) node: Arc<Node>,
    pub(crate) reactor: ReactorId,
    pub(crate) now: Now,
    /// By `ConnId::index`, as dense as the reactor's slab.
    sessions: Vec<Option<Session>>,
    effects: VecDeque<Effect>,
    pub(crate) credits: Credits,
    /// Failures of the writer that this service knows of.
    fence: u32,
    /// Sessions that may have missed a delivery and await a head check.
    dirty: VecDeque<ConnId>,
    is_draining: bool,
}

impl Service {
    /// A service without sessions.
    pub fn new(node: Arc<Node>, reactor: ReactorId, limits: CreditLimits) -> Self {
        Self {
            node,
            reactor,
            now: Now::default(),
            sessions: Vec::new(),
            effects: VecDeque::new(),
            credits: Credits::new(limits),
            fence: 0,
            dirty: VecDeque::new(),
            is_draining: false,
        }
    }

    /// The next thing to do. Drain it after each input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Sessions that are logged in.
    pub fn online_count(&self) -> usize {
        self.sessions.iter().flatten().filter(|session| session.online().is_some()).count()
    }

    /// Whether nothing is under way at other threads.
    pub fn is_idle(&self) -> bool {
        self.credits.is_idle()
    }

    // ------------------------------------------------------------ inputs: connections

    /// A connection was accepted.
    pub fn handle_open(&mut self, now: Now, conn: ConnId, address: IpAddr) {
        self.now = now;
        let index = conn.index as usize;
        if index >= self.sessions.len() {
            self.sessions.resize_with(index + 1, || None);
        }
        debug_assert!(self.sessions[index].is_none(), "the slot's last connection was closed");
        self.sessions[index] = Some(Session::new(conn.generation, address));
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Now, conn: ConnId, frame: Frame<'_>) -> Admit {
        self.now = now;
        let header = frame.header;
        let Some(session) = self.session(conn) else { return Admit::Taken };
        if session.is_closing {
            return Admit::Taken;
        }
        if matches!(session.state, State::LoggingIn(_) | State::Registering(_)) {
            session.is_waiting = true;
            return Admit::Wait;
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
        if header.code != 0 {
            let refusal = Refusal::new(Code::BadFrame, "a request's code is 0");
            self.refuse(conn, header.cmd, header.seq, refusal);
            self.close(conn, Goodbye::BadFrame);
            return Admit::Taken;
        }
        if session.online().is_none() && !command.allowed_before_login() {
            self.refuse(
                conn,
                header.cmd,
                header.seq,
                Refusal::new(Code::NotLoggedIn, "log in first"),
            );
            return Admit::Taken;
        }
        if must_wait(session, command) {
            session.is_waiting = true;
            return Admit::Wait;
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
            self.send_hint(conn);
        }
    }

    /// The end of the caller's turn: lets waiting connections go on, starts head checks.
    pub fn handle_turn_end(&mut self, now: Now) {
        self.now = now;
        while let Some(conn) = self.credits.poll_resumable() {
            self.effects.push_back(Effect::Resume { conn });
        }
        while !self.dirty.is_empty() && self.credits.has(Need::Read) {
            self.check_heads();
        }
    }

    // ------------------------------------------------------------ inputs: replies and mail

    /// A store writer answered.
    pub fn handle_write_reply(&mut self, now: Now, reply: WriteReply) {
        self.now = now;
        self.credits.give_write(reply.ticket.bytes);
        self.fence = self.fence.max(reply.fence);
        let ticket = reply.ticket;
        match self.finish(ticket) {
            Finished::Gone => {}
            Finished::Step => handlers::account::handle_written(self, ticket, reply.result),
            Finished::Request => {
                if let (Some(send), Some(session)) = (reply.failed_send, self.session(ticket.conn))
                    && !session.remember_failed_send(send, reply.fence)
                {
                    self.close(ticket.conn, Goodbye::TooManyFailedSends);
                    return;
                }
                handlers::handle_written(self, ticket, reply.result);
            }
        }
        self.close_if_done(ticket.conn);
    }

    /// A store reader answered.
    pub fn handle_read_reply(&mut self, now: Now, reply: ReadReply) {
        self.now = now;
        self.credits.give_read();
        if let Ok(ReadResult::Heads(heads)) = reply.result {
            handlers::head_check::handle_heads(self, &heads);
            return;
        }
        match self.finish(reply.ticket) {
            Finished::Gone => {}
            Finished::Step => handlers::account::handle_read(self, reply.ticket, reply.result),
            Finished::Request => handlers::handle_read(self, reply.ticket, reply.result),
        }
        self.close_if_done(reply.ticket.conn);
    }

    /// The password pool answered.
    pub fn handle_hash_reply(&mut self, now: Now, reply: HashReply) {
        self.now = now;
        self.credits.give_hash();
        if matches!(self.finish(reply.ticket), Finished::Step) {
            handlers::account::handle_hashed(self, reply.ticket, reply.result);
        }
        self.close_if_done(reply.ticket.conn);
    }

    /// The directory answered.
    pub fn handle_directory_reply(&mut self, now: Now, reply: DirectoryReply) {
        self.now = now;
        if matches!(self.finish(reply.ticket), Finished::Step) {
            handlers::account::handle_registration(self, reply.ticket, reply.registration);
        }
    }

    /// A committed entry for sessions of this reactor. Deliveries come in commit order.
    pub fn handle_delivery(&mut self, now: Now, delivery: &Delivery) {
        self.now = now;
        for target in &delivery.targets {
            let Some(session) = self.session(target.conn) else { continue };
            let Some(head) = session.head_of(target.user) else { continue };
            *head = (*head).max(target.seq);
            let head = *head;
            // Before LOGIN_RESP a push would come too early: the head in it covers the entry.
            // A session that is behind gets a hint anyway; a push would only delay it.
            if session.online().is_none() || session.is_closing || session.is_behind {
                continue;
            }
            let frame = delivery.push.frame(target.seq, head);
            self.effects.push_back(Effect::Send { conn: target.conn, frame, lane: Lane::Push });
        }
    }

    /// Deliveries to these connections did not fit the mailbox: find out what they missed.
    pub fn handle_missed(&mut self, now: Now, conns: &[ConnId]) {
        self.now = now;
        for &conn in conns {
            if self.session(conn).is_some() {
                self.dirty.push_back(conn);
            }
        }
    }

    /// Another reactor's service says something.
    pub fn handle_peer(&mut self, now: Now, mail: PeerMail) {
        self.now = now;
        match mail {
            PeerMail::Kick { conn, user, epoch, reason, device_name } => {
                let Some(session) = self.session(conn) else { return };
                if session.entered().is_some_and(|(whose, o)| whose == user && o.epoch <= epoch) {
                    self.kick(conn, reason, device_name);
                }
            }
        }
    }

    /// The node is going away: no new logins; everyone online is told to come back after a delay
    /// that spreads them over `delay_ms_max`.
    pub fn handle_drain(&mut self, now: Now, delay_ms_max: u32) {
        self.now = now;
        self.is_draining = true;
        for index in 0..self.sessions.len() {
            let Some(session) = &self.sessions[index] else { continue };
            let Some(online) = session.online() else { continue };
            let (conn, user) = (online.online.conn, online.user);
            // Ids are dense and the multiplier is odd: a spread without a random generator.
            let spread = (user.0 as u32).wrapping_mul(0x9E37_79B1);
            let delay_ms = (u64::from(spread) * u64::from(delay_ms_max)) >> 32;
            let body = pb::GoawayNotify {
                reconnect_delay_ms: delay_ms as u32,
                reconnect_to: String::new(),
            };
            let frame = OutFrame::notification(Command::GoawayNotify, &body);
            self.effects.push_back(Effect::Send { conn, frame, lane: Lane::Reply });
        }
    }

    /// The drain is over: close what is still here.
    pub fn handle_drain_end(&mut self, now: Now) {
        self.now = now;
        for index in 0..self.sessions.len() {
            let Some(session) = &self.sessions[index] else { continue };
            let conn = ConnId { index: index as u32, generation: session.generation };
            self.close(conn, Goodbye::Draining);
        }
    }

    // ------------------------------------------------------------ for handlers

    pub(crate) fn session(&mut self, conn: ConnId) -> Option<&mut Session> {
        let session = self.sessions.get_mut(conn.index as usize)?.as_mut()?;
        (session.generation == conn.generation).then_some(session)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining
    }

    pub(crate) fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Answers OK.
    pub(crate) fn respond(&mut self, ticket: Ticket, body: &impl Message) {
        let frame = OutFrame::response(ticket.command, ticket.request, body);
        self.effects.push_back(Effect::Send { conn: ticket.conn, frame, lane: Lane::Reply });
    }

    /// Answers another code.
    pub(crate) fn refuse(&mut self, conn: ConnId, cmd: u16, seq: u32, refusal: Refusal) {
        let Refusal { code, message, retry_after_ms } = refusal;
        let frame = OutFrame::error(cmd, seq, code, message, retry_after_ms);
        self.effects.push_back(Effect::Send { conn, frame, lane: Lane::Reply });
    }

    pub(crate) fn close(&mut self, conn: ConnId, reason: Goodbye) {
        if self.retire(conn) {
            self.effects.push_back(Effect::Close { conn, reason });
        }
    }

    /// From now on the connection is no delivery's target and nobody's live session. False: it
    /// was retired before.
    fn retire(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.session(conn) else { return false };
        if std::mem::replace(&mut session.is_closing, true) {
            return false;
        }
        if let Some((user, online)) = session.entered() {
            self.leave(conn, user, online);
        }
        true
    }

    pub(crate) fn kick(&mut self, conn: ConnId, reason: pb::KickReason, device_name: String) {
        if self.session(conn).is_none_or(|session| session.is_closing) {
            return;
        }
        let body = pb::KickNotify { reason: reason as i32, device_name };
        let frame = OutFrame::notification(Command::KickNotify, &body);
        self.effects.push_back(Effect::Send { conn, frame, lane: Lane::Reply });
        self.close(conn, Goodbye::Kicked);
    }

    /// The session's own entry may be the highest of its mailbox.
    pub(crate) fn raise_head(&mut self, conn: ConnId, seq: Seq) {
        if let Some(session) = self.session(conn)
            && let State::Online(online) = &mut session.state
        {
            online.head = online.head.max(seq);
        }
    }

    /// Tells a session its head, without entries.
    pub(crate) fn send_hint(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        let Some(online) = session.online().filter(|_| !session.is_closing) else { return };
        let frame = hint_frame(0, online.head);
        self.effects.push_back(Effect::Send { conn, frame, lane: Lane::Push });
    }

    /// Starts a write job of a client's request.
    pub(crate) fn write(&mut self, request: &Request<'_>, job: WriteJob) {
        let ticket = request.ticket(self.reactor);
        self.begin(ticket.conn);
        self.start_write(ticket, job);
    }

    /// Starts a read job of a client's request.
    pub(crate) fn read(&mut self, request: &Request<'_>, job: ReadJob) {
        let ticket = request.ticket(self.reactor);
        self.begin(ticket.conn);
        self.start_read(ticket, job);
    }

    pub(crate) fn start_write(&mut self, ticket: Ticket, job: WriteJob) {
        self.credits.take_write(ticket.bytes);
        let request = WriteRequest { ticket, fence: self.fence, job };
        self.effects.push_back(Effect::Write(request));
    }

    pub(crate) fn start_read(&mut self, ticket: Ticket, job: ReadJob) {
        self.credits.take_read();
        self.effects.push_back(Effect::Read(ReadRequest { ticket, job }));
    }

    pub(crate) fn start_hash(&mut self, ticket: Ticket, job: HashJob) {
        self.credits.take_hash();
        self.effects.push_back(Effect::Hash(HashRequest { ticket, job }));
    }

    // ------------------------------------------------------------ accounting

    fn begin(&mut self, conn: ConnId) {
        if let Some(session) = self.session(conn) {
            session.in_flight += 1;
        }
    }

    fn close_if_done(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        let is_busy = session.in_flight > 0
            || matches!(session.state, State::LoggingIn(_) | State::Registering(_));
        if session.is_half_closed && !is_busy {
            self.close(conn, Goodbye::PeerDone);
        }
    }

    /// Accounts for a reply and says whose it is.
    fn finish(&mut self, ticket: Ticket) -> Finished {
        let Some(session) = self.session(ticket.conn) else { return Finished::Gone };
        let is_waiting = std::mem::take(&mut session.is_waiting);
        let finished = match &session.state {
            State::LoggingIn(_) | State::Registering(_) => {
                // Frames behind it wait for its end, not for its next step.
                session.is_waiting = is_waiting;
                return if session.is_closing { Finished::Gone } else { Finished::Step };
            }
            State::Fresh | State::Online(_) => {
                debug_assert!(session.in_flight > 0, "a reply belongs to a request");
                session.in_flight = session.in_flight.saturating_sub(1);
                if session.in_flight == 0 {
                    session.forget_open_conversations();
                }
                if session.is_closing { Finished::Gone } else { Finished::Request }
            }
        };
        if is_waiting {
            self.effects.push_back(Effect::Resume { conn: ticket.conn });
        }
        finished
    }

    /// Begins a LOGIN or REGISTER: frames behind it wait for its end.
    pub(crate) fn begin_account_step(&mut self, conn: ConnId, state: State) {
        self.credits.take_account();
        if let Some(session) = self.session(conn) {
            session.state = state;
        }
    }

    /// Ends a LOGIN or REGISTER, however it went, and lets the frames behind it in.
    pub(crate) fn end_account_step(&mut self, conn: ConnId, state: State) {
        self.credits.give_account();
        let Some(session) = self.session(conn) else { return };
        session.state = state;
        if std::mem::take(&mut session.is_waiting) {
            self.effects.push_back(Effect::Resume { conn });
        }
    }

    /// Takes a session out of the table and the directory.
    pub(crate) fn leave(&mut self, conn: ConnId, user: UserId, online: Online) {
        self.node.table.leave(user, online);
        let (class, epoch) = (online.class, online.epoch);
        let record = SessionRecord { user, class, epoch, node: self.node.config.node };
        let ticket = self.own_ticket(conn);
        let job = DirectoryJob::Unregister(record);
        self.effects.push_back(Effect::Directory(DirectoryRequest { ticket, job }));
    }

    /// The ticket of a job that no request asked for.
    fn own_ticket(&self, conn: ConnId) -> Ticket {
        let (reactor, command) = (self.reactor, Command::Heartbeat);
        Ticket { reactor, conn, request: 0, command, bytes: 0 }
    }

    fn check_heads(&mut self) {
        let mut users = Vec::new();
        while users.len() < HEAD_CHECK_USERS_MAX {
            let Some(conn) = self.dirty.pop_front() else { break };
            if let Some(online) = self.session(conn).and_then(|session| session.online()) {
                users.push(online.user);
            }
        }
        if users.is_empty() {
            return;
        }
        users.sort_unstable();
        users.dedup();
        let ticket = self.own_ticket(ConnId { index: u32::MAX, generation: 0 });
        self.start_read(ticket, ReadJob::Heads { users });
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

/// Whose a reply is.
enum Finished {
    /// Nobody's: the connection is gone or closing.
    Gone,
    /// The next step of a LOGIN or REGISTER.
    Step,
    /// The answer to a request.
    Request,
}

fn need_of(command: Command) -> Need {
    match command {
        Command::Login | Command::Register => Need::Account,
        Command::MsgSend
        | Command::Logout
        | Command::MarkDelivered
        | Command::GroupCreate
        | Command::GroupInvite
        | Command::GroupLeave => Need::Write,
        Command::UserGet
        | Command::UserFind
        | Command::MsgSync
        | Command::History
        | Command::GroupList
        | Command::GroupMembers => Need::Read,
        _ => Need::Nothing,
    }
}

/// Whether something of the session itself must be over first.
fn must_wait(session: &Session, command: Command) -> bool {
    let is_full = usize::from(session.in_flight) >= PIPELINED_REQUESTS_MAX;
    match command {
        Command::MsgSync | Command::History => session.is_paging || is_full,
        // What it said before it leaves shall be answered.
        Command::Logout => session.in_flight > 0,
        _ => is_full,
    }
}
