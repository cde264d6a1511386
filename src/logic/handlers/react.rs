//! REACT: a member's reaction to a message, made or taken back.

use aldis_wire::limits::REACTION_BYTES_MAX;
use aldis_wire::{ConvSeq, pb};

use super::{bad_request, check_note, conversation, online};
use crate::job::{MessageChange, MessageJob, WriteJob};
use crate::node::DirectMessages;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::ReactReq = request.decode()?;
    let actor = online(service, request)?.user;
    let conversation = conversation(actor, body.receiver_id, body.group_id)?;
    if body.conv_seq == 0 {
        return Err(bad_request("conv_seq is needed"));
    }
    if body.reaction.is_empty() {
        return Err(bad_request("a reaction is needed"));
    }
    check_note(&body.reaction, REACTION_BYTES_MAX)?;
    let change = MessageChange::React {
        reaction: body.reaction,
        is_added: !body.remove,
        friends_only: service.node.config.direct_messages == DirectMessages::Friends,
    };
    let conv_seq = ConvSeq(body.conv_seq);
    let job = MessageJob { actor, conversation, conv_seq, change };
    service.write(request, WriteJob::Message(job));
    Ok(())
}
