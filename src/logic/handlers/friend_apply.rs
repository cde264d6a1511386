//! FRIEND_APPLY: asks somebody to be a friend.

use aldis_wire::limits::REASON_BYTES_MAX;
use aldis_wire::pb;

use super::{check_note, friend};
use crate::job::FriendChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::FriendApplyReq = request.decode()?;
    check_note(&body.reason, REASON_BYTES_MAX)?;
    let change = FriendChange::Apply { reason: body.reason };
    friend::change(service, request, body.user_id, change)
}
