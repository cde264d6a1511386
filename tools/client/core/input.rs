//! What the core makes of what it is handed: bytes, the end of a connection, the time.

use aldis_wire::{Code, Command, Frame, Message, pb};

use super::Core;
use super::answer::Refusal;
use super::deframe::Next;
use super::event::{Event, Observation, OfflineReason, Told};
use super::limits::{GOAWAY_GRACE_MS, RETRY_AFTER_MS_MAX};
use super::link::Phase;
use super::pending::Pending;
use super::request::RequestError;
use super::session::{Leaving, Session};
use super::stream::Applied;

impl Core {
    /// The driver's connection is open.
    pub fn handle_connected(&mut self, now: u64) {
        if self.link.handle_connected() {
            self.last_received_at = now;
        }
    }

    /// The driver's connection is gone, or did not open.
    pub fn handle_disconnected(&mut self, now: u64) {
        let reason = match self.link.phase() {
            Phase::Open => OfflineReason::Closed,
            Phase::Connecting { .. } => OfflineReason::ConnectFailed,
            Phase::Stopped | Phase::Waiting { .. } => return,
        };
        self.lose_link(now, reason, 0);
    }

    /// Bytes from the driver's connection, cut anywhere.
    pub fn handle_bytes(&mut self, now: u64, bytes: &[u8]) {
        if !self.link.is_open() {
            return;
        }
        self.last_received_at = now;
        let mut deframer = std::mem::take(&mut self.deframer);
        let result = deframer.push(bytes, |frame| {
            self.handle_frame(now, frame);
            if self.link.is_open() { Next::More } else { Next::Stop }
        });
        self.deframer = deframer;
        match result {
            Ok(()) if self.link.is_open() => {}
            Ok(()) => self.deframer.clear(),
            Err(_) => self.end_link(now, OfflineReason::BadFrame, 0),
        }
        #[cfg(debug_assertions)]
        self.outbox.invariants();
    }

    /// Time has passed. Call it at or after `poll_timeout`.
    pub fn handle_timeout(&mut self, now: u64) {
        match self.link.phase() {
            Phase::Stopped => {}
            Phase::Waiting { until } if until <= now => self.link.start(now),
            Phase::Waiting { .. } => {}
            Phase::Connecting { deadline } if deadline <= now => {
                self.end_link(now, OfflineReason::ConnectFailed, 0);
            }
            Phase::Connecting { .. } => {}
            Phase::Open => self.handle_open_timeout(now),
        }
    }

    fn handle_open_timeout(&mut self, now: u64) {
        if self.silence_deadline().is_some_and(|at| at <= now) {
            return self.end_link(now, OfflineReason::Silent, 0);
        }
        if let Some(leaving) = self.session.leaving.filter(|leaving| leaving.at <= now) {
            return self.end_link(now, OfflineReason::Goaway, leaving.pause_ms);
        }
        self.session.handle_timeout(now);
        self.outbox.handle_timeout(now);
        for state in self.streams.values_mut() {
            state.rule.handle_timeout(now);
            state.mark.handle_timeout(now);
        }
    }

    /// Closes the driver's socket and forgets the connection.
    pub(super) fn end_link(&mut self, now: u64, reason: OfflineReason, pause_ms: u64) {
        self.link.close();
        self.lose_link(now, reason, pause_ms);
    }

    /// The connection is gone: what was unanswered is kept or reported, and the next try planned.
    fn lose_link(&mut self, now: u64, reason: OfflineReason, pause_ms: u64) {
        let was_stopped = self.link.phase() == Phase::Stopped;
        self.deframer.clear();
        self.out = Vec::new();
        self.out_written = 0;
        self.session = Session::default();
        for pending in self.pending.drain() {
            match pending {
                Pending::Asked { no, .. } => self.finish(no, Err(RequestError::Lost)),
                Pending::Sync { no, .. } => {
                    self.observe(|| Observation::RequestDone(no, Err(RequestError::Lost)));
                }
                Pending::Login { .. } => self.observe(|| Observation::LoginLost),
                Pending::Send { client_msg_id, .. } => {
                    self.observe(|| Observation::SendLost(client_msg_id));
                }
                Pending::Heartbeat | Pending::RefreshToken | Pending::Mark { .. } => {}
            }
        }
        self.asked_on_wire_count = 0;
        self.read_on_wire = false;
        self.mark_on_wire = false;
        self.outbox.handle_disconnected();
        for state in self.streams.values_mut() {
            state.rule.handle_disconnected();
            state.mark.handle_disconnected(now);
            state.wants_reset = false;
        }
        let wanted = !was_stopped && reason != OfflineReason::Asked;
        let retry_in_ms = if wanted {
            Some(self.link.wait(now, pause_ms.min(RETRY_AFTER_MS_MAX), &mut self.rng))
        } else {
            self.link.stop();
            None
        };
        if !was_stopped {
            self.events.push_back(Event::Offline { reason, retry_in_ms });
        }
    }

    /// Ends the connection and tries no further.
    pub(super) fn stop(&mut self, now: u64) {
        self.credentials = None;
        self.link.close();
        self.link.stop();
        self.lose_link(now, OfflineReason::Asked, 0);
    }

    fn handle_frame(&mut self, now: u64, frame: Frame<'_>) {
        match Command::from_server(frame.header.cmd) {
            Some(Command::MsgPushNotify) => self.handle_push(now, frame.body),
            Some(Command::KickNotify) => {
                let notify = pb::KickNotify::decode(frame.body).unwrap_or_default();
                let reason = notify.reason();
                self.stop(now);
                self.events.push_back(Event::Kicked { reason, device_name: notify.device_name });
            }
            Some(Command::GoawayNotify) => self.handle_goaway(now, frame.body),
            Some(command) if frame.header.seq != 0 => {
                let Some(pending) = self.pending.remove(frame.header.seq) else { return };
                if pending.command().response() == command {
                    self.handle_response(now, pending, frame);
                } else {
                    self.end_link(now, OfflineReason::BadFrame, 0);
                }
            }
            Some(command) => {
                self.events.extend(Told::decode(command, frame.body).map(Event::Told));
            }
            // A notification or answer of a later version: a client ignores what it does not know.
            None => {}
        }
    }

    fn handle_goaway(&mut self, now: u64, body: &[u8]) {
        let notify = pb::GoawayNotify::decode(body).unwrap_or_default();
        if !notify.reconnect_to.is_empty() {
            self.link.set_redirect(notify.reconnect_to);
        }
        let pause_ms = u64::from(notify.reconnect_delay_ms);
        self.session.leaving = Some(Leaving { at: now.saturating_add(GOAWAY_GRACE_MS), pause_ms });
        self.leave_if_done(now);
    }

    /// After GOAWAY: the connection ends once nothing on it is unanswered.
    fn leave_if_done(&mut self, now: u64) {
        if let Some(leaving) = self.session.leaving
            && self.pending.len() == 0
        {
            self.end_link(now, OfflineReason::Goaway, leaving.pause_ms);
        }
    }

    fn handle_push(&mut self, now: u64, body: &[u8]) {
        let Ok(push) = pb::MsgPushNotify::decode(body) else {
            return self.end_link(now, OfflineReason::BadFrame, 0);
        };
        self.observe(|| Observation::Push(push.clone()));
        let stream = push.stream;
        let mut applied = Vec::new();
        if let Some(state) = self.streams.get_mut(&stream) {
            state.rule.handle_push(now, push.entries, push.head, &mut applied);
        }
        self.emit(now, stream, applied);
    }

    pub(super) fn emit(&mut self, now: u64, stream: u64, applied: Vec<Applied>) {
        let Some(last_seq) = applied.last().map(|last| last.entry.seq) else { return };
        let entry_event = |Applied { entry, via }| Event::Entry { stream, entry, via };
        self.events.extend(applied.into_iter().map(entry_event));
        if self.config.auto_mark
            && let Some(state) = self.streams.get_mut(&stream)
        {
            state.mark.want(now, last_seq);
        }
    }

    fn handle_response(&mut self, now: u64, pending: Pending, frame: Frame<'_>) {
        let code = Code::from_u16(frame.header.code).unwrap_or(Code::Internal);
        let result = if code == Code::Ok {
            Ok(frame.body)
        } else {
            let error = pb::Error::decode(frame.body).unwrap_or_default();
            let (message, retry_after_ms) = (error.message, error.retry_after_ms);
            Err(Refusal { code, message, retry_after_ms })
        };
        let is_session_lost = code == Code::NotLoggedIn && self.session.is_online();
        if is_session_lost {
            self.pending.insert(now, pending); // it ends as what the connection's end makes of it
            return self.end_link(now, OfflineReason::Refused(code), 0);
        }
        let understood = match pending {
            Pending::Login { by_token } => self.handle_login(now, by_token, result),
            Pending::Heartbeat => self.handle_heartbeat(now, result),
            Pending::RefreshToken => self.handle_refresh(now, result),
            Pending::Send { target, client_msg_id } => {
                self.handle_send(now, target, client_msg_id, result)
            }
            Pending::Sync { no, request, stream } => {
                self.handle_sync(now, no, &request, stream, result)
            }
            Pending::Mark { stream, seq } => self.handle_mark(now, stream, seq, result.is_ok()),
            Pending::Asked { no, request } => self.handle_asked(now, no, &request, result),
        };
        if understood.is_none() {
            return self.end_link(now, OfflineReason::BadFrame, 0);
        }
        self.leave_if_done(now);
    }
}
