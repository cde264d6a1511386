//! What each kind of answer means. `None` from a handler: the body is not what the protocol says.

use aldis_wire::{ClientMsgId, Code, Message, pb};
use bytes::Bytes;

use super::event::{Event, Observation, OfflineReason};
use super::limits::STREAMS_MAX;
use super::outbox::{Outgoing, Settled, Target};
use super::request::{Request, RequestError, RequestNo, Response};
use super::stream::PageOutcome;
use super::{Core, Credentials, Start, StreamState};

/// A response that is not OK.
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) retry_after_ms: u32,
}

impl From<Refusal> for RequestError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, retry_after_ms } = refusal;
        RequestError::Refused { code, message, retry_after_ms }
    }
}

impl Core {
    pub(super) fn handle_login(
        &mut self,
        now: u64,
        by_token: bool,
        result: Result<&[u8], Refusal>,
    ) -> Option<()> {
        let body = match result {
            Ok(body) => body,
            Err(refusal) => {
                self.handle_login_refused(now, by_token, refusal);
                return Some(());
            }
        };
        let resp = pb::LoginResp::decode(body).ok()?;
        self.observe(|| Observation::LoginDone(Ok(Box::new(resp.clone()))));
        self.link.handle_session();
        self.session.handle_login_ok(now, &resp);
        if self.saved.user_id != resp.user_id {
            self.streams.clear(); // positions of another user mean nothing here
            self.saved.store_epoch = resp.store_epoch;
        }
        let is_other_store = self.saved.store_epoch != resp.store_epoch;
        self.saved.user_id = resp.user_id;
        self.saved.token.clone_from(&resp.token);
        self.saved.store_epoch = resp.store_epoch;
        self.events.push_back(Event::Online(Box::new(resp.clone())));
        self.take_heads(&resp, is_other_store);
        Some(())
    }

    /// Follows the streams that LOGIN_RESP names, and no others.
    fn take_heads(&mut self, resp: &pb::LoginResp, is_other_store: bool) {
        let mut heads = resp.heads.clone();
        if heads.iter().all(|head| head.stream != 0) {
            heads.push(pb::StreamHead { stream: 0, head: 0 });
        }
        self.streams.retain(|&id, _| heads.iter().any(|head| head.stream == id));
        for pb::StreamHead { stream, head } in heads {
            match self.streams.get(&stream).map(|state| state.rule.local()) {
                Some(local) if is_other_store || head < local => self.resync(stream, head),
                Some(_) => self.note_head(stream, head),
                None => self.follow(stream, head, if stream == 0 { resp.cursor } else { head }),
            }
        }
    }

    /// A stream without a saved position.
    fn follow(&mut self, stream: u64, head: u64, cursor: u64) {
        if self.streams.len() >= STREAMS_MAX {
            return;
        }
        let local = match self.config.start {
            Start::Zero => 0,
            Start::Cursor { behind_max } => cursor.min(head).max(head.saturating_sub(behind_max)),
            Start::Head => head,
        };
        self.streams.insert(stream, StreamState::new(local));
        self.note_head(stream, head);
    }

    /// A head that the server names.
    fn note_head(&mut self, stream: u64, head: u64) {
        match self.streams.get_mut(&stream) {
            Some(state) if state.wants_reset => self.resync(stream, head),
            Some(state) => state.rule.handle_head(head),
            None => self.follow(stream, head, head),
        }
    }

    fn resync(&mut self, stream: u64, head: u64) {
        if let Some(state) = self.streams.get_mut(&stream) {
            let local = state.rule.local();
            *state = StreamState::new(local);
            state.rule.reset(head);
            self.events.push_back(Event::Resynced { stream, local, head });
        }
    }

    fn handle_login_refused(&mut self, now: u64, by_token: bool, refusal: Refusal) {
        let Refusal { code, message, retry_after_ms } = refusal;
        self.observe(|| Observation::LoginDone(Err(code)));
        let has_password = matches!(self.credentials, Some(Credentials::Password { .. }));
        if code.is_retryable() || !code.is_definite() {
            self.end_link(now, OfflineReason::Refused(code), u64::from(retry_after_ms));
        } else if by_token && matches!(code, Code::BadCredentials | Code::TokenExpired) {
            self.saved.token.clear();
            if has_password {
                self.end_link(now, OfflineReason::Refused(code), 0);
            } else {
                self.stop(now);
                self.events.push_back(Event::LoginFailed { code, message });
            }
        } else {
            self.stop(now);
            self.events.push_back(Event::LoginFailed { code, message });
        }
    }

    pub(super) fn handle_heartbeat(
        &mut self,
        now: u64,
        result: Result<&[u8], Refusal>,
    ) -> Option<()> {
        self.session.heartbeat_on_wire = false;
        let Ok(body) = result else { return Some(()) }; // the next one comes soon enough
        let resp = pb::HeartbeatResp::decode(body).ok()?;
        match self.streams.get_mut(&0) {
            // The answers to own sends may be what lies between: they come without a sync.
            Some(state) if !state.wants_reset && self.outbox.has_on_wire() => {
                state.rule.handle_head_soon(now, resp.head_seq);
            }
            _ => self.note_head(0, resp.head_seq),
        }
        for pb::StreamHead { stream, head } in resp.heads {
            self.note_head(stream, head);
        }
        Some(())
    }

    pub(super) fn handle_refresh(
        &mut self,
        now: u64,
        result: Result<&[u8], Refusal>,
    ) -> Option<()> {
        // A refusal is no harm: the next login says whether the old token still holds.
        let Ok(body) = result else { return Some(()) };
        let resp = pb::RefreshTokenResp::decode(body).ok()?;
        self.saved.token = resp.token;
        self.session.schedule_refresh(now, resp.token_expires_ms);
        Some(())
    }

    pub(super) fn handle_send(
        &mut self,
        now: u64,
        target: Target,
        client_msg_id: ClientMsgId,
        result: Result<&[u8], Refusal>,
    ) -> Option<()> {
        let (code, message, retry_after_ms, ack) = match result {
            Ok(body) => (Code::Ok, String::new(), 0, pb::MsgSendResp::decode(body).ok()?),
            Err(Refusal { code, message, retry_after_ms }) => {
                (code, message, retry_after_ms, pb::MsgSendResp::default())
            }
        };
        let retry_after_ms = u64::from(retry_after_ms);
        match self.outbox.handle_answer(now, target, client_msg_id, code, retry_after_ms) {
            Settled::Kept => self.observe(|| Observation::SendRefused { client_msg_id, code }),
            Settled::Acked(sent) => {
                self.observe(|| Observation::SendDone { client_msg_id, result: Ok(ack) });
                self.events.push_back(Event::SendAcked { client_msg_id, ack });
                if ack.seq != 0 {
                    self.apply_own(now, &sent, &ack);
                }
            }
            Settled::Failed { maybe_committed } => {
                let result = Err((code, maybe_committed));
                self.observe(|| Observation::SendDone { client_msg_id, result });
                self.events.push_back(Event::SendFailed {
                    client_msg_id,
                    code,
                    message,
                    maybe_committed,
                });
            }
        }
        Some(())
    }

    /// The server does not push a device its own entry: the answer and what was sent make it.
    fn apply_own(&mut self, now: u64, sent: &Outgoing, ack: &pb::MsgSendResp) {
        let (receiver_id, group_id) = match sent.target {
            Target::User(user) => (user.0, 0),
            Target::Group(group) => (0, group.0),
        };
        let entry = pb::MessageData {
            seq: ack.seq,
            msg_id: ack.msg_id,
            conv_seq: ack.conv_seq,
            sender_id: self.saved.user_id,
            receiver_id,
            group_id,
            r#type: sent.kind as i32,
            content: sent.content.clone(),
            extra: sent.extra.clone(),
            send_time_ms: ack.send_time_ms,
            flags: 0,
            client_msg_id: Bytes::copy_from_slice(&sent.client_msg_id.0),
            reply_to_msg_id: sent.refs.as_ref().map_or(0, |refs| refs.reply_to_msg_id),
            mention_ids: sent.refs.as_ref().map_or(vec![], |refs| refs.mention_ids.clone()),
        };
        let mut applied = Vec::new();
        if let Some(state) = self.streams.get_mut(&0) {
            state.rule.handle_own(now, entry, &mut applied);
        }
        self.emit(now, 0, applied);
    }

    pub(super) fn handle_sync(
        &mut self,
        now: u64,
        no: RequestNo,
        request: &Request,
        stream: u64,
        result: Result<&[u8], Refusal>,
    ) -> Option<()> {
        self.read_on_wire = false;
        let page = match result {
            Ok(body) => pb::MsgSyncResp::decode(body).ok().filter(|page| page.stream == stream),
            Err(refusal) => {
                self.handle_sync_refused(now, stream, &refusal);
                self.observe(|| Observation::RequestDone(no, Err(refusal.into())));
                return Some(());
            }
        };
        let Some(page) = page else {
            self.observe(|| Observation::RequestDone(no, Err(RequestError::Lost)));
            return None;
        };
        debug_assert!(matches!(request, Request::MsgSync(_)), "only syncs are asked as syncs");
        self.observe(|| Observation::RequestDone(no, Ok(Response::MsgSync(page.clone()))));
        let head = page.head;
        let mut applied = Vec::new();
        let outcome = match self.streams.get_mut(&stream) {
            Some(state) => state.rule.handle_page(now, page.entries, head, &mut applied),
            None => PageOutcome::Applied,
        };
        match outcome {
            PageOutcome::Applied => self.emit(now, stream, applied),
            PageOutcome::HeadBelow => self.resync(stream, head),
        }
        Some(())
    }

    fn handle_sync_refused(&mut self, now: u64, stream: u64, refusal: &Refusal) {
        let is_gone = matches!(refusal.code, Code::NotFound | Code::Forbidden) && stream != 0;
        if is_gone {
            self.streams.remove(&stream); // no longer a member
        } else if let Some(state) = self.streams.get_mut(&stream) {
            if refusal.code == Code::Resync {
                state.wants_reset = true;
                self.session.want_heartbeat();
            } else {
                state.rule.handle_sync_refused(now, u64::from(refusal.retry_after_ms));
            }
        }
    }

    pub(super) fn handle_mark(
        &mut self,
        now: u64,
        stream: u64,
        seq: u64,
        is_ok: bool,
    ) -> Option<()> {
        self.mark_on_wire = false;
        if let Some(state) = self.streams.get_mut(&stream) {
            if is_ok {
                state.mark.handle_ok(now, seq);
            } else {
                state.mark.handle_refused(now);
            }
        }
        Some(())
    }

    pub(super) fn handle_asked(
        &mut self,
        now: u64,
        no: RequestNo,
        request: &Request,
        result: Result<&[u8], Refusal>,
    ) -> Option<()> {
        self.asked_on_wire_count -= 1;
        if request.is_paged_read() {
            self.read_on_wire = false;
        }
        let response = match result {
            Ok(body) => Response::decode(request, body),
            Err(refusal) => {
                self.finish(no, Err(refusal.into()));
                return Some(());
            }
        };
        let Some(response) = response else {
            self.finish(no, Err(RequestError::Lost));
            return None;
        };
        if response.own_seq() != 0 {
            self.note_head(0, response.own_seq());
        }
        if let Response::ChangePassword(body) = &response {
            // The one that the session began with is void now.
            self.saved.token.clone_from(&body.token);
        }
        let is_logout = matches!(response, Response::Logout(_));
        self.finish(no, Ok(response));
        if is_logout {
            self.saved.token.clear();
            self.stop(now);
        }
        Some(())
    }

    /// The outcome of an application's request.
    pub(super) fn finish(&mut self, no: RequestNo, result: Result<Response, RequestError>) {
        self.observe(|| Observation::RequestDone(no, result.clone()));
        self.events.push_back(Event::Response { request: no, result });
    }
}
