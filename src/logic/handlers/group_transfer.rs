//! GROUP_TRANSFER: the owner makes another member the owner.

use aldis_wire::pb;

use super::{change_group, user_id};
use crate::job::GroupChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupTransferReq = request.decode()?;
    let to = user_id(body.user_id)?;
    change_group(service, request, body.group_id, GroupChange::Transfer { to })
}
