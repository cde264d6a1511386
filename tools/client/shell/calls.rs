//! Convenience calls of the blocking client: one question, one answer, tried again where that is
//! safe. They leave the events they do not need to `wait_event`.

use std::time::{Duration, Instant};

use aldis_wire::{ClientMsgId, GroupId, UserId, pb};
use bytes::Bytes;

use super::client::{Client, ClientError};
use crate::core::{
    Ask, Credentials, Event, OfflineReason, Outgoing, Request, Response, SubmitError, Target,
};

/// Pause before a call is tried again when the server names none.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Whose history: the same as where a message goes.
pub type Conversation = Target;

/// `receiver_id` and `group_id` of a request.
pub(super) fn fields(conversation: Conversation) -> (u64, u64) {
    match conversation {
        Target::User(user) => (user.0, 0),
        Target::Group(group) => (0, group.0),
    }
}

impl Client {
    /// Creates a user. Needs no session.
    pub fn register(
        &mut self,
        username: &str,
        password: &str,
        nickname: &str,
    ) -> Result<UserId, ClientError> {
        let (core, now) = self.core_mut();
        core.connect(now);
        let request_id = core.new_request_id(now).0;
        let request = pb::RegisterReq {
            username: username.to_owned(),
            password: password.to_owned(),
            nickname: nickname.to_owned(),
            request_id: Bytes::copy_from_slice(&request_id),
        };
        Ok(UserId(self.ask(request)?.user_id))
    }

    /// Opens a session. `Event::Online` is consumed by it.
    pub fn login(&mut self, credentials: Credentials) -> Result<pb::LoginResp, ClientError> {
        let deadline = self.call_deadline();
        let (core, now) = self.core_mut();
        core.login(now, credentials);
        loop {
            let is_news = |event: &Event| {
                matches!(
                    event,
                    Event::Online(_)
                        | Event::LoginFailed { .. }
                        | Event::Kicked { .. }
                        | Event::Offline { .. }
                )
            };
            match self.wait_for(deadline, is_news)? {
                Some(Event::Online(resp)) => return Ok(*resp),
                Some(Event::Offline { reason, .. }) => self.check_offline(reason)?,
                Some(event) => return Err(end_of_session(event)),
                None => return Err(ClientError::Timeout),
            }
        }
    }

    /// Sends a message and waits until it is durable.
    pub fn send(
        &mut self,
        target: Target,
        kind: pb::MsgType,
        content: Bytes,
    ) -> Result<(ClientMsgId, pb::MsgSendResp), ClientError> {
        let (core, now) = self.core_mut();
        let id = core.send_message(now, target, kind, content, Bytes::new())?;
        self.wait_acked(id).map(|ack| (id, ack))
    }

    /// The same under the caller's id: a resend returns the first result.
    pub fn send_again(&mut self, message: Outgoing) -> Result<pb::MsgSendResp, ClientError> {
        let id = message.client_msg_id;
        self.connection.core_mut().send(message)?;
        self.wait_acked(id)
    }

    /// Waits until a send is acknowledged or refused. After `Timeout` it is still on its way.
    pub fn wait_acked(&mut self, id: ClientMsgId) -> Result<pb::MsgSendResp, ClientError> {
        let deadline = self.call_deadline();
        let is_news = |event: &Event| match event {
            Event::SendAcked { client_msg_id, .. } | Event::SendFailed { client_msg_id, .. } => {
                *client_msg_id == id
            }
            Event::LoginFailed { .. } | Event::Kicked { .. } => true,
            _ => false,
        };
        match self.wait_for(deadline, is_news)? {
            Some(Event::SendAcked { ack, .. }) => Ok(ack),
            Some(Event::SendFailed { code, message, maybe_committed, .. }) => {
                Err(ClientError::Refused { code, message, maybe_done: maybe_committed })
            }
            Some(event) => Err(end_of_session(event)),
            None => Err(ClientError::Timeout),
        }
    }

    /// One page of a stream above `after_seq`, whatever this client has applied.
    pub fn sync_page(
        &mut self,
        stream: u64,
        after_seq: u64,
        limit: u32,
    ) -> Result<pb::MsgSyncResp, ClientError> {
        self.ask(pb::MsgSyncReq { stream, after_seq, limit })
    }

    /// One page of a conversation. Both positions 0: the newest entries.
    pub fn history_page(
        &mut self,
        conversation: Conversation,
        before_conv_seq: u64,
        after_conv_seq: u64,
        limit: u32,
    ) -> Result<pb::HistoryResp, ClientError> {
        let (receiver_id, group_id) = fields(conversation);
        let request =
            pb::HistoryReq { receiver_id, group_id, before_conv_seq, after_conv_seq, limit };
        self.ask(request)
    }

    /// One page of what is found; its `cursor`, if it is not 0, begins the next one.
    pub fn search_page(&mut self, request: pb::SearchReq) -> Result<pb::SearchResp, ClientError> {
        self.ask(request)
    }

    /// Takes the content of a message away.
    pub fn recall(
        &mut self,
        conversation: Conversation,
        conv_seq: u64,
    ) -> Result<pb::RecallResp, ClientError> {
        let (receiver_id, group_id) = fields(conversation);
        self.ask(pb::RecallReq { receiver_id, group_id, conv_seq })
    }

    /// Makes a text say something else.
    pub fn edit(
        &mut self,
        conversation: Conversation,
        conv_seq: u64,
        text: &str,
    ) -> Result<pb::EditResp, ClientError> {
        let (core, now) = self.core_mut();
        let request_id = core.new_request_id(now).0;
        let (receiver_id, group_id) = fields(conversation);
        self.ask(pb::EditReq {
            receiver_id,
            group_id,
            conv_seq,
            request_id: Bytes::copy_from_slice(&request_id),
            content: Bytes::copy_from_slice(text.as_bytes()),
            extra: Bytes::new(),
        })
    }

    /// Users by id, unknown ones left out.
    pub fn users(&mut self, ids: &[UserId]) -> Result<Vec<pb::UserInfo>, ClientError> {
        let user_ids = ids.iter().map(|id| id.0).collect();
        Ok(self.ask(pb::UserGetReq { user_ids })?.users)
    }

    /// Users whose name is or begins with `query`.
    pub fn find_users(
        &mut self,
        query: &str,
        limit: u32,
    ) -> Result<Vec<pb::UserInfo>, ClientError> {
        let query = query.to_owned();
        Ok(self.ask(pb::UserFindReq { query, limit })?.users)
    }

    /// Creates a group of this user and `members`; whether who comes in later can read everything.
    pub fn create_group(
        &mut self,
        name: &str,
        members: &[UserId],
        open_history: bool,
    ) -> Result<pb::GroupCreateResp, ClientError> {
        let (core, now) = self.core_mut();
        let request_id = core.new_request_id(now).0;
        let request = pb::GroupCreateReq {
            name: name.to_owned(),
            member_ids: members.iter().map(|id| id.0).collect(),
            request_id: Bytes::copy_from_slice(&request_id),
            open_history,
        };
        self.ask(request)
    }

    /// Invites users into a group.
    pub fn invite(
        &mut self,
        group: GroupId,
        members: &[UserId],
    ) -> Result<pb::GroupInviteResp, ClientError> {
        let member_ids = members.iter().map(|id| id.0).collect();
        let request = pb::GroupInviteReq { group_id: group.0, member_ids };
        self.ask(request)
    }

    /// Leaves a group.
    pub fn leave_group(&mut self, group: GroupId) -> Result<pb::GroupLeaveResp, ClientError> {
        self.ask(pb::GroupLeaveReq { group_id: group.0 })
    }

    /// All groups of this user.
    pub fn groups(&mut self) -> Result<Vec<pb::GroupInfo>, ClientError> {
        let mut groups: Vec<pb::GroupInfo> = Vec::new();
        loop {
            let after_group_id = groups.last().map_or(0, |group| group.group_id);
            let request = pb::GroupListReq { after_group_id, limit: 0 };
            let resp = self.ask(request)?;
            // A page that brings nothing ends the list, whatever it says of more.
            let more = resp.more && !resp.groups.is_empty();
            groups.extend(resp.groups);
            if !more {
                return Ok(groups);
            }
        }
    }

    /// All members of a group.
    pub fn members(&mut self, group: GroupId) -> Result<Vec<pb::GroupMember>, ClientError> {
        let mut members: Vec<pb::GroupMember> = Vec::new();
        loop {
            let after_user_id = members.last().map_or(0, |member| member.user_id);
            let request = pb::GroupMembersReq { group_id: group.0, after_user_id, limit: 0 };
            let resp = self.ask(request)?;
            let more = resp.more && !resp.members.is_empty();
            members.extend(resp.members);
            if !more {
                return Ok(members);
            }
        }
    }

    /// A whole list of [`RelationList`](pb::RelationList).
    pub fn relations(
        &mut self,
        list: pb::RelationList,
    ) -> Result<Vec<pb::RelationInfo>, ClientError> {
        let mut relations: Vec<pb::RelationInfo> = Vec::new();
        loop {
            let after_user_id = relations.last().map_or(0, |relation| relation.user_id);
            let request = pb::FriendListReq { list: list.into(), after_user_id, limit: 0 };
            let resp = self.ask(request)?;
            let more = resp.more && !resp.relations.is_empty();
            relations.extend(resp.relations);
            if !more {
                return Ok(relations);
            }
        }
    }

    /// Ends the session and revokes this device's tokens.
    pub fn logout(&mut self) -> Result<(), ClientError> {
        self.ask(pb::LogoutReq {}).map(|_| ())
    }

    /// [`call`](Self::call) with the type of the answer.
    pub fn ask<A: Ask>(&mut self, body: A) -> Result<A::Answer, ClientError> {
        A::answer(self.call(&body.request())?).ok_or(ClientError::Protocol)
    }

    /// Asks until there is a definite answer or the time for a call is over. Safe to repeat: reads
    /// change nothing, and the rest carries a request id or a natural key.
    pub fn call(&mut self, request: &Request) -> Result<Response, ClientError> {
        let deadline = self.call_deadline();
        loop {
            let no = match self.connection.core_mut().request(request.clone()) {
                Ok(no) => no,
                Err(SubmitError::WouldBlock) if Instant::now() < deadline => {
                    self.pause(RETRY_PAUSE, deadline)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let result = loop {
                let is_news = |event: &Event| match event {
                    Event::Response { request, .. } => *request == no,
                    Event::LoginFailed { .. } | Event::Kicked { .. } => true,
                    _ => false,
                };
                match self.wait_for(deadline.min(Instant::now() + RETRY_PAUSE), is_news)? {
                    Some(Event::Response { result, .. }) => break result,
                    Some(event) => return Err(end_of_session(event)),
                    None if Instant::now() >= deadline => return Err(ClientError::Timeout),
                    None => self.check_reachable()?,
                }
            };
            match result {
                Ok(response) => return Ok(response),
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    self.pause(retry_pause(&error), deadline)?;
                }
                Err(error) => return Err(ClientError::from_request(error)),
            }
        }
    }

    fn call_deadline(&self) -> Instant {
        Instant::now() + self.config.call_timeout
    }

    fn pause(&mut self, pause: Duration, deadline: Instant) -> Result<(), ClientError> {
        let until = deadline.min(Instant::now() + pause);
        self.wait_for(until, |_| false).map(|_| ())
    }

    fn check_offline(&self, reason: OfflineReason) -> Result<(), ClientError> {
        let is_final = self.config.fail_fast && reason == OfflineReason::ConnectFailed;
        if is_final { Err(self.unreachable(reason)) } else { Ok(()) }
    }

    /// With `fail_fast`, a call that waits for a connection ends when none opens.
    fn check_reachable(&mut self) -> Result<(), ClientError> {
        if self.core().is_stopped() {
            return Err(ClientError::Stopped);
        }
        let failed = |event: &Event| {
            matches!(event, Event::Offline { reason: OfflineReason::ConnectFailed, .. })
        };
        if self.config.fail_fast && self.connection.core_mut().take_event(failed).is_some() {
            return Err(self.unreachable(OfflineReason::ConnectFailed));
        }
        Ok(())
    }
}

fn retry_pause(error: &crate::core::RequestError) -> Duration {
    match error {
        crate::core::RequestError::Refused { retry_after_ms, .. } if *retry_after_ms > 0 => {
            Duration::from_millis(u64::from(*retry_after_ms))
        }
        _ => RETRY_PAUSE,
    }
}

fn end_of_session(event: Event) -> ClientError {
    match event {
        Event::LoginFailed { code, message } => {
            ClientError::Refused { code, message, maybe_done: false }
        }
        Event::Kicked { reason, .. } => ClientError::Kicked { reason },
        _ => ClientError::Stopped,
    }
}
