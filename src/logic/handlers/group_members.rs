//! GROUP_MEMBERS: who is in a group, for its members.

use aldis_wire::limits::{LIST_ROWS_DEFAULT, LIST_ROWS_MAX};
use aldis_wire::{UserId, pb};

use super::{group_id, online, page_rows};
use crate::job::ReadJob;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupMembersReq = request.decode()?;
    let reader = online(service, request)?.user;
    let group = group_id(body.group_id)?;
    let after = UserId(body.after_user_id);
    let limit = page_rows(body.limit, LIST_ROWS_DEFAULT, LIST_ROWS_MAX);
    service.read(request, ReadJob::Members { reader, group, after, limit });
    Ok(())
}
