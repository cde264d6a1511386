//! Entries reach the sessions of their owners on other nodes: one message for each node, by what is
//! known, and on if that was wrong.

use aldis_logic::cluster::FRESH_MS;
use aldis_wire::{DeviceClass, UserId, node_pb};
use node_pb::node_message::Body;

use crate::harness::Net;

const ADA: UserId = UserId(10_001);
const BEN: UserId = UserId(10_002);
const PHONE: DeviceClass = DeviceClass::Phone;

fn got(conn: u32, seq: u64, text: &str) -> (u32, u64, String) {
    (conn, seq, text.to_owned())
}

#[test]
fn a_message_goes_to_each_node_of_its_owners_once_and_is_looked_up_once_in_a_second() {
    let mut net = Net::new(3);
    net.login(1, ADA, PHONE, 1);
    let desktop = net.login(2, ADA, DeviceClass::Desktop, 1);
    let (phone, web) = (net.login(2, BEN, PHONE, 4), net.login(3, BEN, DeviceClass::Web, 2));
    net.commit(1, "one", &[(ADA, 5), (BEN, 9)]);
    assert_eq!(net.take_deliveries(), [(1, 2, 2), (1, 3, 1)]);
    assert_eq!(net.node(2).delivered, [got(phone, 9, "one"), got(desktop, 5, "one")]);
    assert_eq!(net.node(3).delivered, [got(web, 9, "one")]);
    net.commit(1, "two", &[(ADA, 6), (BEN, 10)]);
    assert_eq!(net.take_deliveries(), [(1, 2, 2), (1, 3, 1)]);
    assert_eq!(net.lookups, 1);
    // When the routes are old the message goes out at once, and who came meanwhile gets it too.
    net.skip(FRESH_MS);
    let tablet = net.login(3, ADA, DeviceClass::Tablet, 1);
    net.holds_lookups = true;
    net.commit(1, "three", &[(ADA, 7), (BEN, 11)]);
    assert_eq!(net.take_deliveries(), [(1, 2, 2), (1, 3, 1)]);
    net.answer_lookups();
    assert_eq!(net.take_deliveries(), [(1, 3, 1)], "to the node that it did not go to");
    assert_eq!(net.node(3).delivered.last(), Some(&got(tablet, 7, "three")));
    assert!(net.said.is_empty());
}

#[test]
fn a_group_of_500_on_three_nodes_is_one_message_for_each_remote_node() {
    let mut net = Net::new(3);
    let members: Vec<UserId> = (0..500).map(|number| UserId(20_000 + number)).collect();
    for (number, member) in members.iter().enumerate() {
        net.login(1 + (number % 3) as u16, *member, PHONE, 1);
    }
    let owners: Vec<(UserId, u64)> = members.iter().map(|member| (*member, 1)).collect();
    for _ in 0..3 {
        net.commit(1, "all", &owners);
        assert_eq!(net.take_deliveries(), [(1, 2, 167), (1, 3, 166)]);
        net.skip(FRESH_MS / 2);
    }
    assert_eq!(net.node(2).delivered.len(), 3 * 167);
}

#[test]
fn a_user_who_is_known_to_be_only_here_costs_nothing() {
    let mut net = Net::new(2);
    net.login(1, ADA, PHONE, 1);
    net.commit(1, "one", &[(ADA, 1)]);
    assert_eq!((net.lookups, net.take_deliveries().len()), (1, 0));
    let now_ms = net.now_ms;
    assert!(net.node(1).routes.is_only_here(ADA, now_ms));
    net.commit(1, "two", &[(ADA, 2)]);
    assert_eq!((net.lookups, net.take_deliveries().len()), (1, 0));
    let mut alone = Net::new(1);
    alone.login(1, ADA, PHONE, 1);
    alone.commit(1, "one", &[(ADA, 1)]);
    assert_eq!(alone.lookups, 0, "without other nodes nobody is looked for");
}

#[test]
fn a_message_follows_a_session_that_has_moved_but_only_once() {
    let mut net = Net::new(3);
    net.login(2, BEN, PHONE, 1);
    net.commit(1, "one", &[(BEN, 1)]);
    net.leave(2, BEN, PHONE, 1);
    let moved = net.login(3, BEN, PHONE, 2);
    net.take_deliveries();
    net.commit(1, "two", &[(BEN, 2)]);
    assert_eq!(net.take_deliveries(), [(1, 2, 1), (1, 3, 1)]);
    assert_eq!(net.node(3).delivered, [got(moved, 2, "two")]);
    net.commit(1, "three", &[(BEN, 3)]);
    assert_eq!(net.take_deliveries(), [(1, 3, 1)]);
    // The directory does not know that he is gone: there is no end of looking otherwise.
    net.leave(3, BEN, PHONE, 2);
    net.commit(1, "four", &[(BEN, 4)]);
    assert_eq!(net.take_deliveries(), [(1, 3, 1)]);
    assert_eq!(net.node(3).delivered.len(), 2);
}

#[test]
fn all_messages_that_were_under_way_to_where_a_session_was_follow_it() {
    let mut net = Net::new(3);
    net.login(2, BEN, PHONE, 1);
    net.commit(1, "one", &[(BEN, 1)]);
    net.leave(2, BEN, PHONE, 1);
    let moved = net.login(3, BEN, PHONE, 2);
    // Two were sent by the old route; the answer to the first one corrects it.
    net.deny(2, 1, "two", (BEN, 2), 1);
    net.deny(2, 1, "three", (BEN, 3), 1);
    assert_eq!(net.node(3).delivered, [got(moved, 2, "two"), got(moved, 3, "three")]);
}

#[test]
fn a_newer_session_on_the_same_node_gets_the_message_and_corrects_the_route() {
    let mut net = Net::new(2);
    net.login(2, BEN, PHONE, 1);
    net.commit(1, "one", &[(BEN, 1)]);
    net.leave(2, BEN, PHONE, 1);
    let newer = net.login(2, BEN, PHONE, 3);
    net.commit(1, "two", &[(BEN, 2)]);
    assert_eq!(net.node(2).delivered.last(), Some(&got(newer, 2, "two")));
    let answers = |net: &mut Net| {
        let said = std::mem::take(&mut net.said);
        let of = |(_, _, body): &(u16, u16, Body)| matches!(body, Body::Misplaced(_));
        said.iter().filter(|said| of(said)).count()
    };
    assert_eq!(answers(&mut net), 1);
    net.commit(1, "three", &[(BEN, 3)]);
    assert_eq!(answers(&mut net), 0, "the route names the newer session now");
    assert_eq!(net.lookups, 1);
}

#[test]
fn messages_that_wait_for_the_directory_keep_their_order() {
    let mut net = Net::new(2);
    let phone = net.login(2, BEN, PHONE, 1);
    net.holds_lookups = true;
    for number in 1..=5 {
        net.commit(1, &number.to_string(), &[(BEN, number)]);
    }
    assert!(net.take_deliveries().is_empty());
    net.answer_lookups();
    let expected: Vec<_> = (1..=5).map(|n| got(phone, n, &n.to_string())).collect();
    assert_eq!(net.node(2).delivered, expected);
    assert_eq!(net.lookups, 1);
}

#[test]
fn without_a_directory_everybody_is_told_and_nobody_answers() {
    let mut net = Net::with(3, false);
    net.skip(0);
    let phone = net.login(3, BEN, PHONE, 1);
    net.said.clear();
    net.commit(1, "one", &[(BEN, 1)]);
    assert_eq!(net.said.len(), 2);
    assert_eq!(net.take_deliveries(), [(1, 2, 1), (1, 3, 1)]);
    assert_eq!(net.node(3).delivered, [got(phone, 1, "one")]);
    assert_eq!(net.lookups, 0);
}
