//! USER_GET: public profiles by id.

use aldis_wire::limits::USER_GET_MAX;
use aldis_wire::{UserId, pb};

use super::{ID_MAX, too_large};
use crate::job::{ReadJob, Ticket};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::UserGetReq = request.decode()?;
    if body.user_ids.len() > USER_GET_MAX {
        return Err(too_large("too many user_ids"));
    }
    let can_exist = |id: &u64| (1..=ID_MAX).contains(id);
    let users = body.user_ids.into_iter().filter(can_exist).map(UserId).collect();
    service.read(request, ReadJob::Users { users });
    Ok(())
}

pub(super) fn handle_users(service: &mut Service, ticket: Ticket, users: Vec<pb::UserInfo>) {
    service.respond(ticket, &pb::UserGetResp { users });
}
