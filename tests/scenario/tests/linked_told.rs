//! Goal: what is told and not stored reaches users on other nodes, and only those who may be told: who
//! writes something, what was delivered, what was read.

use std::time::Duration;

use aldis_scenario::requests::text_to;
use aldis_scenario::{Cluster, RawClient, login, next_entry};
use aldis_wire::{Code, Command, DeviceClass, pb};

fn typing(client: &mut RawClient, receiver_id: u64, group_id: u64) -> Code {
    let body = pb::TypingReq { receiver_id, group_id, is_over: false };
    client.call(Command::Typing, &body).code()
}

fn next_typing(client: &mut RawClient) -> pb::TypingNotify {
    client.notification(Command::TypingNotify).decode()
}

/// Nothing of this kind has come by the time another request is answered that was sent later.
fn is_told_nothing(client: &mut RawClient, command: Command) -> bool {
    std::thread::sleep(Duration::from_millis(500));
    client.call(Command::Heartbeat, &pb::HeartbeatReq::default());
    let mut told = false;
    while let Some(reply) = client.kept() {
        told |= reply.header.cmd == command.id();
    }
    !told
}

#[test]
fn typing_is_told_on_the_other_node_to_those_who_would_get_the_message() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 3, DeviceClass::Phone);
    let (ada_id, ben_id) = (users[0].id, users[1].id);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    let mut carl = login(&cluster.nodes[1], &users[2]).0;
    assert_eq!(typing(&mut ada, ben_id, 0), Code::Ok);
    let told = next_typing(&mut ben);
    assert_eq!((told.sender_id, told.receiver_id, told.group_id), (ada_id, ben_id, 0));
    let group_id = ada.create_group(vec![ben_id, users[2].id]);
    assert_eq!(typing(&mut ben, 0, group_id), Code::Ok);
    for client in [&mut ada, &mut carl] {
        let told = next_typing(client);
        assert_eq!((told.sender_id, told.group_id), (ben_id, group_id));
    }
    let block = pb::BlockReq { user_id: ada_id };
    assert_eq!(ben.call(Command::Block, &block).code(), Code::Ok);
    assert_eq!(typing(&mut ada, ben_id, 0), Code::Forbidden);
    assert!(is_told_nothing(&mut ben, Command::TypingNotify));
    assert!(is_told_nothing(&mut ada, Command::TypingNotify), "nobody hears himself");
    cluster.assert_quiet();
}

#[test]
fn a_sender_learns_from_the_other_node_what_was_delivered_and_read() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let (ada_id, ben_id) = (users[0].id, users[1].id);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    let mut last = 0;
    for round in 0..5 {
        last = ada.send_message(&text_to(ben_id, &format!("text {round}"))).conv_seq;
    }
    let mut seq = 0;
    for _ in 0..5 {
        seq = next_entry(&mut ben).seq;
    }
    let mark = pb::MarkDeliveredReq { stream: 0, seq };
    assert_eq!(ben.call(Command::MarkDelivered, &mark).code(), Code::Ok);
    let told: pb::ReceiptNotify = ada.notification(Command::ReceiptNotify).decode();
    let told = (told.user_id, told.delivered_conv_seq, told.read_conv_seq);
    assert_eq!(told, (ben_id, last, 0), "one receipt for all five");
    let mark = pb::MarkReadReq { receiver_id: ada_id, group_id: 0, conv_seq: last };
    assert_eq!(ben.call(Command::MarkRead, &mark).code(), Code::Ok);
    let told: pb::ReceiptNotify = ada.notification(Command::ReceiptNotify).decode();
    assert_eq!((told.user_id, told.read_conv_seq), (ben_id, last));
    cluster.assert_quiet();
}
