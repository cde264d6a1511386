//! MSG_SYNC: a page of the mailbox or of a stream, dense from the asked seq.

use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{Code, GroupId, Seq, UserId, pb};

use super::{online, page_rows, stream_id};
use crate::entry::message_data;
use crate::job::{Followed, ReadJob, SyncPage, Ticket};
use crate::planted::{RequestBug, is_active};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::MsgSyncReq = request.decode()?;
    let user = online(service, request)?.user;
    let after = Seq(body.after_seq);
    let limit = page_rows(body.limit, SYNC_ENTRIES_MAX, SYNC_ENTRIES_MAX);
    let job = match body.stream {
        0 => ReadJob::Sync { user, after, limit },
        stream if is_active(RequestBug::OthersMailbox) => {
            ReadJob::Sync { user: UserId(stream_id(stream)?.0), after, limit }
        }
        stream => ReadJob::Stream { reader: user, group: stream_id(stream)?, after, limit },
    };
    if let Some(session) = service.session(request.conn) {
        session.is_paging = true;
        session.page_after = after;
    }
    service.read(request, job);
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
    match page.stream {
        None => service.note_head_told(ticket.conn, page.head),
        Some(group) => note_stream(service, ticket, group, &page),
    }
    let last = page.entries.last().map_or(after.max(page.skipped_to), |(seq, _)| *seq);
    let entries = page.entries.iter().map(|(seq, message)| message_data(message, *seq));
    let body = pb::MsgSyncResp {
        stream: page.stream.map_or(0, |group| group.0),
        entries: entries.collect(),
        head: page.head.0,
        more: last < page.head,
        skipped_to: page.skipped_to.0,
        is_over: page.is_over,
    };
    service.respond(ticket, &body);
}

/// The page says up to where the client is told of the stream, and whether the user is a member. One
/// whom this node had not heard of is pushed what comes above it from now on.
fn note_stream(service: &mut Service, ticket: Ticket, group: GroupId, page: &SyncPage) {
    let node = service.node.clone();
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(user) = session.online().map(|online| online.user) else { return };
    session.tell_stream(group, page.head);
    // The client has it all, and need not be told of its end.
    let last = page.entries.last().map_or(session.page_after.max(page.skipped_to), |(seq, _)| *seq);
    if page.is_over
        && last >= page.head
        && let Some(streams) = session.streams()
    {
        streams.forget(group);
    }
    if !page.is_over && !node.streams.is_following(user, group) {
        let (start, head) = (page.head, page.head);
        node.streams.follow(user, &Followed { group, start, head, cursor: Seq(0) });
    }
}
