//! SEARCH: one page at a time, and what is found missing of the index is stored by the way.

use aldis_logic::job::{IndexBlock, ReadResult, SearchPage, Written};
use aldis_logic::{Admit, Effect, job};
use aldis_wire::{Code, Command, Message, pb};
use bytes::Bytes;

use crate::harness::*;

fn search(query: &str) -> pb::SearchReq {
    pb::SearchReq { query: query.into(), ..Default::default() }
}

#[test]
fn a_search_waits_for_the_page_before_it_and_its_index_is_stored_for_nobody() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let (_, out) = request(&mut service, conn(1), 2, Command::Search, &search("hi"));
    let ticket = ticket_of(&out);
    for command in [Command::Search, Command::MsgSync, Command::History] {
        let (admit, out) = request(&mut service, conn(1), 3, command, &search("hi"));
        assert!(matches!(admit, Admit::Wait) && out.is_empty(), "{command:?}");
    }
    let blocks = vec![IndexBlock { group: None, number: 4, data: Bytes::from_static(b"data") }];
    let page = SearchPage { entries: vec![], cursor: 257, blocks: blocks.clone() };
    let out = read(&mut service, ticket, ReadResult::SearchedMessages(page));
    let answer = pb::SearchResp::decode(frames(&out)[0].2.as_slice()).unwrap();
    assert_eq!((answer.cursor, answer.entries.len()), (257, 0));
    let stored = out.iter().find_map(|effect| match effect {
        Effect::Write(request) => Some(request.clone()),
        _ => None,
    });
    let stored = stored.expect("a job was started");
    assert!(matches!(&stored.job,
        job::WriteJob::StoreIndex { user, blocks: stored } if *user == ADA && *stored == blocks));
    assert!(frames(&written(&mut service, stored.ticket, Written::IndexStored)).is_empty());
    assert!(service.is_idle());
    let (admit, _) = request(&mut service, conn(1), 3, Command::Search, &search("hi"));
    assert!(matches!(admit, Admit::Taken));
}

#[test]
fn what_cannot_be_searched_for_is_refused_before_any_work() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let friends = pb::SearchScope::SearchFriends as i32;
    for (body, code) in [
        (search("%_*\"\0"), Code::BadRequest),
        (search(&"x".repeat(257)), Code::TooLarge),
        (pb::SearchReq { scope: 9, ..search("x") }, Code::BadRequest),
        (pb::SearchReq { scope: friends, group_id: 1, ..search("x") }, Code::BadRequest),
        (pb::SearchReq { receiver_id: 1, group_id: 1, ..search("x") }, Code::BadRequest),
        (pb::SearchReq { receiver_id: u64::MAX, ..search("x") }, Code::NotFound),
    ] {
        let (_, out) = request(&mut service, conn(1), 2, Command::Search, &body);
        assert_eq!((out.len(), frames(&out)[0].1.code), (1, code.as_u16()), "{body:?}");
    }
    assert!(service.is_idle());
}
