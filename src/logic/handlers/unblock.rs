//! UNBLOCK: ends a block of one's own.

use aldis_wire::pb;

use super::friend;
use crate::job::FriendChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::UnblockReq = request.decode()?;
    friend::change(service, request, body.user_id, FriendChange::Unblock)
}
