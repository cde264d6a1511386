//! MARK_READ: up to where this user, on whatever device, has read a conversation.

use aldis_wire::{ConvSeq, pb};

use super::receipt_notify::{Mark, note_read};
use super::{bad_request, conversation, online};
use crate::job::{ViewChange, ViewJob, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::MarkReadReq = request.decode()?;
    let user = online(service, request)?.user;
    let conversation = conversation(user, body.receiver_id, body.group_id)?;
    if body.conv_seq == 0 {
        return Err(bad_request("conv_seq is needed"));
    }
    let conv_seq = ConvSeq(body.conv_seq);
    let mark = Mark { user, key: conversation, conv_seq };
    note_read(service, request.conn, request.seq, mark);
    let change = ViewChange::Read(conv_seq);
    service.write(request, WriteJob::View(ViewJob { user, conversation, change }));
    Ok(())
}
