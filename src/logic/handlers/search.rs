//! SEARCH: texts in one's mailbox and streams, friends, groups.

use aldis_wire::limits::{SEARCH_HITS_DEFAULT, SEARCH_HITS_MAX, SEARCH_QUERY_BYTES_MAX};
use aldis_wire::{UserId, pb};

use super::{bad_request, conversation, online, page_rows, too_large};
use crate::acts::NO_CONN;
use crate::credits::Need;
use crate::entry::message_data;
use crate::job::{IndexBlock, ReadJob, SearchMessages, SearchNames, SearchPage, Ticket, WriteJob};
use crate::request::{Refusal, Request};
use crate::search::SearchQuery;
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::SearchReq = request.decode()?;
    let user = online(service, request)?.user;
    if body.query.len() > SEARCH_QUERY_BYTES_MAX {
        return Err(too_large("query is over its limit"));
    }
    let query = SearchQuery::parse(&body.query)
        .ok_or_else(|| bad_request("query has no letter and no digit"))?;
    let limit = page_rows(body.limit, SEARCH_HITS_DEFAULT, SEARCH_HITS_MAX);
    let is_of_one = body.receiver_id != 0 || body.group_id != 0;
    let names = match pb::SearchScope::try_from(body.scope) {
        Err(_) => return Err(bad_request("no such scope")),
        Ok(pb::SearchScope::SearchMessages) => None,
        Ok(_) if is_of_one => return Err(bad_request("a conversation holds messages only")),
        Ok(pb::SearchScope::SearchFriends) => Some(SearchNames::Friends),
        Ok(pb::SearchScope::SearchGroups) => Some(SearchNames::Groups),
    };
    let job = match names {
        Some(names) => ReadJob::SearchNames { user, names, query, after: body.cursor, limit },
        None => ReadJob::SearchMessages(SearchMessages {
            user,
            query,
            conversation: match is_of_one {
                true => Some(conversation(user, body.receiver_id, body.group_id)?),
                false => None,
            },
            cursor: body.cursor,
            limit,
            now_ms: service.now.unix_ms,
        }),
    };
    if let Some(session) = service.session(request.conn) {
        session.is_paging = true;
    }
    service.read(request, job);
    Ok(())
}

pub(super) fn handle_page(service: &mut Service, ticket: Ticket, page: SearchPage) {
    let entries = page.entries.iter().map(|(seq, message)| message_data(message, *seq));
    let body = pb::SearchResp {
        entries: entries.collect(),
        cursor: page.cursor,
        ..pb::SearchResp::default()
    };
    service.respond(ticket, &body);
    let user = service.session(ticket.conn).and_then(|session| session.online());
    if let Some(user) = user.map(|online| online.user) {
        store_index(service, ticket, user, page.blocks);
    }
}

/// Nobody waits for it, and it is for nobody's good if there is no room: the next search finds the same
/// parts missing.
fn store_index(service: &mut Service, ticket: Ticket, user: UserId, blocks: Vec<IndexBlock>) {
    if blocks.is_empty() || !service.credits.has(Need::Write) {
        return;
    }
    let bytes = blocks.iter().map(|block| block.data.len()).sum::<usize>();
    let ticket = Ticket { bytes: bytes as u32, conn: NO_CONN, ..service.own_ticket(ticket.conn) };
    service.start_write(ticket, WriteJob::StoreIndex { user, blocks });
}
