//! USER_FIND: users whose username or nickname begins with what was typed.

use aldis_wire::limits::{USER_FIND_DEFAULT, USER_FIND_MAX, USERNAME_BYTES_MAX};
use aldis_wire::name::{fold, is_display_name};
use aldis_wire::pb;

use super::{bad_request, page_rows, too_large};
use crate::job::{ReadJob, Ticket};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::UserFindReq = request.decode()?;
    if body.query.len() > USERNAME_BYTES_MAX {
        return Err(too_large("query is over the limit of usernames"));
    }
    if !is_display_name(&body.query) {
        return Err(bad_request("query is not the beginning of a name"));
    }
    let prefix = fold(&body.query);
    let limit = page_rows(body.limit, USER_FIND_DEFAULT, USER_FIND_MAX);
    service.read(request, ReadJob::FindUsers { prefix, limit });
    Ok(())
}

pub(super) fn handle_users(service: &mut Service, ticket: Ticket, users: Vec<pb::UserInfo>) {
    service.respond(ticket, &pb::UserFindResp { users });
}
