//! MSG_SYNC: a page of the mailbox, dense from the asked seq.

use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{Code, Seq, pb};

use super::{online, page_rows};
use crate::entry::message_data;
use crate::job::{ReadJob, SyncPage, Ticket};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::MsgSyncReq = request.decode()?;
    if body.stream != 0 {
        return Err(Refusal::new(Code::NotFound, "no such stream"));
    }
    let user = online(service, request)?.user;
    let after = Seq(body.after_seq);
    let limit = page_rows(body.limit, SYNC_ENTRIES_MAX, SYNC_ENTRIES_MAX);
    if let Some(session) = service.session(request.conn) {
        session.is_paging = true;
        session.page_after = after;
    }
    service.read(request, ReadJob::Sync { user, after, limit });
    Ok(())
}

pub(super) fn handle_page(service: &mut Service, ticket: Ticket, page: SyncPage) {
    let Some(session) = service.session(ticket.conn) else { return };
    let after = session.page_after;
    if after > page.head {
        // The refusal does not say the head, so it is none that the client knows of.
        let refusal = Refusal::new(Code::Resync, "after_seq is above the head");
        service.refuse(ticket.conn, ticket.command.id(), ticket.request, refusal);
        return;
    }
    service.note_head_told(ticket.conn, page.head);
    let last = page.entries.last().map_or(after, |(seq, _)| *seq);
    let entries = page.entries.iter().map(|(seq, message)| message_data(message, *seq));
    let body = pb::MsgSyncResp {
        stream: 0,
        entries: entries.collect(),
        head: page.head.0,
        more: last < page.head,
    };
    service.respond(ticket, &body);
}
