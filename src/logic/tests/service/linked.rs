//! A node of a cluster: entries that come out of order are held back a little, a login that took a
//! place elsewhere says so, and one that came to nothing takes nobody's place.

use std::sync::Arc;

use aldis_logic::cluster::KickOrder;
use aldis_logic::job::{
    BootId, DirectoryJob, DirectoryReply, NodeId, ReadResult, Registration, SessionRecord,
    WriteJob, Written,
};
use aldis_logic::job::{LoginState, SyncPage};
use aldis_logic::{Effect, Node, Now, Service};
use aldis_wire::{Code, Command, ConnId, DeviceClass, Epoch, Message, Seq, UserId, pb};

use crate::harness::*;

fn at(ms: u64) -> Now {
    Now { mono_ms: NOW.mono_ms + ms, ..NOW }
}

/// A session of a linked node; its mailbox has 5 entries.
fn start() -> (Arc<Node>, Service) {
    let node = linked_node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    // The others are told that she has come.
    service.handle_turn_end(NOW);
    effects(&mut service);
    (node, service)
}

/// An entry arrives; the seqs of what is pushed.
fn arrive(node: &Node, service: &mut Service, now: Now, seq: u64) -> Vec<u64> {
    for delivery in deliveries(node, event(ADA, seq, conn(99))) {
        service.handle_delivery(now, &delivery);
    }
    pushed(service)
}

fn pushed(service: &mut Service) -> Vec<u64> {
    let out = effects(service);
    let mut seqs = Vec::new();
    for (_, header, body) in frames(&out) {
        assert_eq!(header.cmd, Command::MsgPushNotify.id());
        let push = pb::MsgPushNotify::decode(body.as_slice()).unwrap();
        assert!(push.entries.iter().all(|entry| entry.seq <= push.head));
        seqs.extend(push.entries.iter().map(|entry| entry.seq));
    }
    seqs
}

fn time_out(service: &mut Service, now: Now) -> Vec<u64> {
    service.handle_turn_end(now);
    pushed(service)
}

#[test]
fn entries_that_overtake_each_other_are_pushed_in_order() {
    let (node, mut service) = start();
    assert_eq!(arrive(&node, &mut service, at(0), 6), [6]);
    assert!(arrive(&node, &mut service, at(1), 9).is_empty());
    assert!(arrive(&node, &mut service, at(2), 8).is_empty());
    assert_eq!(arrive(&node, &mut service, at(3), 7), [7, 8, 9]);
    assert_eq!(arrive(&node, &mut service, at(4), 10), [10]);
    // What comes twice is the client's to ignore.
    assert_eq!(arrive(&node, &mut service, at(5), 9), [9]);
    assert!(time_out(&mut service, at(1_000)).is_empty());
}

#[test]
fn an_entry_is_held_back_for_20_ms_at_most() {
    let (node, mut service) = start();
    assert!(arrive(&node, &mut service, at(0), 8).is_empty());
    assert!(arrive(&node, &mut service, at(10), 10).is_empty());
    assert_eq!(service.poll_timeout(), Some(NOW.mono_ms + 20));
    assert!(time_out(&mut service, at(19)).is_empty());
    assert_eq!(time_out(&mut service, at(20)), [8, 10]);
    assert_eq!(service.poll_timeout(), None);
    // From now on the client is the one who waits for 6, 7 and 9.
    assert_eq!(arrive(&node, &mut service, at(21), 7), [7]);
    assert_eq!(arrive(&node, &mut service, at(22), 11), [11]);
}

#[test]
fn no_more_than_64_entries_are_held_back() {
    let (node, mut service) = start();
    for seq in 7..7 + 64 {
        assert!(arrive(&node, &mut service, at(0), seq).is_empty(), "{seq}");
    }
    let expected: Vec<u64> = (7..7 + 65).collect();
    assert_eq!(arrive(&node, &mut service, at(0), 7 + 64), expected);
    assert!(time_out(&mut service, at(20)).is_empty());
    assert_eq!(arrive(&node, &mut service, at(21), 7 + 65), [7 + 65]);
}

#[test]
fn an_answer_that_overtakes_a_push_makes_no_gap() {
    let (node, mut service) = start();
    let send = |service: &mut Service, id, seq| {
        let (_, out) = request(service, conn(1), u32::from(id), Command::MsgSend, &send_body(id));
        let appended = aldis_logic::job::Appended {
            msg_id: aldis_wire::MsgId(7),
            seq: Seq(seq),
            conv_seq: aldis_wire::ConvSeq(1),
            time_ms: 0,
        };
        written(service, ticket_of(&out), Written::Appended(appended));
    };
    // 6 is somebody else's and on its way, 7 is the session's own, 8 comes early.
    send(&mut service, 2, 7);
    assert!(arrive(&node, &mut service, at(1), 8).is_empty());
    assert_eq!(arrive(&node, &mut service, at(2), 6), [6, 8]);
    send(&mut service, 3, 9);
    assert_eq!(arrive(&node, &mut service, at(3), 10), [10]);
}

#[test]
fn what_the_client_reads_by_itself_is_not_held_back() {
    let (node, mut service) = start();
    assert!(arrive(&node, &mut service, at(0), 8).is_empty());
    assert!(arrive(&node, &mut service, at(0), 10).is_empty());
    let body = pb::MsgSyncReq { stream: 0, after_seq: 5, limit: 0 };
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSync, &body);
    let page = SyncPage { entries: vec![], head: Seq(9) };
    let out = read(&mut service, ticket_of(&out), ReadResult::Sync(page));
    let commands: Vec<u16> = frames(&out).iter().map(|(_, header, _)| header.cmd).collect();
    assert_eq!(commands, [Command::MsgPushNotify.id(), Command::MsgSyncResp.id()], "10 follows 9");
    assert_eq!(arrive(&node, &mut service, at(1), 11), [11]);
}

/// Steps of a login up to where the directory answers.
fn login_with(service: &mut Service, registration: Registration) -> (ConnId, Vec<Effect>) {
    let conn = conn(2);
    let ticket = login_until_registered(service, conn, ADA, 4);
    service.handle_directory_reply(NOW, DirectoryReply { ticket, registration });
    let ticket = ticket_of(&effects(service));
    let state = LoginState { head: Seq(5), username: "ada".into(), ..Default::default() };
    (conn, read(service, ticket, ReadResult::LoginState(state)))
}

fn kicks(effects: &[Effect]) -> Vec<KickOrder> {
    let order = |effect: &Effect| match effect {
        Effect::Kick(order) => Some(order.clone()),
        _ => None,
    };
    effects.iter().filter_map(order).collect()
}

fn record(node: u16, epoch: u64) -> SessionRecord {
    SessionRecord {
        user: ADA,
        class: DeviceClass::Phone,
        epoch: Epoch(epoch),
        node: NodeId(node),
        boot: BootId(1),
    }
}

#[test]
fn a_login_that_replaced_a_session_elsewhere_has_it_ended_once_it_is_complete() {
    for (registration, expected) in [
        (Registration::Live { replaced: Some(record(7, 3)) }, Some(Some(NodeId(7)))),
        (Registration::Live { replaced: Some(record(0, 3)) }, None),
        (Registration::Live { replaced: None }, None),
        (Registration::Unavailable, Some(None)),
    ] {
        let mut service = service(&linked_node());
        let (_, out) = login_with(&mut service, registration);
        let orders = kicks(&out);
        assert_eq!(orders.first().map(|order| order.node), expected, "{registration:?}");
        assert!(orders.iter().all(|order| order.epoch == Epoch(4) && order.user == ADA));
    }
}

/// The epochs that are given back among effects.
fn released(effects: &[Effect]) -> Vec<(UserId, DeviceClass, Epoch)> {
    let release = |effect: &Effect| match effect {
        Effect::Write(request) => match request.job {
            WriteJob::ReleaseSession { user, class, epoch, .. } => Some((user, class, epoch)),
            _ => None,
        },
        _ => None,
    };
    effects.iter().filter_map(release).collect()
}

const MINE: [(UserId, DeviceClass, Epoch); 1] = [(ADA, DeviceClass::Phone, Epoch(4))];

#[test]
fn a_login_whose_client_has_gone_gives_its_epoch_back() {
    let mut service = service(&linked_node());
    let ticket = login_until_opening(&mut service, conn(2), ADA);
    service.handle_closed(NOW, conn(2));
    assert!(released(&effects(&mut service)).is_empty(), "nothing was opened yet");
    let out = written(&mut service, ticket, Written::SessionOpened(opened(ADA, 4)));
    assert_eq!(released(&out), MINE);
    let own = ticket_of(&out);
    assert!(written(&mut service, own, Written::SessionReleased).is_empty());
    assert!(service.is_idle());
}

#[test]
fn a_login_whose_client_goes_before_the_answer_gives_its_epoch_back_and_ends_nobody() {
    let node = linked_node();
    let mut service = service(&node);
    let ticket = login_until_registered(&mut service, conn(2), ADA, 4);
    service.handle_closed(NOW, conn(2));
    let out = effects(&mut service);
    assert_eq!(released(&out), MINE);
    let is_taken_back = |effect: &Effect| match effect {
        Effect::Directory(request) => matches!(request.job, DirectoryJob::Unregister(_)),
        _ => false,
    };
    assert!(out.iter().any(is_taken_back));
    let registration = Registration::Live { replaced: Some(record(7, 3)) };
    service.handle_directory_reply(NOW, DirectoryReply { ticket, registration });
    assert!(kicks(&effects(&mut service)).is_empty());
    assert_eq!(node.table.session_count(), 0);
}

#[test]
fn a_login_that_fails_at_its_last_step_gives_its_epoch_back() {
    let mut service = service(&linked_node());
    let ticket = login_until_state(&mut service, conn(2), ADA, 4);
    let result = Err(aldis_logic::job::JobError::Unavailable);
    service.handle_read_reply(NOW, aldis_logic::job::ReadReply { ticket, result });
    let out = effects(&mut service);
    assert_eq!(released(&out), MINE);
    assert_eq!(frames(&out)[0].1.code, Code::Unavailable as u16);
    // A session that came to be keeps its epoch.
    login(&mut service, conn(3), BEN, 1);
    service.handle_closed(NOW, conn(3));
    assert!(released(&effects(&mut service)).is_empty());
}

#[test]
fn a_login_whose_client_has_closed_its_side_is_answered_but_takes_nobodys_place() {
    let node = linked_node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 3);
    let ticket = login_until_opening(&mut service, conn(2), ADA);
    service.handle_half_closed(NOW, conn(2));
    let out = written(&mut service, ticket, Written::SessionOpened(opened(ADA, 4)));
    assert_eq!(released(&out), MINE);
    assert_eq!(frames(&out)[0].1.code, Code::Unavailable as u16);
    assert!(
        out.iter().any(|effect| matches!(effect, Effect::Close { conn: c, .. } if *c == conn(2)))
    );
    let is_kick = |effect: &Effect| matches!(effect, Effect::Post { .. } | Effect::Kick(_));
    assert!(!out.iter().any(is_kick));
    let mut epochs = Vec::new();
    node.table.for_each_of(ADA, |online| epochs.push(online.epoch));
    assert_eq!(epochs, [Epoch(3)]);
}
