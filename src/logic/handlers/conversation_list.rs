//! CONVERSATION_LIST: the asker's conversations, newest first, or the pinned ones, or the streams.

use aldis_wire::limits::{CONVERSATIONS_DEFAULT, CONVERSATIONS_MAX};
use aldis_wire::{GroupId, Seq, pb};

use super::{bad_request, online, page_rows};
use crate::entry::message_data;
use crate::job::{ConversationSummary, ConversationsPage, ReadJob, Ticket};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::ConversationListReq = request.decode()?;
    let user = online(service, request)?.user;
    if body.pinned && (body.before_seq != 0 || body.streams) {
        return Err(bad_request("all pinned conversations are one page"));
    }
    if let Some(session) = service.session(request.conn) {
        session.is_paging = true;
    }
    let limit = page_rows(body.limit, CONVERSATIONS_DEFAULT, CONVERSATIONS_MAX);
    let before = Seq(body.before_seq);
    let job = match (body.pinned, body.streams) {
        (true, _) => ReadJob::Pinned { user },
        (false, true) => ReadJob::FollowedStreams { user, after: GroupId(body.before_seq), limit },
        (false, false) => ReadJob::Conversations { user, before, limit },
    };
    service.read(request, job);
    Ok(())
}

pub(super) fn handle_page(service: &mut Service, ticket: Ticket, page: ConversationsPage) {
    let body = pb::ConversationListResp {
        conversations: page.conversations.into_iter().map(info).collect(),
        next_before_seq: page.next_before.0,
        head: page.head.0,
    };
    service.respond(ticket, &body);
}

fn info(summary: ConversationSummary) -> pb::ConversationInfo {
    pb::ConversationInfo {
        view: Some(summary.view),
        max_conv_seq: summary.max_conv_seq.0,
        update_time_ms: summary.update_time_ms,
        unread: summary.unread,
        last: summary.last.map(|message| message_data(&message, Seq(0))),
    }
}
