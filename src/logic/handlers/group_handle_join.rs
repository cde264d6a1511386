//! GROUP_HANDLE_JOIN: owner or an admin answers somebody who wants to come in.

use aldis_wire::pb;

use super::{change_group, user_id};
use crate::job::GroupChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupHandleJoinReq = request.decode()?;
    let user = user_id(body.user_id)?;
    let change = GroupChange::HandleJoin { user, accept: body.accept };
    change_group(service, request, body.group_id, change)
}
