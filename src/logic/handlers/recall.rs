//! RECALL: a message loses its content, for everybody.

use aldis_wire::{ConvSeq, pb};

use super::{bad_request, conversation, online};
use crate::job::{MessageChange, MessageJob, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::RecallReq = request.decode()?;
    let actor = online(service, request)?.user;
    let conversation = conversation(actor, body.receiver_id, body.group_id)?;
    if body.conv_seq == 0 {
        return Err(bad_request("conv_seq is needed"));
    }
    let conv_seq = ConvSeq(body.conv_seq);
    let change = MessageChange::Recall { within_ms: service.node.config.message_times.recall_ms };
    let job = MessageJob { actor, conversation, conv_seq, change };
    service.write(request, WriteJob::Message(job));
    Ok(())
}
