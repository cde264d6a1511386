//! FRIEND_HANDLE: answers a request to be friends.

use aldis_wire::pb;

use super::friend;
use crate::job::FriendChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::FriendHandleReq = request.decode()?;
    let change = if body.accept { FriendChange::Accept } else { FriendChange::Refuse };
    friend::change(service, request, body.user_id, change)
}
