//! GROUP_LIST: the groups that the asker is in now.

use aldis_wire::limits::{LIST_ROWS_DEFAULT, LIST_ROWS_MAX};
use aldis_wire::{GroupId, pb};

use super::{online, page_rows};
use crate::job::ReadJob;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupListReq = request.decode()?;
    let user = online(service, request)?.user;
    let limit = page_rows(body.limit, LIST_ROWS_DEFAULT, LIST_ROWS_MAX);
    service.read(request, ReadJob::Groups { user, after: GroupId(body.after_group_id), limit });
    Ok(())
}
