//! EDIT: a text says something else, for everybody.

use aldis_wire::{ConvSeq, RequestId, pb};

use super::msg_send::{check_extra, check_text};
use super::{bad_request, conversation, id_16, online};
use crate::job::{MessageChange, MessageJob, WriteJob};
use crate::node::DirectMessages;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::EditReq = request.decode()?;
    let actor = online(service, request)?.user;
    let conversation = conversation(actor, body.receiver_id, body.group_id)?;
    if body.conv_seq == 0 {
        return Err(bad_request("conv_seq is needed"));
    }
    let request_id = RequestId(id_16(&body.request_id, "request_id has 16 bytes")?);
    check_extra(&body.extra)?;
    check_text(&body.content)?;
    let config = &service.node.config;
    let change = MessageChange::Edit {
        request_id,
        content: body.content,
        extra: body.extra,
        within_ms: config.message_times.edit_ms,
        friends_only: config.direct_messages == DirectMessages::Friends,
    };
    let conv_seq = ConvSeq(body.conv_seq);
    let job = MessageJob { actor, conversation, conv_seq, change };
    service.write(request, WriteJob::Message(job));
    Ok(())
}
