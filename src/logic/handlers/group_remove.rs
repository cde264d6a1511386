//! GROUP_REMOVE: owner or admins put members out.

use aldis_wire::limits::GROUP_REQUEST_USERS_MAX;
use aldis_wire::{UserId, pb};

use super::{bad_request, change_group, too_large, user_ids};
use crate::job::GroupChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupRemoveReq = request.decode()?;
    if body.user_ids.is_empty() {
        return Err(bad_request("user_ids is empty"));
    }
    let users = user_ids(&body.user_ids, UserId::default())?;
    if users.len() > GROUP_REQUEST_USERS_MAX {
        return Err(too_large("too many users"));
    }
    change_group(service, request, body.group_id, GroupChange::Remove { users })
}
