//! GROUP_JOIN: asks to come in, or comes in where a group is open.

use aldis_wire::limits::REASON_BYTES_MAX;
use aldis_wire::pb;

use super::{change_group, check_note};
use crate::job::GroupChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupJoinReq = request.decode()?;
    check_note(&body.reason, REASON_BYTES_MAX)?;
    service.limit_groups(request.conn)?;
    let change = GroupChange::Join { reason: body.reason };
    change_group(service, request, body.group_id, change)
}
