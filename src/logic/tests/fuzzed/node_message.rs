//! Messages of another node, which may have any bytes: they come from a node that has the cluster's
//! key, so they are no attack, but a newer program or a bug must not stop this one.
//!
//! The input is messages, each behind its length in one byte.

use std::sync::Arc;

use aldis_logic::cluster::{Hub, HubConfig, LinkEffect, PeerAddress, Routes};
use aldis_logic::job::{NodeId, ReactorId};
use aldis_logic::{LinkUse, Node, NodeConfig, Online, PeerMail};
use aldis_wire::{ConnId, DeviceClass, Epoch, UserId};
use bytes::Bytes;

use crate::scene::{config, node_from};

const USER: UserId = UserId(10_001);
const FROM: NodeId = NodeId(2);
/// Messages that an input may hold.
const MESSAGES_MAX: usize = 64;

/// A node with one session on each of two reactors.
fn node() -> Arc<Node> {
    let node = node_from(NodeConfig { node: NodeId(1), link: LinkUse::Routed, ..config() });
    for (index, class) in [(0, DeviceClass::Phone), (1, DeviceClass::Web)] {
        let conn = ConnId { index, generation: 1 };
        let reactor = ReactorId(index as u16);
        node.table.enter(USER, Online { reactor, conn, class, epoch: Epoch(5) });
    }
    node
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let node = node();
    let address = "127.0.0.1:7702".parse().expect("an address");
    let peers = vec![PeerAddress { node: FROM, address }];
    let config = HubConfig { peers, has_directory: true, release: "test".into() };
    let mut hub = Hub::new(node.clone(), Arc::new(Routes::default()), 2, config);
    let mut now_ms = 1_000;
    hub.handle_connected(now_ms, FROM);
    let mut rest = data;
    for _ in 0..MESSAGES_MAX {
        let Some((&len, after)) = rest.split_first() else { break };
        let (message, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let is_fault = hub.handle_message(now_ms, FROM, Bytes::copy_from_slice(message)).is_err();
        check(&mut hub, &node);
        if is_fault {
            hub.handle_down(now_ms, FROM);
            hub.handle_connected(now_ms, FROM);
        }
        now_ms += 100;
        if hub.poll_timeout().is_some_and(|at_ms| at_ms <= now_ms) {
            hub.handle_timeout(now_ms);
        }
    }
    check(&mut hub, &node);
}

/// Nobody gets what is not for him, and only sessions with an older epoch are ended.
fn check(hub: &mut Hub, node: &Node) {
    for (reactor, deliveries) in hub.take_deliveries() {
        assert!(reactor < 2, "there is no reactor {reactor}");
        for target in deliveries.iter().flat_map(|delivery| &delivery.targets) {
            assert_eq!((target.user, target.conn.index as usize), (USER, reactor));
        }
    }
    while let Some(effect) = hub.poll_effect() {
        match effect {
            LinkEffect::Post { reactor, mail: PeerMail::Kick { conn, user, epoch, .. } } => {
                assert_eq!((user, epoch, conn.index), (USER, Epoch(5), u32::from(reactor.0)));
            }
            LinkEffect::Post { mail: PeerMail::Notice(notice), .. } => {
                assert!(notice.targets.iter().all(|(_, user)| *user == USER), "{notice:?}");
            }
            _ => {}
        }
    }
    assert_eq!(node.table.session_count(), 2, "sessions end where they are, not here");
}
