//! Between a simulated reactor and its service: what src/server/reactor_handler.rs does, with
//! notes for the coverage. Decides nothing itself.

use aldis_logic::job::DirectoryRequest;
use aldis_logic::{Admit, Delivery, Effect, Lane};
use aldis_wire::limits::PIPELINED_REQUESTS_MAX;
use aldis_wire::{Code, Command, ConnId, Frame, FrameError, HEADER_LEN, Header, OutFrame};

use crate::conn::Sent;
use crate::mail::Mail;
use crate::outside::Outside;
use crate::reactor::{Job, Reactor};

/// Which input the effects follow from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Frame,
    Drained,
    Read,
    Fenced,
    Peer,
    Other,
}

impl Reactor {
    /// A connection was accepted.
    pub fn handle_open(&mut self, outside: &mut Outside, conn: ConnId) {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        self.service.handle_open(outside.agenda.now(), conn, address);
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, outside: &mut Outside, id: ConnId, frame: Frame<'_>) -> Admit {
        let header = frame.header;
        let admit = self.service.handle_frame(outside.agenda.now(), id, frame);
        if outside.is_traced {
            let (from, name) = (self.name_of(id), Command::request(header.cmd));
            outside.trace(|| format!("{from} -> {name:?} {}: {admit:?}", header.seq));
        }
        match (admit, Command::request(header.cmd), self.io.conn(id)) {
            (Admit::Taken, Some(command), Some(conn)) => {
                conn.unanswered.insert(header.seq, command);
            }
            (Admit::Wait, Some(command), _) => self.note_wait(outside, id, command),
            _ => {}
        }
        self.drain_effects(outside, Cause::Frame);
        admit
    }

    /// Bytes arrived that are no frame.
    pub fn handle_frame_error(&mut self, outside: &mut Outside, id: ConnId, error: FrameError) {
        self.service.handle_frame_error(outside.agenda.now(), id, error);
        self.drain_effects(outside, Cause::Other);
    }

    /// The client sends no more.
    pub fn handle_half_closed(&mut self, outside: &mut Outside, id: ConnId) {
        self.service.handle_half_closed(outside.agenda.now(), id);
        self.drain_effects(outside, Cause::Other);
    }

    /// A connection is gone.
    pub fn handle_closed(&mut self, outside: &mut Outside, id: ConnId) {
        self.service.handle_closed(outside.agenda.now(), id);
        self.drain_effects(outside, Cause::Other);
    }

    /// A connection whose pushes were dropped has written everything.
    pub fn handle_drained(&mut self, outside: &mut Outside, id: ConnId) {
        self.service.handle_drained(outside.agenda.now(), id);
        self.drain_effects(outside, Cause::Drained);
    }

    /// The end of a turn.
    pub fn handle_turn_end(&mut self, outside: &mut Outside) {
        self.service.handle_turn_end(outside.agenda.now());
        self.drain_effects(outside, Cause::Other);
    }

    /// Mail with a reserved slot.
    pub fn handle_mail(&mut self, outside: &mut Outside, mail: Mail) {
        let now = outside.agenda.now();
        let mut cause = Cause::Other;
        match mail {
            Mail::Written(replies) => {
                self.mailbox.give_reply_slots(replies.len());
                for reply in replies {
                    self.writes.0 -= 1;
                    self.writes.1 -= u64::from(reply.ticket.bytes);
                    self.service.handle_write_reply(now, reply);
                    self.drain_effects(outside, Cause::Other);
                }
            }
            Mail::Read(reply) => {
                self.mailbox.give_reply_slots(1);
                cause = Cause::Read;
                self.service.handle_read_reply(now, reply);
            }
            Mail::Hashed(reply) => {
                self.mailbox.give_reply_slots(1);
                self.service.handle_hash_reply(now, reply);
            }
            Mail::Directory(reply) => {
                self.mailbox.give_reply_slots(1);
                self.service.handle_directory_reply(now, reply);
            }
            Mail::Located(reply) => {
                self.mailbox.give_reply_slots(1);
                self.service.handle_locate_reply(now, &reply);
            }
            Mail::Peer(mail) => {
                cause = Cause::Peer;
                self.service.handle_peer(now, mail);
            }
            Mail::Fenced(record) => {
                cause = Cause::Fenced;
                self.service.handle_fenced(now, &record);
            }
            // The end of the turn looks at the alarms.
            Mail::Alarm => {}
            Mail::Missed => {
                let conns = self.mailbox.take_missed();
                self.service.handle_missed(now, &conns);
            }
            Mail::Drain(delay_ms_max) => {
                self.is_listening = false;
                self.service.handle_drain(now, delay_ms_max);
            }
            Mail::Stop => {
                self.service.handle_drain_end(now);
                self.is_stopping = true;
            }
        }
        self.drain_effects(outside, cause);
    }

    /// Entries of a batch.
    pub fn handle_deliveries(&mut self, outside: &mut Outside, deliveries: &[Delivery]) {
        for delivery in deliveries {
            self.service.handle_delivery(outside.agenda.now(), delivery);
            self.drain_effects(outside, Cause::Other);
        }
    }

    /// A connection in the trace: its reactor, slot, generation and link.
    fn name_of(&mut self, id: ConnId) -> String {
        let link = self.io.conn(id).map(|conn| conn.link.0);
        format!("{}/{}.{} (link {link:?})", self.number, id.index, id.generation)
    }

    fn drain_effects(&mut self, outside: &mut Outside, cause: Cause) {
        let now_us = outside.agenda.now_us();
        self.service.invariants();
        while let Some(effect) = self.service.poll_effect() {
            match effect {
                Effect::Send { conn, frame, lane } => {
                    self.note_frame(outside, cause, conn, &frame);
                    let is_push = lane != Lane::Reply;
                    if self.io.send(outside, conn, &frame, is_push) == Sent::Dropped
                        && lane == Lane::Push
                    {
                        self.service.handle_push_dropped(conn);
                    }
                }
                Effect::Close { conn, reason } => {
                    let number = self.number;
                    outside.trace(|| format!("reactor {number} closes {conn:?}: {reason:?}"));
                    self.io.close_after_flush(now_us, conn);
                }
                Effect::LoggedIn { conn } => {
                    if let Some(open) = self.io.open(conn) {
                        open.logged_in = true;
                        open.active_at_us = now_us;
                    }
                }
                Effect::Resume { conn } => self.io.resume(now_us, conn),
                Effect::Write(request) => {
                    self.writes.0 += 1;
                    self.writes.1 += u64::from(request.ticket.bytes);
                    self.jobs.push(Job::Write(request));
                }
                Effect::Read(request) => self.jobs.push(Job::Read(request)),
                Effect::Hash(request) => self.jobs.push(Job::Hash(request)),
                Effect::Directory(request) => self.ask_directory(outside, request),
                Effect::Kick(order) => self.jobs.push(Job::Kick(order)),
                Effect::Locate(request) => self.jobs.push(Job::Locate(request)),
                Effect::Attempt(_) => unreachable!("nodes here count attempts by themselves"),
                Effect::Hints(hints) => self.jobs.push(Job::Hints(hints)),
                Effect::Notice(notice) => self.jobs.push(Job::Notice(notice)),
                Effect::Post { reactor, mail } => {
                    self.jobs.push(Job::Post(usize::from(reactor.0), mail));
                }
            }
        }
    }

    fn ask_directory(&mut self, outside: &mut Outside, request: DirectoryRequest) {
        if !outside.dice.chance(outside.rates.directory_full) {
            self.jobs.push(Job::Directory(request));
            return;
        }
        outside.coverage.hit("directory: queue full");
        self.service.handle_directory_full(outside.agenda.now(), &request);
    }

    fn note_frame(&mut self, outside: &mut Outside, cause: Cause, id: ConnId, frame: &OutFrame) {
        let Some(head) = frame.head().first_chunk::<HEADER_LEN>() else { return };
        let Ok(header) = Header::decode(head, usize::MAX) else { return };
        let Some(conn) = self.io.conn(id) else { return };
        conn.unanswered.remove(&header.seq);
        if outside.is_traced {
            let (to, name) = (self.name_of(id), Command::from_server(header.cmd));
            outside.trace(|| format!("{to} <- {name:?} {} code {}", header.seq, header.code));
        }
        let Some(conn) = self.io.conn(id) else { return };
        let is_unavailable = header.code == Code::Unavailable.as_u16();
        let what = match (Command::from_server(header.cmd), cause) {
            (Some(Command::MsgPushNotify), Cause::Drained) => "hint: after a drain of output",
            (Some(Command::MsgPushNotify), Cause::Read) if outside.node_count > 1 => {
                "nodes: hint after a head check"
            }
            (Some(Command::MsgPushNotify), Cause::Read) => "hint: after a head check",
            (Some(Command::MsgPushNotify), _) => "push: delivered",
            (Some(Command::KickNotify), Cause::Read) if outside.node_count > 1 => {
                "nodes: kick after a head check"
            }
            (Some(Command::KickNotify), Cause::Read) => "kick: after a head check",
            (Some(Command::KickNotify), Cause::Fenced) => "nodes: kick told by the directory",
            (Some(Command::KickNotify), _) if !conn.logged_in => "kick: login lost to a newer one",
            (Some(Command::MsgSendResp), Cause::Frame) if is_unavailable => {
                "refused: behind a failed send"
            }
            (Some(Command::LoginResp), Cause::Frame) if is_unavailable => "drain: login refused",
            _ => return,
        };
        outside.coverage.hit(what);
    }

    /// Names what a frame waits for, from what this side of the service can see.
    fn note_wait(&mut self, outside: &mut Outside, id: ConnId, command: Command) {
        let (limits, (count, bytes)) = (self.credits, self.writes);
        let can_write = count < limits.writes && bytes < limits.write_bytes;
        let Some(conn) = self.io.conn(id) else { return };
        let has = |wanted: &[Command]| conn.unanswered.values().any(|c| wanted.contains(c));
        let what = if has(&[Command::Login, Command::Register]) {
            "wait: LOGIN or REGISTER under way"
        } else if conn.unanswered.len() >= PIPELINED_REQUESTS_MAX {
            "wait: pipelined requests"
        } else {
            match command {
                Command::MsgSync | Command::History | Command::Search
                    if has(&[Command::MsgSync, Command::History, Command::Search]) =>
                {
                    "wait: page under way"
                }
                Command::Logout if !conn.unanswered.is_empty() => {
                    "wait: LOGOUT behind other requests"
                }
                Command::MsgSend if can_write => "wait: sends that a failure will refuse",
                Command::Login | Command::Register => "wait: account credit",
                Command::MsgSync
                | Command::History
                | Command::Search
                | Command::UserGet
                | Command::UserFind
                | Command::GroupList
                | Command::GroupMembers => "wait: read credit",
                _ => "wait: write credit",
            }
        };
        outside.coverage.hit(what);
    }
}
