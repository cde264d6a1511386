//! What handlers can do with a service: answer, close, start jobs, change a session's state.

use aldis_wire::{Command, ConnId, GroupId, Message, OutFrame, Seq, UserId, hint_frame, pb};

use crate::class::Class;
use crate::effect::{Effect, Goodbye, Lane};
use crate::handlers::{account, presence, presence_subscribe};
use crate::hold_back;
use crate::job::{
    AttemptJob, AttemptRequest, DirectoryJob, DirectoryRequest, HashJob, HashRequest,
    LocateRequest, ReadJob, ReadRequest, SessionRecord, Ticket, WriteJob, WriteRequest,
};
use crate::node::NodeConfig;
use crate::request::{Refusal, Request};
use crate::service::Service;
use crate::session::{Session, State, ToldStream};
use crate::table::Online;
use crate::throttle::Attempt;

/// The connection in the ticket of a job of the service's own: no reactor has so many.
pub(crate) const NO_CONN: ConnId = ConnId { index: u32::MAX, generation: 0 };

impl Service {
    pub(crate) fn session(&mut self, conn: ConnId) -> Option<&mut Session> {
        let session = self.sessions.get_mut(conn.index as usize)?.as_mut()?;
        (session.generation == conn.generation).then_some(session)
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
    pub(crate) fn retire(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.session(conn) else { return false };
        if std::mem::replace(&mut session.is_closing, true) {
            return false;
        }
        let entered = session.entered();
        let opened = session.opened();
        presence_subscribe::end(self, conn);
        if let Some((user, online)) = entered {
            self.leave(conn, user, online);
        }
        if let Some(opened) = opened {
            account::release(self, conn, &opened);
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

    /// An answer tells the client of this entry of its mailbox, which may be the highest.
    pub(crate) fn note_own_entry(&mut self, conn: ConnId, seq: Seq) {
        let holds_back = hold_back::is_used(self);
        if let Some(session) = self.session(conn)
            && let State::Online(online) = &mut session.state
        {
            let before = online.head;
            online.head = before.max(seq);
            if holds_back && (online.hold.is_some() || seq.0 > before.0 + 1) {
                hold_back::handle_entry(self, conn, before, seq, None);
            }
        }
    }

    /// An answer tells the client the head of its mailbox; it reads everything up to there.
    pub(crate) fn note_head_told(&mut self, conn: ConnId, head: Seq) {
        if let Some(session) = self.session(conn)
            && let State::Online(online) = &mut session.state
        {
            online.head = online.head.max(head);
            hold_back::handle_told(self, conn, head);
        }
    }

    /// Counts a request of a user, or says when the next one may come.
    pub(crate) fn limit(&mut self, request: &Request<'_>, class: Class) -> Result<(), Refusal> {
        let Some(user) = self.limited_user(request.conn) else { return Ok(()) };
        let bytes = request.body.len() as u32;
        self.node.rate_limits.take(&self.node.config.rates, user, (class, bytes), self.now)
    }

    /// Counts a group that a user makes or asks to come into, or says when the next one may come.
    pub(crate) fn limit_groups(&mut self, conn: ConnId) -> Result<(), Refusal> {
        let Some(user) = self.limited_user(conn) else { return Ok(()) };
        self.node.rate_limits.take_group(&self.node.config.rates, user, self.now)
    }

    /// Whose requests are counted, if those of this connection are.
    fn limited_user(&mut self, conn: ConnId) -> Option<UserId> {
        let session = self.session(conn)?;
        let (address, user) = (session.address, session.online()?.user);
        self.node.addresses.is_counted(address).then_some(user)
    }

    /// Tells a session its head, without entries.
    pub(crate) fn send_hint(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        if session.is_closing {
            return;
        }
        let State::Online(online) = &mut session.state else { return };
        // The client reads everything up to the head, what was held back included.
        online.hold = None;
        let frame = hint_frame(0, online.head);
        self.effects.push_back(Effect::Send { conn, frame, lane: Lane::Push });
    }

    /// Tells a session the head of a stream, without entries.
    pub(crate) fn send_stream_hint(&mut self, conn: ConnId, group: GroupId, head: Seq) {
        let frame = hint_frame(group.0, head);
        self.effects.push_back(Effect::Send { conn, frame, lane: Lane::Push });
    }

    /// Tells a session whose pushes were dropped the heads of all that it was told of: of what is over, the
    /// end may be among what was dropped.
    pub(crate) fn send_hints(&mut self, conn: ConnId) {
        self.send_hint(conn);
        let streams = self.session(conn).and_then(|session| session.streams());
        let all: Vec<ToldStream> = streams.iter().flat_map(|streams| streams.all()).collect();
        for told in all {
            self.send_stream_hint(conn, told.group, told.head);
        }
    }

    /// The streams that the session's client was told of and follows still, with what it was told.
    pub(crate) fn stream_heads(&mut self, conn: ConnId) -> Vec<(GroupId, Seq)> {
        let node = self.node.clone();
        let Some(session) = self.session(conn) else { return Vec::new() };
        let Some(online) = session.online() else { return Vec::new() };
        let (user, Some(streams)) = (online.user, &online.streams) else { return Vec::new() };
        let followed = streams.all().filter(|told| node.streams.is_following(user, told.group));
        followed.map(|told| (told.group, told.head)).collect()
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

    /// Asks the directory where users are, in place of a read job.
    pub(crate) fn start_locate(&mut self, ticket: Ticket, users: Vec<UserId>) {
        self.credits.take_read();
        self.effects.push_back(Effect::Locate(LocateRequest { ticket, users }));
    }

    /// Asks the directory whether other nodes' attempts stand against this one, in place of a read
    /// job. False: this node counts alone, and nobody will answer.
    pub(crate) fn start_attempt(&mut self, ticket: Ticket, attempt: Attempt) -> bool {
        if !self.node.config.shares_attempts {
            return false;
        }
        self.credits.take_read();
        let job = AttemptJob::Begin(attempt);
        self.effects.push_back(Effect::Attempt(AttemptRequest { ticket, job }));
        true
    }

    /// An attempt was the right password.
    pub(crate) fn forgive(&mut self, conn: ConnId, attempt: Attempt) {
        self.node.throttle.lock().succeeded(&attempt);
        if self.node.config.shares_attempts {
            let (ticket, job) = (self.own_ticket(conn), AttemptJob::Forgive(attempt));
            self.effects.push_back(Effect::Attempt(AttemptRequest { ticket, job }));
        }
    }

    /// Whether the password pool has room for one more of this connection's.
    pub(crate) fn has_hash(&mut self, conn: ConnId) -> bool {
        let node = self.node.clone();
        let has_share =
            self.session(conn).is_none_or(|session| node.addresses.has_check(session.address));
        has_share && self.credits.has_hash()
    }

    /// Somebody has logged in on a connection.
    pub(crate) fn note_logged_in(&mut self, conn: ConnId) {
        let node = self.node.clone();
        if let Some(session) = self.session(conn)
            && std::mem::take(&mut session.is_stranger)
        {
            node.addresses.log_in(session.address, self.now);
        }
        self.effects.push_back(Effect::LoggedIn { conn });
    }

    pub(crate) fn start_hash(&mut self, ticket: Ticket, job: HashJob) {
        self.credits.take_hash();
        if let Some(session) = self.session(ticket.conn) {
            let address = session.address;
            self.node.addresses.begin_check(address, self.now);
            self.checks.insert(ticket.conn, address);
        }
        self.effects.push_back(Effect::Hash(HashRequest { ticket, job }));
    }

    /// One more job of a client's request begins.
    pub(crate) fn begin(&mut self, conn: ConnId) {
        if let Some(session) = self.session(conn) {
            session.in_flight += 1;
        }
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

    pub(crate) fn close_if_done(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        let is_busy = session.in_flight > 0
            || matches!(session.state, State::LoggingIn(_) | State::Registering(_));
        if session.is_half_closed && !is_busy {
            self.close(conn, Goodbye::PeerDone);
        }
    }

    /// Takes a session out of the table and the directory.
    pub(crate) fn leave(&mut self, conn: ConnId, user: UserId, online: Online) {
        self.node.table.leave(user, online);
        presence::note(self, user, false);
        self.node.streams.leave(&self.node.table, user);
        let job = DirectoryJob::Unregister(self.record_of(user, online));
        self.tell_directory(conn, job);
    }

    /// Tells the directory of a session that it was not told of, for want of room.
    pub(crate) fn list(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        if session.is_closing || !std::mem::take(&mut session.is_unlisted) {
            return;
        }
        if let Some((user, online)) = session.entered() {
            let job = DirectoryJob::Assert(self.record_of(user, online));
            self.tell_directory(conn, job);
        }
    }

    fn tell_directory(&mut self, conn: ConnId, job: DirectoryJob) {
        let ticket = self.own_ticket(conn);
        self.effects.push_back(Effect::Directory(DirectoryRequest { ticket, job }));
    }

    fn record_of(&self, user: UserId, online: Online) -> SessionRecord {
        let (class, epoch) = (online.class, online.epoch);
        let NodeConfig { node, boot, .. } = self.node.config;
        SessionRecord { user, class, epoch, node, boot }
    }

    /// The ticket of a job that no request asked for.
    pub(crate) fn own_ticket(&self, conn: ConnId) -> Ticket {
        let (reactor, command) = (self.reactor, Command::Heartbeat);
        Ticket { reactor, conn, request: 0, command, bytes: 0 }
    }
}
