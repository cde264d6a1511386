//! Notifications that are in no store reach sessions on other nodes once, by what is known, and are
//! dropped where deliveries need the room.

use aldis_logic::cluster::FRESH_MS;
use aldis_wire::{DeviceClass, UserId, node_pb};
use node_pb::node_message::Body;

use crate::harness::Net;

const ADA: UserId = UserId(10_001);
const BEN: UserId = UserId(10_002);
const PHONE: DeviceClass = DeviceClass::Phone;

#[test]
fn a_notification_goes_to_each_node_of_its_users_once() {
    let mut net = Net::new(3);
    let (ada, web) = (net.login(2, ADA, PHONE, 1), net.login(3, ADA, DeviceClass::Web, 1));
    let ben = net.login(2, BEN, PHONE, 1);
    for round in 1..=2 {
        net.notice(1, &[ADA, BEN, UserId(7)]);
        let said = std::mem::take(&mut net.said);
        let of = |(from, to, body): &(u16, u16, Body)| match body {
            Body::Notice(notice) => (*from, *to, notice.user_ids.clone()),
            other => panic!("{other:?}"),
        };
        let said: Vec<_> = said.iter().map(of).collect();
        assert_eq!(said, [(1, 2, vec![ADA.0, BEN.0]), (1, 3, vec![ADA.0])]);
        assert_eq!(net.lookups, 1, "in round {round}");
    }
    assert_eq!(net.node(2).told, [ada, ben, ada, ben]);
    assert_eq!(net.node(3).told, [web, web]);
    // Who is not there any more is not looked for.
    net.leave(2, BEN, PHONE, 1);
    net.notice(1, &[BEN]);
    assert_eq!((net.said.len(), net.lookups), (1, 1));
}

#[test]
fn a_notification_is_dropped_rather_than_kept_or_guessed_about() {
    let mut net = Net::new(2);
    net.login(2, ADA, PHONE, 1);
    net.is_directory_away = true;
    net.notice(1, &[ADA]);
    assert!(net.said.is_empty() && net.node(2).told.is_empty(), "nobody knows where");
    net.is_directory_away = false;
    net.notice(1, &[ADA]);
    assert_eq!(net.node(2).told.len(), 1);
    net.skip(FRESH_MS);
    net.node(1).hub.handle_blocked(aldis_logic::job::NodeId(2));
    net.notice(1, &[ADA]);
    assert_eq!(net.node(2).told.len(), 1, "the node takes no more");
    assert_eq!(net.node(1).hub.counts().notices_dropped, 1);
    assert_eq!(net.node(2).check_count, 0, "and need not look for it");
}
