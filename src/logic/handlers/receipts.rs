//! RECEIPTS: up to where the other members of a conversation have read and received it.

use aldis_wire::limits::LIST_ROWS_DEFAULT;
use aldis_wire::{UserId, pb};

use super::{conversation, online, page_rows};
use crate::job::ReadJob;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::ReceiptsReq = request.decode()?;
    let reader = online(service, request)?.user;
    let conversation = conversation(reader, body.receiver_id, body.group_id)?;
    let after = UserId(body.after_user_id);
    // Each receipt may need a look at a part of a mailbox, so pages are not longer than the default.
    let limit = page_rows(body.limit, LIST_ROWS_DEFAULT, LIST_ROWS_DEFAULT);
    service.read(request, ReadJob::Receipts { reader, conversation, after, limit });
    Ok(())
}
