//! Inputs of a service from other threads: replies to its jobs, deliveries, other services' mail.

use aldis_wire::{Command, ConnId, GroupId, OutFrame, pb};

use crate::effect::{Effect, Goodbye, Lane, PeerMail};
use crate::fanout::Delivery;
use crate::handlers::{self, head_check, presence, receipt_notify};
use crate::hold_back;
use crate::job::{
    AttemptReply, DirectoryJob, DirectoryReply, DirectoryRequest, HashReply, JobError, LocateReply,
    ReadReply, Registration, SessionRecord, Ticket, WriteReply, Written,
};
use crate::now::Now;
use crate::service::Service;
use crate::session::State;

/// Whose a reply is.
enum Finished {
    /// Nobody's: the connection is gone or closing.
    Gone,
    /// The next step of a LOGIN or REGISTER.
    Step,
    /// The answer to a request.
    Request,
}

impl Service {
    /// A store writer answered.
    pub fn handle_write_reply(&mut self, now: Now, reply: WriteReply) {
        self.now = now;
        self.credits.give_write(reply.ticket.bytes);
        self.fence = self.fence.max(reply.fence);
        self.node.outages.note(matches!(reply.result, Err(JobError::Unavailable)));
        let ticket = reply.ticket;
        match self.finish(ticket) {
            Finished::Gone => {
                if let Ok(Written::SessionOpened(opened)) = reply.result {
                    handlers::account::release(self, ticket.conn, &opened);
                }
            }
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
        if head_check::is_ours(reply.ticket) {
            head_check::handle_answer(self, reply.ticket, reply.result);
            return;
        }
        if presence::is_ours(reply.ticket) {
            return presence::handle_sight(self, reply.result);
        }
        if receipt_notify::is_ours(reply.ticket) {
            receipt_notify::handle_answer(self, reply.ticket, reply.result);
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
        if let Some(address) = self.checks.remove(&reply.ticket.conn) {
            self.node.addresses.end_check(address, self.now);
        }
        match self.finish(reply.ticket) {
            Finished::Gone => {}
            Finished::Step => {
                handlers::account::handle_hashed(self, reply.ticket, reply.result);
            }
            Finished::Request => handlers::handle_hashed(self, reply.ticket, reply.result),
        }
        self.close_if_done(reply.ticket.conn);
    }

    /// The directory said where users are.
    pub fn handle_locate_reply(&mut self, now: Now, reply: &LocateReply) {
        self.now = now;
        self.credits.give_read();
        if presence::is_ours(reply.ticket) {
            return presence::handle_looked(self, reply);
        }
        if matches!(self.finish(reply.ticket), Finished::Request) {
            handlers::handle_located(self, reply.ticket, reply);
        }
        self.close_if_done(reply.ticket.conn);
    }

    /// The directory said whether an attempt may be made.
    pub fn handle_attempt_reply(&mut self, now: Now, reply: AttemptReply) {
        self.now = now;
        self.credits.give_read();
        let AttemptReply { ticket, verdict } = reply;
        match self.finish(ticket) {
            Finished::Gone => {}
            Finished::Step => handlers::account::handle_attempted(self, ticket, verdict),
            Finished::Request => handlers::handle_attempted(self, ticket, verdict),
        }
        self.close_if_done(ticket.conn);
    }

    /// The directory answered.
    pub fn handle_directory_reply(&mut self, now: Now, reply: DirectoryReply) {
        self.now = now;
        if matches!(self.finish(reply.ticket), Finished::Step) {
            handlers::account::handle_registration(self, reply.ticket, reply.registration);
        }
    }

    /// The directory's queue has no room for this request. A session goes on without it, and is told to
    /// it with its next head check; one that ended is replaced by its user's next.
    pub fn handle_directory_full(&mut self, now: Now, request: &DirectoryRequest) {
        self.now = now;
        let ticket = request.ticket;
        if matches!(request.job, DirectoryJob::Unregister(_)) {
            return;
        }
        if let Some(session) = self.session(ticket.conn) {
            session.is_unlisted = true;
        }
        if matches!(request.job, DirectoryJob::Register(_)) {
            let registration = Registration::Unavailable;
            self.handle_directory_reply(now, DirectoryReply { ticket, registration });
        }
    }

    /// A committed entry for sessions of this reactor. Deliveries of this node come in commit order;
    /// those of other nodes come when they come.
    pub fn handle_delivery(&mut self, now: Now, delivery: &Delivery) {
        self.now = now;
        if let Some(group) = delivery.stream {
            return self.handle_stream_delivery(group, delivery);
        }
        let holds_back = hold_back::is_used(self);
        for target in &delivery.targets {
            let Some(session) = self.session(target.conn) else { continue };
            let Some(head) = session.head_of(target.user) else { continue };
            let before = *head;
            *head = before.max(target.seq);
            let head = *head;
            // Before LOGIN_RESP a push would come too early: the head in it covers the entry.
            // A session that is behind gets a hint anyway; a push would only delay it.
            let Some(online) = session.online() else { continue };
            let is_next = online.hold.is_none() && target.seq.0 <= before.0 + 1;
            if session.is_closing || session.is_behind {
                continue;
            }
            if holds_back && !is_next {
                let push = Some(&delivery.push);
                hold_back::handle_entry(self, target.conn, before, target.seq, push);
                continue;
            }
            let frame = delivery.push.frame(target.seq, head);
            self.effects.push_back(Effect::Send { conn: target.conn, frame, lane: Lane::Push });
        }
    }

    fn handle_stream_delivery(&mut self, group: GroupId, delivery: &Delivery) {
        for target in &delivery.targets {
            let Some(session) = self.session(target.conn) else { continue };
            // Before LOGIN_RESP a push would come too early: the check after it covers the entry.
            if session.online().is_none_or(|online| online.user != target.user) {
                continue;
            }
            if delivery.push.is_empty() {
                head_check::note(self, target.conn);
                continue;
            }
            let told = session.tell_stream(group, target.seq).unwrap_or_default();
            if session.is_closing || session.is_behind {
                continue;
            }
            let frame = delivery.push.frame_in(group.0, target.seq, told.max(target.seq));
            self.effects.push_back(Effect::Send { conn: target.conn, frame, lane: Lane::Push });
        }
    }

    /// Deliveries to these connections did not fit the mailbox: find out what they missed.
    pub fn handle_missed(&mut self, now: Now, conns: &[ConnId]) {
        self.now = now;
        for &conn in conns {
            head_check::note(self, conn);
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
            PeerMail::Notice(mail) => self.handle_notice(mail),
            PeerMail::Hints(hints) => self.presence.board.handle_hints(now.mono_ms, &hints),
        }
    }

    /// The directory says that this session lost its place to a newer one, on whichever node. One
    /// that has ended, or is another reactor's, is not minded.
    pub fn handle_fenced(&mut self, now: Now, fenced: &SessionRecord) {
        self.now = now;
        let SessionRecord { user, class, epoch, boot, .. } = *fenced;
        if boot != self.node.config.boot {
            return;
        }
        let mut found = None;
        self.node.table.for_each_of(user, |online| {
            if (online.reactor, online.class, online.epoch) == (self.reactor, class, epoch) {
                found = Some(online.conn);
            }
        });
        if let Some(conn) = found {
            self.kick(conn, pb::KickReason::Replaced, String::new());
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
}
