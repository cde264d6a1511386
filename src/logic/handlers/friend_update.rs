//! FRIEND_UPDATE: one's own name for a friend, and which of one's groups of friends it is in.

use aldis_wire::limits::DISPLAY_NAME_BYTES_MAX;
use aldis_wire::pb;

use super::{check_note, friend};
use crate::job::FriendChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::FriendUpdateReq = request.decode()?;
    check_note(&body.remark, DISPLAY_NAME_BYTES_MAX)?;
    check_note(&body.folder, DISPLAY_NAME_BYTES_MAX)?;
    let change = FriendChange::Update { remark: body.remark, folder: body.folder };
    friend::change(service, request, body.user_id, change)
}
