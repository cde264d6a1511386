//! GROUP_INVITE: a member brings others in.

use aldis_wire::limits::GROUP_REQUEST_USERS_MAX;
use aldis_wire::{Seq, UserId, pb};

use super::{bad_request, group_id, online, too_large, user_ids};
use crate::job::{Ticket, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupInviteReq = request.decode()?;
    let actor = online(service, request)?.user;
    let group = group_id(body.group_id)?;
    if body.member_ids.is_empty() {
        return Err(bad_request("member_ids is empty"));
    }
    let members = user_ids(&body.member_ids, actor)?;
    if members.len() >= GROUP_REQUEST_USERS_MAX {
        return Err(too_large("too many members"));
    }
    let limits = service.node.config.group_limits;
    service.write(request, WriteJob::InviteMembers { actor, group, members, limits });
    Ok(())
}

pub(super) fn handle_invited(service: &mut Service, ticket: Ticket, added: Vec<UserId>, seq: Seq) {
    service.note_own_entry(ticket.conn, seq);
    let added_ids = added.into_iter().map(|user| user.0).collect();
    service.respond(ticket, &pb::GroupInviteResp { added_ids, seq: seq.0 });
}
