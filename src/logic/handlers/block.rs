//! BLOCK: neither may write to the other any more.

use aldis_wire::pb;

use super::friend;
use crate::job::FriendChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::BlockReq = request.decode()?;
    friend::change(service, request, body.user_id, FriendChange::Block)
}
