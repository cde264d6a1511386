//! FRIEND_LIST: friends, those who asked to be one, or those whom one blocks.

use aldis_wire::limits::{LIST_ROWS_DEFAULT, LIST_ROWS_MAX};
use aldis_wire::{UserId, pb};

use super::{bad_request, online, page_rows};
use crate::job::ReadJob;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::FriendListReq = request.decode()?;
    let user = online(service, request)?.user;
    let list = pb::RelationList::try_from(body.list);
    let list = list.map_err(|_| bad_request("there is no such list"))?;
    let limit = page_rows(body.limit, LIST_ROWS_DEFAULT, LIST_ROWS_MAX);
    let after = UserId(body.after_user_id);
    service.read(request, ReadJob::Relations { user, list, after, limit });
    Ok(())
}
