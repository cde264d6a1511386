//! MSG_SEND: validate, append; the answer follows the commit.

use aldis_wire::limits::{CONTENT_BYTES_MAX, EXTRA_BYTES_MAX, TEXT_BYTES_MAX};
use aldis_wire::{ClientMsgId, Code, ConversationKey, UserId, pb};

use super::{bad_request, group_id, id_16, online, too_large, user_id};
use crate::job::{Append, Appended, Ticket, WriteJob};
use crate::node::DirectMessages;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::MsgSendReq = request.decode()?;
    let sender = online(service, request)?.user;
    let conversation = conversation(sender, &body)?;
    let client_msg_id = id_16(&body.client_msg_id, "client_msg_id has 16 bytes")?;
    let client_msg_id = ClientMsgId(client_msg_id);
    let kind = check_content(&body)?;
    let session = service.session(request.conn);
    if session.is_some_and(|session| session.is_behind_failed_send(conversation, client_msg_id)) {
        let message = "an earlier send to this conversation failed: send that one again first";
        return Err(Refusal::new(Code::Unavailable, message));
    }
    let (content, extra) = (body.content, body.extra);
    let friends_only = service.node.config.direct_messages == DirectMessages::Friends;
    let append = Append { conversation, sender, client_msg_id, kind, content, extra, friends_only };
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

fn conversation(sender: UserId, body: &pb::MsgSendReq) -> Result<ConversationKey, Refusal> {
    match (body.receiver_id, body.group_id) {
        (0, 0) => Err(bad_request("receiver_id or group_id is needed")),
        (receiver, 0) => Ok(ConversationKey::direct(sender, user_id(receiver)?)),
        (0, group) => Ok(ConversationKey::group(group_id(group)?)),
        _ => Err(bad_request("receiver_id and group_id exclude each other")),
    }
}

fn check_content(body: &pb::MsgSendReq) -> Result<pb::MsgType, Refusal> {
    if body.extra.len() > EXTRA_BYTES_MAX {
        return Err(too_large("extra is over its limit"));
    }
    match pb::MsgType::try_from(body.r#type) {
        Ok(pb::MsgType::Text) if body.content.len() > TEXT_BYTES_MAX => {
            Err(too_large("the text is over its limit"))
        }
        Ok(pb::MsgType::Text) if body.content.is_empty() => Err(bad_request("the text is empty")),
        Ok(pb::MsgType::Text) if std::str::from_utf8(&body.content).is_err() => {
            Err(bad_request("the text is not UTF-8"))
        }
        Ok(
            pb::MsgType::Unspecified
            | pb::MsgType::SystemGroup
            | pb::MsgType::SystemFriend
            | pb::MsgType::SystemSelf,
        )
        | Err(_) => Err(bad_request("clients cannot send this type")),
        Ok(_) if body.content.len() > CONTENT_BYTES_MAX => {
            Err(too_large("the content is over its limit"))
        }
        Ok(kind) => Ok(kind),
    }
}
