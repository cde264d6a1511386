//! REACTIONS: who reacted how to a message, for members.

use aldis_wire::limits::{LIST_ROWS_DEFAULT, LIST_ROWS_MAX};
use aldis_wire::{ConvSeq, UserId, pb};

use super::{bad_request, conversation, online, page_rows};
use crate::job::ReadJob;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::ReactionsReq = request.decode()?;
    let reader = online(service, request)?.user;
    let conversation = conversation(reader, body.receiver_id, body.group_id)?;
    if body.conv_seq == 0 {
        return Err(bad_request("conv_seq is needed"));
    }
    let (conv_seq, after) = (ConvSeq(body.conv_seq), UserId(body.after_user_id));
    let limit = page_rows(body.limit, LIST_ROWS_DEFAULT, LIST_ROWS_MAX);
    service.read(request, ReadJob::Reactions { reader, conversation, conv_seq, after, limit });
    Ok(())
}
