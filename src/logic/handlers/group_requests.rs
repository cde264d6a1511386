//! GROUP_REQUESTS: who wants to come in, for owner and admins.

use aldis_wire::limits::{LIST_ROWS_DEFAULT, LIST_ROWS_MAX};
use aldis_wire::{UserId, pb};

use super::{group_id, online, page_rows};
use crate::job::ReadJob;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupRequestsReq = request.decode()?;
    let reader = online(service, request)?.user;
    let group = group_id(body.group_id)?;
    let limit = page_rows(body.limit, LIST_ROWS_DEFAULT, LIST_ROWS_MAX);
    let after = UserId(body.after_user_id);
    service.read(request, ReadJob::GroupRequests { reader, group, after, limit });
    Ok(())
}
