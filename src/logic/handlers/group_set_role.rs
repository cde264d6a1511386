//! GROUP_SET_ROLE: the owner makes a member an admin, or a plain member again.

use aldis_wire::pb;

use super::{bad_request, change_group, user_id};
use crate::job::GroupChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupSetRoleReq = request.decode()?;
    let user = user_id(body.user_id)?;
    let is_admin = match pb::GroupRole::try_from(body.role) {
        Ok(pb::GroupRole::Admin) => true,
        Ok(pb::GroupRole::Member) => false,
        _ => return Err(bad_request("role is MEMBER or ADMIN; GROUP_TRANSFER makes an owner")),
    };
    change_group(service, request, body.group_id, GroupChange::SetRole { user, is_admin })
}
