//! What is lost is made up for: links that end, nodes that take no more, a directory that is away,
//! messages of strangers.

use aldis_logic::cluster::KickOrder;
use aldis_logic::job::NodeId;
use aldis_wire::{DeviceClass, Epoch, Message, UserId, node_pb, pb};
use bytes::Bytes;
use node_pb::node_message::Body;

use crate::harness::{Net, conn_of};

const ADA: UserId = UserId(10_001);
const BEN: UserId = UserId(10_002);
const PHONE: DeviceClass = DeviceClass::Phone;

fn order(node: Option<u16>, epoch: u64) -> KickOrder {
    KickOrder {
        node: node.map(NodeId),
        user: BEN,
        class: PHONE,
        epoch: Epoch(epoch),
        reason: pb::KickReason::Replaced,
        device_name: String::new(),
    }
}

fn check_heads(net: &Net) -> usize {
    net.said.iter().filter(|(_, _, body)| matches!(body, Body::CheckHeads(_))).count()
}

#[test]
fn when_a_link_heals_both_nodes_check_all_of_their_sessions() {
    let mut net = Net::new(2);
    net.login(2, BEN, PHONE, 1);
    net.commit(1, "one", &[(BEN, 1)]);
    net.cut(1, 2);
    net.take_deliveries();
    net.commit(1, "two", &[(BEN, 2)]);
    net.skip(5_000);
    assert!(net.take_deliveries().is_empty(), "nothing is sent where nobody is");
    assert_eq!([net.node(1).check_count, net.node(2).check_count], [0, 0]);
    net.heal();
    net.skip(1_000);
    let counts = [net.node(1).check_count, net.node(2).check_count];
    assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    net.commit(1, "three", &[(BEN, 3)]);
    assert_eq!(net.take_deliveries(), [(1, 2, 1)]);
}

#[test]
fn a_node_that_takes_no_more_is_told_to_look_by_itself_once_it_does() {
    let mut net = Net::new(2);
    net.login(2, BEN, PHONE, 1);
    net.commit(1, "one", &[(BEN, 1)]);
    net.node(1).blocked.push(NodeId(2));
    for seq in 2..10 {
        net.commit(1, "lost", &[(BEN, seq)]);
    }
    assert_eq!(net.node(2).delivered.len(), 1);
    net.node(1).blocked.clear();
    net.node(1).hub.handle_writable(NodeId(2));
    net.settle();
    assert_eq!((check_heads(&net), net.node(2).check_count), (1, 1));
    net.commit(1, "again", &[(BEN, 10)]);
    assert_eq!(net.node(2).delivered.len(), 2);
}

#[test]
fn entries_that_were_dropped_on_the_way_to_the_link_are_announced_now_and_then() {
    let mut net = Net::new(3);
    for _ in 0..10 {
        let now_ms = net.now_ms;
        net.node(1).hub.handle_dropped(now_ms);
        net.skip(100);
    }
    // 1 s of drops, told at once and then every 500 ms, to two nodes.
    assert!((4..=6).contains(&check_heads(&net)), "{}", check_heads(&net));
    net.skip(2_000);
    let before = check_heads(&net);
    net.skip(2_000);
    assert_eq!(check_heads(&net), before, "nothing is left to be told");
}

#[test]
fn while_the_directory_is_away_what_is_known_counts_and_else_a_few_nodes_are_all_asked() {
    let mut net = Net::new(3);
    net.login(2, BEN, PHONE, 1);
    let web = net.login(3, ADA, DeviceClass::Web, 1);
    net.commit(1, "one", &[(BEN, 1)]);
    net.is_directory_away = true;
    net.take_deliveries();
    net.commit(1, "two", &[(BEN, 2), (ADA, 2)]);
    assert_eq!(net.take_deliveries(), [(1, 2, 1), (1, 2, 1), (1, 3, 1)]);
    assert_eq!(net.node(3).delivered.last().map(|d| d.0), Some(web));
    assert!(net.node(2).delivered.len() == 2, "{:?}", net.node(2).delivered);
}

#[test]
fn a_login_ends_the_older_session_elsewhere_and_is_repeated_until_it_is_heard() {
    let mut net = Net::new(2);
    net.login(2, BEN, PHONE, 1);
    net.kick(1, order(Some(2), 2));
    assert_eq!(net.node(2).kicked, [conn_of(BEN, PHONE, 1)]);
    net.said.clear();
    net.skip(40_000);
    assert!(net.said.is_empty(), "it was acknowledged");
    net.cut(1, 2);
    net.kick(1, order(Some(2), 3));
    net.skip(3_000);
    assert_eq!(net.node(2).kicked.len(), 1);
    net.heal();
    net.skip(1_000);
    assert!(net.node(2).kicked.len() >= 2, "the same session is still in the table");
    // The newer session itself is not ended by a kick that comes late.
    net.leave(2, BEN, PHONE, 1);
    net.login(2, BEN, PHONE, 9);
    net.node(2).kicked.clear();
    net.kick(1, order(None, 9));
    assert!(net.node(2).kicked.is_empty());
}

#[test]
fn what_comes_before_hello_or_cannot_be_read_is_dropped() {
    let mut net = Net::new(2);
    net.login(1, BEN, PHONE, 1);
    let now_ms = net.now_ms;
    let kick = node_pb::Kick {
        id: 1,
        user_id: BEN.0,
        class: 1,
        epoch: 99,
        reason: 77,
        device_name: String::new(),
    };
    let message = |body| Bytes::from(node_pb::NodeMessage { body: Some(body) }.encode_to_vec());
    let hub = &mut net.node(1).hub;
    hub.handle_message(now_ms, NodeId(9), message(Body::Kick(kick.clone()))).unwrap();
    for garbage in [vec![], vec![0xff; 40], vec![0x12, 0x7f]] {
        hub.handle_message(now_ms, NodeId(2), Bytes::from(garbage)).unwrap();
    }
    let odd = node_pb::Recipient { user_id: u64::MAX, seq: u64::MAX, sessions: vec![7; 5] };
    let (entry, recipients) = (Bytes::new(), vec![odd]);
    let deliver = node_pb::Deliver { entry, recipients, ..Default::default() };
    hub.handle_message(now_ms, NodeId(2), message(Body::Deliver(deliver))).unwrap();
    let odd = node_pb::Misplacement { user_id: 5, seq: 1, class: 77, epoch: 1, newer_epoch: 0 };
    let known = node_pb::Misplacement { class: 1, ..odd };
    let misplaced =
        node_pb::Misplaced { sessions: vec![odd, known], entry: Bytes::from_static(b"odd") };
    hub.handle_message(now_ms, NodeId(2), message(Body::Misplaced(misplaced))).unwrap();
    net.settle();
    assert!(net.node(1).kicked.is_empty() && net.node(1).delivered.is_empty());
    // Of a node that said hello the same kick counts.
    net.node(1).hub.handle_message(now_ms, NodeId(2), message(Body::Kick(kick))).unwrap();
    net.settle();
    assert_eq!(net.node(1).kicked.len(), 1);
}
