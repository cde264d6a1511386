//! FRIEND_DELETE: takes somebody off one's own list; the other keeps the entry but may not write.

use aldis_wire::pb;

use super::friend;
use crate::job::FriendChange;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::FriendDeleteReq = request.decode()?;
    friend::change(service, request, body.user_id, FriendChange::Delete)
}
