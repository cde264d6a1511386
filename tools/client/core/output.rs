//! What the core puts on the wire and in which order. Decides nothing about answers.

use aldis_wire::{Code, Command, OutFrame, pb};
use bytes::Bytes;

use super::config::Credentials;
use super::event::Observation;
use super::limits::{EVENTS_SOFT_MAX, OUT_BYTES_SOFT_MAX, REQUESTS_IN_FLIGHT_MAX};
use super::outbox::{Outgoing, Target};
use super::pending::Pending;
use super::request::Request;
use super::{Core, limits};

impl Core {
    /// Makes frames until the buffer holds enough or there is nothing to say.
    pub(super) fn fill_out(&mut self, now: u64) {
        if !self.link.is_open() || self.session.leaving.is_some() {
            return;
        }
        self.put_asked(now);
        if self.session.is_logged_out() {
            self.put_login(now);
        }
        if !self.session.is_online() {
            return;
        }
        self.put_session_requests(now);
        self.put_marks(now);
        self.put_syncs(now);
        self.put_sends(now);
        debug_assert!(self.pending.len() <= aldis_wire::limits::PIPELINED_REQUESTS_MAX);
    }

    fn has_room(&self) -> bool {
        self.out.len() - self.out_written < OUT_BYTES_SOFT_MAX
    }

    fn put(&mut self, frame: &OutFrame) {
        self.out.extend_from_slice(frame.head());
        self.out.extend_from_slice(frame.tail());
    }

    fn put_login(&mut self, now: u64) {
        let Some(credentials) = &self.credentials else { return };
        let token = self.saved.token.clone();
        let by_token = !token.is_empty();
        let (username, password) = match credentials {
            Credentials::Password { username, password } if !by_token => {
                (username.clone(), password.clone())
            }
            _ => (String::new(), String::new()),
        };
        let user = match credentials {
            Credentials::Password { username, .. } => username.clone(),
            Credentials::SavedToken => self.saved.user_id.to_string(),
        };
        let body = pb::LoginReq {
            username,
            password,
            token,
            device_id: self.config.device_id.clone(),
            device_class: pb::DeviceClass::from(self.config.device_class) as i32,
            device_name: self.config.device_name.clone(),
        };
        let seq = self.pending.insert(now, Pending::Login { by_token });
        self.put(&OutFrame::encode(Command::Login.id(), Code::Ok, seq, &body));
        self.session.handle_login_sent();
        self.observe(|| Observation::LoginSent { user });
    }

    fn put_session_requests(&mut self, now: u64) {
        if self.session.heartbeat_due && !self.session.heartbeat_on_wire {
            self.session.heartbeat_due = false;
            self.session.heartbeat_on_wire = true;
            let body = pb::HeartbeatReq { local_seq: self.local_seq(0).unwrap_or(0) };
            let seq = self.pending.insert(now, Pending::Heartbeat);
            self.put(&OutFrame::encode(Command::Heartbeat.id(), Code::Ok, seq, &body));
        }
        if self.session.refresh_due {
            self.session.refresh_due = false;
            let seq = self.pending.insert(now, Pending::RefreshToken);
            let body = pb::RefreshTokenReq {};
            self.put(&OutFrame::encode(Command::RefreshToken.id(), Code::Ok, seq, &body));
        }
    }

    fn put_marks(&mut self, now: u64) {
        // One mark on the wire per connection is plenty, and keeps 2,000 streams from filling it.
        if self.mark_on_wire {
            return;
        }
        let due = self
            .streams
            .iter()
            .find_map(|(&stream, state)| state.mark.poll().map(|seq| (stream, seq)));
        let Some((stream, seq)) = due else { return };
        if let Some(state) = self.streams.get_mut(&stream) {
            state.mark.handle_sent();
        }
        self.mark_on_wire = true;
        let number = self.pending.insert(now, Pending::Mark { stream, seq });
        let body = pb::MarkDeliveredReq { stream, seq };
        self.put(&OutFrame::encode(Command::MarkDelivered.id(), Code::Ok, number, &body));
    }

    fn put_syncs(&mut self, now: u64) {
        if self.read_on_wire || self.events.len() > EVENTS_SOFT_MAX {
            return;
        }
        let wants = self.streams.iter_mut().find(|(_, state)| state.rule.wants_sync());
        let Some((&stream, state)) = wants else { return };
        let after_seq = state.rule.begin_sync();
        let no = self.take_request_no();
        let limit = self.config.sync_limit;
        let request = Request::MsgSync(pb::MsgSyncReq { stream, after_seq, limit });
        self.read_on_wire = true;
        self.observe(|| Observation::RequestSent(no, request.clone()));
        let seq = self.pending.insert(now, Pending::Sync { no, request: request.clone(), stream });
        self.put(&request.frame(seq));
    }

    /// Requests of the application, in order; a read that must wait for another one holds back
    /// those behind it.
    fn put_asked(&mut self, now: u64) {
        while self.asked_on_wire_count < REQUESTS_IN_FLIGHT_MAX && self.has_room() {
            let Some((_, request)) = self.queued.front() else { return };
            let allowed = self.session.is_online()
                || (self.session.is_logged_out() && request.command().allowed_before_login());
            if !allowed || (request.is_paged_read() && self.read_on_wire) {
                return;
            }
            let Some((no, request)) = self.queued.pop_front() else { return };
            self.read_on_wire |= request.is_paged_read();
            self.asked_on_wire_count += 1;
            self.observe(|| Observation::RequestSent(no, request.clone()));
            let pending = Pending::Asked { no, request: request.clone() };
            let seq = self.pending.insert(now, pending);
            self.put(&request.frame(seq));
        }
    }

    fn put_sends(&mut self, now: u64) {
        while self.has_room() {
            let Some((message, is_first)) = self.outbox.poll_send() else { return };
            let message = message.clone(); // contents are shared, not copied
            let (target, client_msg_id) = (message.target, message.client_msg_id);
            let seq = self.pending.insert(now, Pending::Send { target, client_msg_id });
            self.put(&OutFrame::encode(Command::MsgSend.id(), Code::Ok, seq, &send_body(&message)));
            self.observe(|| match is_first {
                true => Observation::SendSent(message),
                false => Observation::SendAgain(client_msg_id),
            });
        }
    }

    /// When `handle_timeout` wants to be called; `None`: only bytes or wishes can change anything.
    pub fn poll_timeout(&self) -> Option<u64> {
        let mut next = self.link.poll_timeout();
        let mut consider = |at: Option<u64>| {
            next = match (next, at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        if self.link.is_open() {
            consider(self.silence_deadline());
            consider(self.session.poll_timeout());
            if self.session.is_online() {
                consider(self.outbox.poll_timeout());
                for state in self.streams.values() {
                    consider(state.rule.poll_timeout());
                    consider(state.mark.poll_timeout());
                }
            }
        }
        next
    }

    /// When the connection counts as dead if nothing more is heard.
    pub(super) fn silence_deadline(&self) -> Option<u64> {
        let sent_at = self.pending.oldest_sent_at()?;
        let silent = sent_at.max(self.last_received_at).saturating_add(limits::SILENCE_MS_MAX);
        Some(silent.min(sent_at.saturating_add(limits::ANSWER_MS_MAX)))
    }
}

fn send_body(message: &Outgoing) -> pb::MsgSendReq {
    let (receiver_id, group_id) = match message.target {
        Target::User(user) => (user.0, 0),
        Target::Group(group) => (0, group.0),
    };
    pb::MsgSendReq {
        receiver_id,
        group_id,
        client_msg_id: Bytes::copy_from_slice(&message.client_msg_id.0),
        r#type: message.kind as i32,
        content: message.content.clone(),
        extra: message.extra.clone(),
        reply_to_msg_id: message.refs.as_ref().map_or(0, |refs| refs.reply_to_msg_id),
        mention_ids: message.refs.as_ref().map_or(vec![], |refs| refs.mention_ids.clone()),
    }
}
