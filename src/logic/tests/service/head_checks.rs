//! Head checks by themselves: what other nodes committed reaches a session, what other nodes opened
//! ends it, and the store is asked evenly and seldom.

use std::collections::BTreeMap;
use std::sync::Arc;

use aldis_logic::job::{
    BootId, DirectoryJob, DirectoryRequest, JobError, LoginState, NodeId, ReactorId, ReadJob,
    ReadReply, ReadResult, SessionRecord, SyncPage, Ticket, UserHead,
};
use aldis_logic::{CreditLimits, Effect, Goodbye, HeadCheckTimes, Node, Now, Service};
use aldis_wire::{Command, ConnId, DeviceClass, Epoch, Message, Seq, UserId, pb};

use crate::harness::*;

const TIMES: HeadCheckTimes = HeadCheckTimes { interval_ms: 15_000, after_login_ms: 1_500 };

fn at(ms: u64) -> Now {
    Now { mono_ms: NOW.mono_ms + ms, ..NOW }
}

fn start() -> (Arc<Node>, Service) {
    let node = node_with(Some(TIMES));
    let service = service(&node);
    (node, service)
}

/// The checks that a turn begins: their tickets and whom they ask about.
fn checks(service: &mut Service, now: Now) -> Vec<(Ticket, Vec<UserId>)> {
    service.handle_turn_end(now);
    let asked = effects(service).into_iter().map(|effect| match effect {
        Effect::Read(request) => match request.job {
            ReadJob::Heads { users } => (request.ticket, users),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    asked.collect()
}

/// The one check that a turn begins.
fn turn(service: &mut Service, now: Now) -> Option<(Ticket, Vec<UserId>)> {
    let mut checks = checks(service, now);
    assert!(checks.len() <= 1, "one check");
    checks.pop()
}

fn heads(user: UserId, head: u64, epoch: u64) -> ReadResult {
    let epochs = [(DeviceClass::Phone, Epoch(epoch))].into_iter().collect();
    ReadResult::Heads(vec![UserHead { user, head: Seq(head), epochs, revoked: Default::default() }])
}

fn hint(effects: &[Effect]) -> Option<u64> {
    let sent = frames(effects);
    let (_, header, body) = sent.first()?;
    assert_eq!(header.cmd, Command::MsgPushNotify.id());
    let push = pb::MsgPushNotify::decode(body.as_slice()).unwrap();
    push.entries.is_empty().then_some(push.head)
}

fn is_kicked(effects: &[Effect], conn: ConnId) -> bool {
    let told = |effect: &Effect| match effect {
        Effect::Send { conn: to, frame, .. } => {
            *to == conn && decode(*to, frame).1.cmd == Command::KickNotify.id()
        }
        _ => false,
    };
    let closed = |effect: &Effect| matches!(effect, Effect::Close { conn: c, reason: Goodbye::Kicked } if *c == conn);
    effects.iter().any(told) && effects.iter().any(closed)
}

#[test]
fn a_session_that_found_no_room_at_the_directory_is_told_to_it_with_its_next_check() {
    let (_node, mut service) = start();
    let ticket = login_until_registered(&mut service, conn(1), ADA, 4);
    let record = SessionRecord {
        user: ADA,
        class: DeviceClass::Phone,
        epoch: Epoch(4),
        node: NodeId(0),
        boot: BootId(1),
    };
    let refused = DirectoryRequest { ticket, job: DirectoryJob::Register(record) };
    service.handle_directory_full(NOW, &refused);
    assert_eq!(ticket_of(&effects(&mut service)), ticket, "the login goes on");
    let state = LoginState { head: Seq(5), username: "ada".into(), ..Default::default() };
    read(&mut service, ticket, ReadResult::LoginState(state));
    let told = |service: &mut Service, ms: u64| {
        service.handle_turn_end(at(ms));
        let mut told = Vec::new();
        for effect in effects(service) {
            match effect {
                Effect::Directory(request) => told.push(request),
                Effect::Read(request) => {
                    read(service, request.ticket, heads(ADA, 5, 4));
                }
                other => panic!("{other:?}"),
            }
        }
        told
    };
    let first = told(&mut service, 1_500);
    assert_eq!(first.iter().map(|r| r.job).collect::<Vec<_>>(), [DirectoryJob::Assert(record)]);
    service.handle_directory_full(at(1_500), &first[0]);
    assert!(effects(&mut service).is_empty(), "nobody waits");
    let second = told(&mut service, 15_000);
    assert_eq!(second.len(), 1, "there was no room again");
    assert!(told(&mut service, 30_000).is_empty(), "the directory knows");
}

#[test]
fn a_session_is_checked_soon_after_its_login_and_then_once_in_every_interval() {
    let (_node, mut service) = start();
    login(&mut service, conn(1), ADA, 1);
    let mut checked_at = Vec::new();
    while checked_at.len() < 4 {
        let due_ms = service.poll_timeout().expect("a session is to be checked");
        assert!(turn(&mut service, Now { mono_ms: due_ms - 1, ..NOW }).is_none(), "not before");
        if let Some((ticket, users)) = turn(&mut service, Now { mono_ms: due_ms, ..NOW }) {
            assert_eq!(users, [ADA]);
            checked_at.push(due_ms - NOW.mono_ms);
            assert!(read(&mut service, ticket, heads(ADA, 5, 1)).is_empty(), "nothing is new");
        }
    }
    assert_eq!(checked_at, [1_500, 15_000, 30_000, 45_000]);
}

#[test]
fn what_another_node_committed_is_hinted_and_heartbeats_know_it() {
    let (_node, mut service) = start();
    login(&mut service, conn(1), ADA, 1);
    let (ticket, _) = turn(&mut service, at(1_500)).unwrap();
    assert_eq!(hint(&read(&mut service, ticket, heads(ADA, 8, 1))), Some(8));
    let heartbeat = pb::HeartbeatReq::default();
    let (_, out) = request(&mut service, conn(1), 9, Command::Heartbeat, &heartbeat);
    let resp = pb::HeartbeatResp::decode(frames(&out)[0].2.as_slice()).unwrap();
    assert_eq!(resp.head_seq, 8);
    // The next check finds what was told before.
    let (ticket, _) = turn(&mut service, at(15_000)).unwrap();
    assert!(read(&mut service, ticket, heads(ADA, 8, 1)).is_empty());
}

#[test]
fn a_delivery_below_the_head_that_a_check_found_is_pushed_all_the_same() {
    let (node, mut service) = start();
    login(&mut service, conn(1), ADA, 1);
    let (ticket, _) = turn(&mut service, at(1_500)).unwrap();
    // 6 is this node's and on its way through the mailbox, 7 another node's.
    let late = deliveries(&node, event(ADA, 6, conn(99)));
    assert_eq!(hint(&read(&mut service, ticket, heads(ADA, 7, 1))), Some(7));
    service.handle_delivery(at(1_501), &late[0]);
    let sent = frames(&effects(&mut service));
    let push = pb::MsgPushNotify::decode(sent[0].2.as_slice()).unwrap();
    assert_eq!((push.entries[0].seq, push.head), (6, 7));
}

#[test]
fn deliveries_with_gaps_are_pushed_and_an_older_answer_of_the_store_takes_nothing_back() {
    let (node, mut service) = start();
    login(&mut service, conn(1), ADA, 1);
    let (ticket, _) = turn(&mut service, at(1_500)).unwrap();
    for seq in [7, 9] {
        for delivery in deliveries(&node, event(ADA, seq, conn(99))) {
            service.handle_delivery(at(1_500), &delivery);
        }
        let sent = frames(&effects(&mut service));
        let push = pb::MsgPushNotify::decode(sent[0].2.as_slice()).unwrap();
        assert_eq!((push.entries[0].seq, push.head), (seq, seq));
    }
    assert!(read(&mut service, ticket, heads(ADA, 6, 0)).is_empty());
}

#[test]
fn a_session_that_a_login_on_another_node_fenced_ends_within_one_check() {
    let (node, mut service) = start();
    login(&mut service, conn(1), ADA, 1);
    let (ticket, _) = turn(&mut service, at(1_500)).unwrap();
    read(&mut service, ticket, heads(ADA, 5, 1));
    let (ticket, _) = turn(&mut service, at(15_000)).unwrap();
    let out = read(&mut service, ticket, heads(ADA, 6, 2));
    assert!(is_kicked(&out, conn(1)), "{out:?}");
    assert_eq!((node.table.session_count(), service.online_count()), (0, 1));
    service.handle_closed(NOW, conn(1));
    assert_eq!(service.online_count(), 0);
}

#[test]
fn a_login_under_way_that_lost_to_another_node_is_ended_too() {
    let (_node, mut service) = start();
    login_until_state(&mut service, conn(1), ADA, 1);
    let (ticket, _) = turn(&mut service, at(1_500)).unwrap();
    let out = read(&mut service, ticket, heads(ADA, 5, 2));
    assert!(is_kicked(&out, conn(1)), "{out:?}");
}

#[test]
fn a_session_that_was_not_told_that_another_took_its_place_in_the_table_is_ended() {
    let (node, mut service) = start();
    login(&mut service, conn(1), ADA, 1);
    turn(&mut service, at(1_500)).unwrap();
    let mut other = Service::new(node.clone(), ReactorId(1), CreditLimits::default());
    login(&mut other, conn(1), ADA, 2);
    let (ticket, _) = turn(&mut service, at(15_000)).unwrap();
    assert!(is_kicked(&read(&mut service, ticket, heads(ADA, 5, 2)), conn(1)));
    assert_eq!(node.table.session_count(), 1);
}

#[test]
fn another_class_and_the_session_itself_fence_nobody() {
    let (_node, mut service) = start();
    login(&mut service, conn(1), ADA, 3);
    let (ticket, _) = turn(&mut service, at(1_500)).unwrap();
    let epochs = [(DeviceClass::Web, Epoch(9)), (DeviceClass::Phone, Epoch(3))];
    let epochs = epochs.into_iter().collect();
    let user_head = UserHead { user: ADA, head: Seq(5), epochs, revoked: Default::default() };
    assert!(read(&mut service, ticket, ReadResult::Heads(vec![user_head])).is_empty());
}

#[test]
fn the_directory_ends_the_session_that_it_names_and_no_other() {
    let (node, mut service) = start();
    login(&mut service, conn(1), ADA, 2);
    let record = |epoch, class, boot| SessionRecord {
        user: ADA,
        class,
        epoch: Epoch(epoch),
        node: NodeId(0),
        boot: BootId(boot),
    };
    let phone = DeviceClass::Phone;
    for other in [record(1, phone, 1), record(3, phone, 1), record(2, phone, 7)] {
        service.handle_fenced(NOW, &other);
        assert!(effects(&mut service).is_empty(), "{other:?}");
    }
    service.handle_fenced(NOW, &record(2, DeviceClass::Web, 1));
    assert!(effects(&mut service).is_empty());
    service.handle_fenced(NOW, &record(2, phone, 1));
    assert!(is_kicked(&effects(&mut service), conn(1)));
    service.handle_fenced(NOW, &record(2, phone, 1));
    assert!(effects(&mut service).is_empty(), "once");
    assert_eq!(node.table.session_count(), 0);
}

/// Gives the service its turns for so long and answers its checks.
fn run_rounds(service: &mut Service, ms: u64, mut on_check: impl FnMut(u64, &[UserId])) {
    let (from_ms, until_ms) = (NOW.mono_ms, NOW.mono_ms + ms);
    let mut now_ms = from_ms;
    while let Some(due_ms) = service.poll_timeout().filter(|due_ms| *due_ms < until_ms) {
        now_ms = now_ms.max(due_ms);
        for (ticket, users) in checks(service, Now { mono_ms: now_ms, ..NOW }) {
            on_check(now_ms - from_ms, &users);
            read(service, ticket, ReadResult::Heads(Vec::new()));
        }
    }
}

#[test]
fn many_sessions_are_checked_in_batches_that_spread_over_the_interval() {
    let (_node, mut service) = start();
    let count = 5_000;
    for number in 1..=count {
        login(&mut service, conn(number * 2), UserId(number.into()), 1);
    }
    let mut checks: Vec<(u64, usize)> = Vec::new();
    let mut last: BTreeMap<UserId, u64> = BTreeMap::new();
    run_rounds(&mut service, 60_000, |ms, users| {
        checks.push((ms, users.len()));
        for user in users {
            let before = last.insert(*user, ms);
            let pause_ms = before.map_or(15_000, |before| ms - before);
            assert!(pause_ms <= 30_000, "{user} was not checked for {pause_ms} ms");
            assert!(ms < 30_000 || pause_ms.abs_diff(15_000) < 50, "{user}: {pause_ms} ms");
        }
    });
    assert_eq!(last.len(), count as usize);
    assert!(checks.iter().all(|(_, len)| *len <= 256));
    for second in 16..60 {
        let in_second = checks.iter().filter(|(ms, _)| ms / 1_000 == second);
        let asked: usize = in_second.map(|(_, len)| len).sum();
        assert!(asked <= 2 * count as usize / 15, "{asked} in second {second}");
    }
}

#[test]
fn sessions_that_come_while_a_round_runs_wait_two_intervals_at_most() {
    let (_node, mut service) = start();
    let mut last: BTreeMap<UserId, u64> = BTreeMap::new();
    let (mut number, mut now_ms) = (0, 0);
    while now_ms < 90_000 {
        now_ms += 20;
        if now_ms < 60_000 {
            number += 1;
            login_at(&mut service, at(now_ms), conn(number), UserId(number.into()), 1);
            last.insert(UserId(number.into()), now_ms);
        }
        if let Some((ticket, users)) = turn(&mut service, at(now_ms)) {
            for user in users {
                let before = last.insert(user, now_ms).unwrap();
                assert!(now_ms - before <= 30_000, "{user}: {} ms", now_ms - before);
            }
            read(&mut service, ticket, ReadResult::Heads(Vec::new()));
        }
    }
    assert_eq!(last.len(), 2_999);
    assert!(last.values().all(|ms| now_ms - ms <= 30_000));
}

#[test]
fn a_node_without_sessions_needs_no_turn() {
    let (_node, mut service) = start();
    assert_eq!(service.poll_timeout(), None);
    login(&mut service, conn(1), ADA, 1);
    service.handle_closed(NOW, conn(1));
    effects(&mut service);
    run_rounds(&mut service, 60_000, |ms, _| panic!("a check at {ms} ms for nobody"));
    assert_eq!(service.poll_timeout(), None);
    // And begins again with the next one.
    login(&mut service, conn(2), BEN, 1);
    assert!(service.poll_timeout().is_some());
}

#[test]
fn a_store_that_does_not_answer_is_asked_about_few_and_about_nobody_twice_at_once() {
    let (_node, mut service) = start();
    for number in 1..=1_000 {
        login(&mut service, conn(number), UserId(number.into()), 1);
    }
    let asked = checks(&mut service, at(1_500));
    assert_eq!(asked.len(), 2, "checks under way");
    assert_eq!(service.poll_timeout(), None, "the answer is a turn of its own");
    assert!(turn(&mut service, at(60_000)).is_none());
    for (ticket, _) in asked {
        let result = Err(JobError::Unavailable);
        service.handle_read_reply(at(60_000), ReadReply { ticket, result });
    }
    assert!(turn(&mut service, at(60_099)).is_none(), "not at once");
    assert_eq!(checks(&mut service, at(60_100)).len(), 2);
}

#[test]
fn a_refused_sync_leaves_it_to_the_check_to_tell_the_head() {
    let (_node, mut service) = start();
    login(&mut service, conn(1), ADA, 1);
    let body = pb::MsgSyncReq { stream: 0, after_seq: 1 << 40, limit: 0 };
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSync, &body);
    let page = SyncPage { entries: Vec::new(), head: Seq(8) };
    read(&mut service, ticket_of(&out), ReadResult::Sync(page));
    let (ticket, _) = turn(&mut service, at(1_500)).unwrap();
    assert_eq!(hint(&read(&mut service, ticket, heads(ADA, 8, 1))), Some(8));
}

#[test]
fn a_node_that_alone_writes_to_its_store_checks_nothing_unasked() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    assert_eq!(service.poll_timeout(), None);
    assert!(turn(&mut service, at(3_600_000)).is_none());
}
