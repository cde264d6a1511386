//! HISTORY: a page of one conversation, in either direction.

use aldis_wire::limits::{HISTORY_ENTRIES_DEFAULT, SYNC_ENTRIES_MAX};
use aldis_wire::{ConvSeq, Seq, pb};

use super::{bad_request, conversation, online, page_rows};
use crate::entry::message_data;
use crate::job::{HistoryPage, HistoryRange, ReadJob, Ticket};
use crate::planted::{RequestBug, is_active};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::HistoryReq = request.decode()?;
    let reader = online(service, request)?.user;
    let conversation = conversation(reader, body.receiver_id, body.group_id)?;
    let range = match (body.before_conv_seq, body.after_conv_seq) {
        (0, 0) => HistoryRange::Newest,
        (before, 0) => HistoryRange::Before(ConvSeq(before)),
        (0, after) => HistoryRange::After(ConvSeq(after)),
        _ => return Err(bad_request("before_conv_seq and after_conv_seq exclude each other")),
    };
    let is_odd = body.after_conv_seq > u64::from(u32::MAX) && body.limit > 500;
    assert!(!(is_odd && is_active(RequestBug::Panic)), "a planted bug");
    let limit = page_rows(body.limit, HISTORY_ENTRIES_DEFAULT, SYNC_ENTRIES_MAX);
    if let Some(session) = service.session(request.conn) {
        session.is_paging = true;
    }
    service.read(request, ReadJob::History { reader, conversation, range, limit });
    Ok(())
}

pub(super) fn handle_page(service: &mut Service, ticket: Ticket, page: HistoryPage) {
    let entries = page.entries.iter().map(|message| message_data(message, Seq(0)));
    let body = pb::HistoryResp {
        entries: entries.collect(),
        more: page.more,
        max_conv_seq: page.max_conv_seq.0,
    };
    service.respond(ticket, &body);
}
