//! GROUP_UPDATE: name, announcement, how strangers come in, and what newcomers can read.

use aldis_wire::limits::ANNOUNCEMENT_BYTES_MAX;
use aldis_wire::pb;

use super::{bad_request, change_group, check_display_name, too_large};
use crate::job::{GroupChange, GroupUpdate, JoinMode};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupUpdateReq = request.decode()?;
    let join_mode = match body.join_mode.map(pb::JoinMode::try_from) {
        None => None,
        Some(Ok(pb::JoinMode::Invited)) => Some(JoinMode::Invited),
        Some(Ok(pb::JoinMode::Asked)) => Some(JoinMode::Asked),
        Some(Ok(pb::JoinMode::Open)) => Some(JoinMode::Open),
        Some(Err(_)) => return Err(bad_request("there is no such join_mode")),
    };
    if let Some(name) = &body.name {
        check_display_name(name)?;
    }
    if let Some(announcement) = &body.announcement
        && announcement.len() > ANNOUNCEMENT_BYTES_MAX
    {
        return Err(too_large("the announcement is over its limit"));
    }
    let update = GroupUpdate {
        name: body.name,
        announcement: body.announcement,
        join_mode,
        open_history: body.open_history,
    };
    change_group(service, request, body.group_id, GroupChange::Update(update))
}
