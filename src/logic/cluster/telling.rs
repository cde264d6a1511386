//! What a hub says to other nodes of the streams that are followed here, and when. Knows no entry.

use aldis_wire::node_pb::node_message::Body;
use aldis_wire::{GroupId, node_pb};

use super::effect::LinkFlow;
use super::hub::Hub;
use super::interest;
use crate::fanout::check_followers;
use crate::job::NodeId;

/// The flow of what is said: it needs its order.
const INTEREST_FLOW: u32 = 1;

impl Hub {
    /// Says which streams are followed here, all of them.
    pub(super) fn send_interest(&mut self, node: NodeId) {
        for follows in interest::messages(&self.node.streams.followed(), &[], true) {
            self.send(node, LinkFlow::Ordered(INTEREST_FLOW), Body::Follows(follows));
        }
    }

    /// An entry said who comes or goes, and other nodes are told of it at once. The node that it is from
    /// most likely has followers, because somebody there asked for it.
    pub(super) fn note_moved(
        &mut self,
        now_ms: u64,
        from: Option<NodeId>,
        stream: Option<&node_pb::StreamPlace>,
    ) {
        let Some(stream) = stream.filter(|stream| stream.moves_members) else { return };
        if let Some(from) = from {
            self.interest.expect(from, GroupId(stream.group_id));
        }
        self.interest.hasten();
        self.tell_interest(now_ms);
    }

    /// Says what has changed in that, and compares with the store who began to follow a moment ago.
    pub(super) fn tell_interest(&mut self, now_ms: u64) {
        if self.interest.is_due(now_ms) {
            let changes = self.node.streams.take_changes();
            let of = |is_followed: bool| -> Vec<GroupId> {
                let fitting = changes.iter().filter(|(_, now)| *now == is_followed);
                fitting.map(|(group, _)| *group).collect()
            };
            let begun = of(true);
            for node in self.peers.open().collect::<Vec<_>>() {
                for follows in interest::messages(&begun, &of(false), false) {
                    self.send(node, LinkFlow::Ordered(INTEREST_FLOW), Body::Follows(follows));
                }
            }
            begun.into_iter().for_each(|group| self.interest.note_told(now_ms, group));
        }
        while let Some(group) = self.interest.take_check(now_ms) {
            check_followers(&self.node, group, &mut self.inbound);
        }
    }
}
