//! GROUP_CREATE: a group with its first members; they learn of it by an entry.

use aldis_wire::limits::GROUP_REQUEST_USERS_MAX;
use aldis_wire::{GroupId, RequestId, Seq, pb};

use super::{check_display_name, id_16, online, too_large, user_ids};
use crate::job::{CreateGroup, Ticket, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::GroupCreateReq = request.decode()?;
    let owner = online(service, request)?.user;
    check_display_name(&body.name)?;
    let members = user_ids(&body.member_ids, owner)?;
    if members.len() >= GROUP_REQUEST_USERS_MAX {
        return Err(too_large("too many members"));
    }
    let request_id = RequestId(id_16(&body.request_id, "request_id has 16 bytes")?);
    service.limit_groups(request.conn)?;
    let limits = service.node.config.group_limits;
    let (name, open_history) = (body.name, body.open_history);
    let group = CreateGroup { owner, name, members, open_history, request_id, limits };
    service.write(request, WriteJob::CreateGroup(group));
    Ok(())
}

pub(super) fn handle_created(service: &mut Service, ticket: Ticket, group: GroupId, seq: Seq) {
    service.note_own_entry(ticket.conn, seq);
    service.respond(ticket, &pb::GroupCreateResp { group_id: group.0, seq: seq.0 });
}
