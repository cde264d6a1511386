//! Which session of the link is the one with which node, and what the log says of them. Knows no
//! message.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aldis_logic::job::NodeId;
use aldis_rudp::{PeerId, Rejected};

/// Pause between two complaints about the same, so that a stranger cannot fill the log.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// See the file's first line. At most one session per node, and a node number has 10 bits.
#[derive(Debug, Default)]
pub struct Sessions {
    peers: HashMap<NodeId, PeerId>,
    nodes: HashMap<PeerId, NodeId>,
    /// Tries under way, and where to.
    tries: HashMap<PeerId, (NodeId, SocketAddr)>,
    complained: HashMap<NodeId, Instant>,
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
    pub fn remove(&mut self, peer: PeerId, how: &str) -> Option<NodeId> {
        if let Some((node, address)) = self.tries.remove(&peer) {
            self.complain(node, || {
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
    pub fn complain(&mut self, node: NodeId, what: impl FnOnce() -> String) {
        let now = Instant::now();
        let last = self.complained.get(&node);
        if last.is_none_or(|at| now.duration_since(*at) >= COMPLAINT_PAUSE) {
            self.complained.insert(node, now);
            log::warn!("{}", what());
        }
    }
}

/// What was dropped, for the log.
#[derive(Debug, Default)]
pub struct Strangers {
    said: Rejected,
    said_at: Option<Instant>,
}

impl Strangers {
    /// Looks at what was dropped since, and says it now and then.
    pub fn note(&mut self, now: Instant, rejected: Rejected) {
        let is_soon = |at: Instant| now.duration_since(at) < COMPLAINT_PAUSE;
        if rejected == self.said || self.said_at.is_some_and(is_soon) {
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
