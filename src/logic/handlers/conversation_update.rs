//! CONVERSATION_UPDATE: what a conversation is to the asker alone, on all devices.

use aldis_wire::{ConvSeq, pb};

use super::{bad_request, conversation, online};
use crate::job::{ViewChange, ViewJob, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::ConversationUpdateReq = request.decode()?;
    let user = online(service, request)?.user;
    let conversation = conversation(user, body.receiver_id, body.group_id)?;
    let (pinned, muted) = (body.pinned, body.muted);
    let cleared = (body.clear_conv_seq != 0).then_some(ConvSeq(body.clear_conv_seq));
    if pinned.is_none() && muted.is_none() && cleared.is_none() {
        return Err(bad_request("nothing is to be changed"));
    }
    let change = ViewChange::Update { pinned, muted, cleared };
    service.write(request, WriteJob::View(ViewJob { user, conversation, change }));
    Ok(())
}
