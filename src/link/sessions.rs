//! Which session of the link is the one with which node, and what the log says of them. Knows no
//! message.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use aldis_logic::job::NodeId;
use aldis_rudp::{PeerId, Rejected, Time};

/// Pause between two complaints about the same, so that a stranger cannot fill the log. ns
const COMPLAINT_PAUSE_NS: u64 = 10_000_000_000;

/// See the file's first line. At most one session per node, and a node number has 10 bits.
#[derive(Debug, Default)]
pub struct Sessions {
    peers: BTreeMap<NodeId, PeerId>,
    nodes: BTreeMap<PeerId, NodeId>,
    /// Tries under way, and where to.
    tries: BTreeMap<PeerId, (NodeId, SocketAddr)>,
    complained: BTreeMap<NodeId, Time>,
}

impl Sessions {
    /// A try began.
    pub fn begin(&mut self, peer: PeerId, node: NodeId, address: SocketAddr) {
        self.tries.insert(peer, (node, address));
    }

    /// A session is up.
    pub fn insert(&mut self, peer: PeerId, node: NodeId) {
        self.tries.remove(&peer);
        self.complained.remove(&node);
        if let Some(before) = self.peers.insert(node, peer) {
            self.nodes.remove(&before);
        }
        self.nodes.insert(peer, node);
    }

    /// A session, or a try, is over: of which node, if the node has no other session.
    pub fn remove(&mut self, now: Time, peer: PeerId, how: &str) -> Option<NodeId> {
        if let Some((node, address)) = self.tries.remove(&peer) {
            self.complain(now, node, || {
                format!("node {} at {address} does not answer on the link", node.0)
            });
            return (!self.peers.contains_key(&node)).then_some(node);
        }
        let node = self.nodes.remove(&peer)?;
        if self.peers.get(&node) == Some(&peer) {
            self.peers.remove(&node);
            log::warn!("the link to node {} {how}", node.0);
            return Some(node);
        }
        None
    }

    /// The session with a node.
    pub fn peer(&self, node: NodeId) -> Option<PeerId> {
        self.peers.get(&node).copied()
    }

    /// The node of a session.
    pub fn node(&self, peer: PeerId) -> Option<NodeId> {
        self.nodes.get(&peer).copied()
    }

    /// The sessions with nodes.
    pub fn linked(&self) -> impl Iterator<Item = (NodeId, PeerId)> {
        self.peers.iter().map(|(node, peer)| (*node, *peer))
    }

    /// All sessions and tries.
    pub fn all(&self) -> Vec<PeerId> {
        self.nodes.keys().chain(self.tries.keys()).copied().collect()
    }

    /// A warning about a node, at most now and then.
    pub fn complain(&mut self, now: Time, node: NodeId, what: impl FnOnce() -> String) {
        let last = self.complained.get(&node);
        if last.is_none_or(|at| !is_soon(now, *at)) {
            self.complained.insert(node, now);
            log::warn!("{}", what());
        }
    }
}

/// What was dropped, for the log.
#[derive(Debug, Default)]
pub struct Strangers {
    said: Rejected,
    said_at: Option<Time>,
}

impl Strangers {
    /// Looks at what was dropped since, and says it now and then.
    pub fn note(&mut self, now: Time, rejected: Rejected) {
        if rejected == self.said || self.said_at.is_some_and(|at| is_soon(now, at)) {
            return;
        }
        let handshakes = rejected.handshakes - self.said.handshakes;
        if let Some(from) = rejected.handshake_from.filter(|_| handshakes > 0) {
            log::warn!(
                "{handshakes} datagrams from nodes that have another cluster key, or are no nodes, \
                 were dropped; the last one came from {from}. Is cluster.key the same there?"
            );
        }
        let forged = rejected.forged - self.said.forged;
        let replayed = rejected.replayed - self.said.replayed;
        let strangers = rejected.strangers - self.said.strangers;
        log::debug!(
            "the link dropped {forged} forged, {replayed} repeated, {strangers} stray datagrams"
        );
        if forged > 0 {
            log::warn!("{forged} datagrams that were forged or damaged were dropped");
        }
        (self.said, self.said_at) = (rejected, Some(now));
    }
}

fn is_soon(now: Time, at: Time) -> bool {
    now.0 < at.0 + COMPLAINT_PAUSE_NS
}
