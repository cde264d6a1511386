//! TYPING: the asker writes something. Who would get the message is told, and nothing is stored. Asked
//! each time, so that a block holds at once: by the limit below it is one small question in some seconds.

use aldis_wire::{Code, ConversationKey, Message, UserId, pb};
use bytes::Bytes;

use super::{conversation, online};
use crate::aside::Pending;
use crate::bucket::Rate;
use crate::job::{Audience, JobError, ReadJob, Ticket};
use crate::node::DirectMessages;
use crate::notice::Notice;
use crate::request::{Refusal, Request};
use crate::service::Service;

/// Of one session. A client says it every few seconds while somebody writes, and once at the end.
const RATE: Rate = Rate { per_s: 2, burst: 10 };

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::TypingReq = request.decode()?;
    let user = online(service, request)?.user;
    let key = conversation(user, body.receiver_id, body.group_id)?;
    let mono_ms = service.now.mono_ms;
    let Some(session) = service.session(request.conn) else { return Ok(()) };
    let aside = session.aside();
    aside.typing.take(RATE, mono_ms).map_err(|retry_after_ms| Refusal {
        retry_after_ms,
        ..Refusal::new(Code::RateLimited, "too often")
    })?;
    aside.pending.push((request.seq, Pending::Typing(key, body.is_over)));
    let audience = audience(service, vec![(user, key)]);
    service.read(request, ReadJob::Audience(audience));
    Ok(())
}

/// A question who would get messages.
pub(super) fn audience(service: &Service, asks: Vec<(UserId, ConversationKey)>) -> Audience {
    let friends_only = service.node.config.direct_messages == DirectMessages::Friends;
    Audience { asks, friends_only, at_ms: service.now.unix_ms }
}

pub(super) fn handle_audience(
    service: &mut Service,
    ticket: Ticket,
    mut found: Vec<Result<Vec<UserId>, JobError>>,
) {
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(Pending::Typing(key, is_over)) = session.take_pending(ticket.request) else { return };
    let Some(user) = session.online().map(|online| online.user) else { return };
    match found.pop().unwrap_or(Err(JobError::Internal)) {
        Err(why) => service.refuse(ticket.conn, ticket.command.id(), ticket.request, why.into()),
        Ok(users) => {
            service.respond(ticket, &pb::TypingResp {});
            let body = pb::TypingNotify {
                sender_id: user.0,
                receiver_id: key.peer_of(user).map_or(0, |peer| peer.0),
                group_id: key.as_group().map_or(0, |group| group.0),
                is_over,
            };
            let body = Bytes::from(body.encode_to_vec());
            let command = aldis_wire::Command::TypingNotify;
            service.notify(Notice { command, body, users: users.into_iter().collect() });
        }
    }
}
