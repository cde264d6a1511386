//! GROUP_DISSOLVE: the owner ends the group; everybody's last entry of it says so.

use aldis_wire::pb;

use super::change_group;
use crate::job::GroupChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupDissolveReq = request.decode()?;
    change_group(service, request, body.group_id, GroupChange::Dissolve)
}
