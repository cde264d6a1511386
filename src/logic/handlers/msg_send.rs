//! MSG_SEND: validate, append; the answer follows the commit.

use aldis_wire::limits::{CONTENT_BYTES_MAX, EXTRA_BYTES_MAX, MENTIONS_MAX, TEXT_BYTES_MAX};
use aldis_wire::{ClientMsgId, Code, ConnId, ConversationKey, Message, pb};
use bytes::Bytes;

use super::{bad_request, conversation, id_16, online, too_large, user_id};
use crate::class::Class;
use crate::effect::Goodbye;
use crate::job::{Append, Appended, FailedSend, Ticket, WriteJob};
use crate::node::DirectMessages;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::MsgSendReq = request.decode()?;
    let sender = online(service, request)?.user;
    let conversation = conversation(sender, body.receiver_id, body.group_id)?;
    let client_msg_id = id_16(&body.client_msg_id, "client_msg_id has 16 bytes")?;
    let client_msg_id = ClientMsgId(client_msg_id);
    let kind = check_content(&body)?;
    let session = service.session(request.conn);
    if session.is_some_and(|session| session.is_behind_failed_send(conversation, client_msg_id)) {
        let message = "an earlier send to this conversation failed: send that one again first";
        return Err(Refusal::new(Code::Unavailable, message));
    }
    if let Err(refusal) = service.limit(request, Class::Send) {
        return Err(hold_up(service, request.conn, conversation, client_msg_id, refusal));
    }
    let refs = refs(&body)?;
    let (content, extra) = (body.content, body.extra);
    let friends_only = service.node.config.direct_messages == DirectMessages::Friends;
    let append =
        Append { conversation, sender, client_msg_id, kind, content, extra, refs, friends_only };
    service.write(request, WriteJob::Append(append));
    Ok(())
}

pub(super) fn handle_appended(service: &mut Service, ticket: Ticket, appended: Appended) {
    service.note_own_entry(ticket.conn, appended.seq);
    let body = pb::MsgSendResp {
        msg_id: appended.msg_id.0,
        seq: appended.seq.0,
        conv_seq: appended.conv_seq.0,
        send_time_ms: appended.time_ms,
    };
    service.respond(ticket, &body);
}

/// A message comes too soon: those behind it wait until it was sent again.
fn hold_up(
    service: &mut Service,
    conn: ConnId,
    conversation: ConversationKey,
    client_msg_id: ClientMsgId,
    refusal: Refusal,
) -> Refusal {
    let fence = service.fence;
    let send = FailedSend { conversation, client_msg_id };
    let is_kept = service.session(conn).is_some_and(|session| session.hold_up(send, fence));
    if !is_kept {
        service.close(conn, Goodbye::TooManyFailedSends);
    }
    refusal
}

/// What the message refers to, as it is stored. Whether that exists is the clients' to see: they may
/// have it where the server no longer has.
fn refs(body: &pb::MsgSendReq) -> Result<Bytes, Refusal> {
    if body.mention_ids.len() > MENTIONS_MAX {
        return Err(too_large("too many users are mentioned"));
    }
    if body.mention_ids.iter().any(|&id| user_id(id).is_err()) {
        return Err(bad_request("a mentioned user cannot exist"));
    }
    let refs = pb::MessageRefs {
        reply_to_msg_id: body.reply_to_msg_id,
        mention_ids: body.mention_ids.clone(),
    };
    Ok(Bytes::from(refs.encode_to_vec()))
}

fn check_content(body: &pb::MsgSendReq) -> Result<pb::MsgType, Refusal> {
    check_extra(&body.extra)?;
    match pb::MsgType::try_from(body.r#type) {
        Ok(pb::MsgType::Text) => check_text(&body.content).map(|()| pb::MsgType::Text),
        Ok(kind) if kind.is_message() && body.content.len() > CONTENT_BYTES_MAX => {
            Err(too_large("the content is over its limit"))
        }
        Ok(kind) if kind.is_message() => Ok(kind),
        _ => Err(bad_request("clients cannot send this type")),
    }
}

/// Checks what goes with a message.
pub(super) fn check_extra(extra: &[u8]) -> Result<(), Refusal> {
    match extra.len() > EXTRA_BYTES_MAX {
        true => Err(too_large("extra is over its limit")),
        false => Ok(()),
    }
}

/// Checks the content of a TEXT.
pub(super) fn check_text(text: &[u8]) -> Result<(), Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_large("the text is over its limit"));
    }
    if text.is_empty() {
        return Err(bad_request("the text is empty"));
    }
    std::str::from_utf8(text).map(|_| ()).map_err(|_| bad_request("the text is not UTF-8"))
}
