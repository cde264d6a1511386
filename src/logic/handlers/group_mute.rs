//! GROUP_MUTE: owner or admins silence a member for a while, or all but themselves.

use aldis_wire::limits::MUTE_S_MAX;
use aldis_wire::pb;

use super::{bad_request, change_group, too_large, user_id};
use crate::job::GroupChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupMuteReq = request.decode()?;
    let change = match body.user_id {
        0 if body.seconds > 0 => {
            return Err(bad_request("seconds go with user_id, all_muted without"));
        }
        0 => GroupChange::MuteAll { is_muted: body.all_muted },
        _ if body.all_muted => return Err(bad_request("all_muted goes without user_id")),
        user if body.seconds <= MUTE_S_MAX => {
            let mute_ms = u64::from(body.seconds) * 1_000;
            GroupChange::Mute { user: user_id(user)?, mute_ms }
        }
        _ => return Err(too_large("seconds are over their limit")),
    };
    change_group(service, request, body.group_id, change)
}
