//! The other nodes: where they are, whether the link reaches them, when to try again. Knows nothing
//! of what is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use aldis_wire::node_pb;

use crate::job::NodeId;

/// Versions of node.proto that this program speaks.
pub(super) const VERSION_MIN: u32 = 1;
/// See there.
pub(super) const VERSION_MAX: u32 = 1;
/// Pause after the first try that failed; doubled up to the other. A try takes some seconds by
/// itself. ms
const RETRY_MS_MIN: u64 = 100;
/// See there: a healed link is noticed within this and the interval of HELLO. ms
const RETRY_MS_MAX: u64 = 800;
/// Pause before a node is asked again that cannot be talked to. ms
const MISFIT_RETRY_MS: u64 = 30_000;
/// How long a node may be missing from what is announced. Two leases: a directory that lost
/// everything has them again by then. ms
const MISSING_MS_MAX: u64 = 10_000;
/// Nodes that are known; their numbers are 0 to 1023.
const PEERS_MAX: usize = 1_024;

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Which.
    pub node: NodeId,
    /// Of its link.
    pub address: SocketAddr,
}

/// Why a node cannot be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// No version in common.
    #[error(
        "it speaks versions {0} to {1} of node.proto, this node {VERSION_MIN} to {VERSION_MAX}"
    )]
    Version(u32, u32),
    /// Another store.
    #[error("it serves another store")]
    Store,
}

/// See the file's first line.
#[derive(Debug)]
pub(super) struct Peers {
    this: NodeId,
    store_epoch: u64,
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    /// `None`: it came by itself, and nobody announced it.
    address: Option<SocketAddr>,
    /// Named by the configuration.
    is_static: bool,
    /// When it was announced last, or came. ms
    seen_ms: u64,
    state: State,
    /// Tries that failed in a row.
    failures: u32,
    /// Deliveries to it were dropped, and nothing is sent until it takes messages again.
    is_blocked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down { retry_ms: u64 },
    Connecting,
    Greeting,
    Open,
}

impl Peers {
    /// With those that the configuration names.
    pub fn new(this: NodeId, store_epoch: u64, fixed: &[PeerAddress]) -> Self {
        let mut peers = Self { this, store_epoch, peers: BTreeMap::new() };
        for peer in fixed {
            if let Some(known) = peers.know(0, peer.node) {
                (known.address, known.is_static) = (Some(peer.address), true);
            }
        }
        peers
    }

    /// The nodes that are announced now. Those to close: they are missing for long.
    pub fn handle_announced(&mut self, now_ms: u64, announced: &[PeerAddress]) -> Vec<NodeId> {
        for peer in announced {
            let Some(known) = self.know(now_ms, peer.node) else { continue };
            known.seen_ms = now_ms;
            if known.is_static || known.address == Some(peer.address) {
                continue;
            }
            known.address = Some(peer.address);
            if matches!(known.state, State::Down { .. }) {
                (known.state, known.failures) = (State::Down { retry_ms: now_ms }, 0);
            }
        }
        let is_gone = |peer: &Peer| !peer.is_static && now_ms > peer.seen_ms + MISSING_MS_MAX;
        let mut gone = Vec::new();
        self.peers.retain(|node, peer| {
            if is_gone(peer) {
                gone.push(*node);
            }
            !is_gone(peer)
        });
        gone
    }

    /// Whom to connect to now.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<PeerAddress> {
        let mut due = Vec::new();
        for (&node, peer) in &mut self.peers {
            let (State::Down { retry_ms }, Some(address)) = (peer.state, peer.address) else {
                continue;
            };
            if retry_ms <= now_ms {
                peer.state = State::Connecting;
                due.push(PeerAddress { node, address });
            }
        }
        due
    }

    /// When `take_due` has something. ms
    pub fn poll_timeout(&self) -> Option<u64> {
        let retry = |peer: &Peer| match peer.state {
            State::Down { retry_ms } if peer.address.is_some() => Some(retry_ms),
            _ => None,
        };
        self.peers.values().filter_map(retry).min()
    }

    /// A session of the link is up. What it says first.
    pub fn handle_connected(
        &mut self,
        now_ms: u64,
        node: NodeId,
        release: &str,
    ) -> Option<node_pb::Hello> {
        let store_epoch = self.store_epoch;
        let peer = self.know(now_ms, node)?;
        (peer.state, peer.failures, peer.is_blocked) = (State::Greeting, 0, false);
        peer.seen_ms = peer.seen_ms.max(now_ms);
        Some(node_pb::Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            store_epoch,
            release: release.to_owned(),
        })
    }

    /// The node said hello. `Ok(true)`: it can be talked to from now on.
    pub fn handle_hello(
        &mut self,
        now_ms: u64,
        node: NodeId,
        hello: &node_pb::Hello,
    ) -> Result<bool, PeerFault> {
        let store_epoch = self.store_epoch;
        let Some(peer) = self.peers.get_mut(&node) else { return Ok(false) };
        if peer.state != State::Greeting {
            return Ok(false);
        }
        let (min, max) = (hello.version_min, hello.version_max);
        let fault = if min.max(VERSION_MIN) > max.min(VERSION_MAX) {
            PeerFault::Version(min, max)
        } else if hello.store_epoch != store_epoch {
            PeerFault::Store
        } else {
            peer.state = State::Open;
            return Ok(true);
        };
        peer.state = State::Down { retry_ms: now_ms + MISFIT_RETRY_MS };
        Err(fault)
    }

    /// The session of the link is over, or did not come about.
    pub fn handle_down(&mut self, now_ms: u64, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if matches!(peer.state, State::Down { .. }) {
            return;
        }
        let pause_ms = (RETRY_MS_MIN << peer.failures.min(8)).min(RETRY_MS_MAX);
        peer.failures += 1;
        peer.state = State::Down { retry_ms: now_ms + pause_ms };
    }

    /// It takes no more for now.
    pub fn handle_blocked(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.is_blocked = true;
        }
    }

    /// It takes messages again; says whether some were dropped.
    pub fn handle_writable(&mut self, node: NodeId) -> bool {
        self.peers.get_mut(&node).is_some_and(|peer| std::mem::take(&mut peer.is_blocked))
    }

    /// Whether something can be sent there, if only a word.
    pub fn is_open(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.state == State::Open)
    }

    /// Whether deliveries are sent there.
    pub fn takes_deliveries(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.state == State::Open && !peer.is_blocked)
    }

    /// Nodes that can be talked to.
    pub fn open(&self) -> impl Iterator<Item = NodeId> {
        let is_open = |(_, peer): &(&NodeId, &Peer)| peer.state == State::Open;
        self.peers.iter().filter(is_open).map(|(node, _)| *node)
    }

    fn know(&mut self, now_ms: u64, node: NodeId) -> Option<&mut Peer> {
        let is_new = !self.peers.contains_key(&node);
        if node == self.this || (is_new && self.peers.len() >= PEERS_MAX) {
            return None;
        }
        Some(self.peers.entry(node).or_insert_with(|| Peer {
            address: None,
            is_static: false,
            seen_ms: now_ms,
            state: State::Down { retry_ms: now_ms },
            failures: 0,
            is_blocked: false,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn at(node: NodeId, port: u16) -> PeerAddress {
        PeerAddress { node, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn hello(version_min: u32, version_max: u32, store_epoch: u64) -> node_pb::Hello {
        node_pb::Hello { version_min, version_max, store_epoch, release: String::new() }
    }

    fn open(peers: &mut Peers, now_ms: u64) {
        assert!(peers.handle_connected(now_ms, OTHER, "1").is_some());
        assert_eq!(peers.handle_hello(now_ms, OTHER, &hello(1, 1, 7)), Ok(true));
    }

    #[test]
    fn announced_nodes_are_connected_to_and_tried_again_ever_more_rarely() {
        let mut peers = Peers::new(THIS, 7, &[]);
        assert!(peers.handle_announced(0, &[at(THIS, 1), at(OTHER, 2)]).is_empty());
        let mut now_ms = 0;
        for pause_ms in [100, 200, 400, 800, 800] {
            assert_eq!(peers.take_due(now_ms), [at(OTHER, 2)]);
            assert_eq!(peers.take_due(now_ms), []);
            peers.handle_down(now_ms, OTHER);
            assert_eq!(peers.poll_timeout(), Some(now_ms + pause_ms));
            now_ms += pause_ms;
        }
        open(&mut peers, now_ms);
        assert!(peers.is_open(OTHER) && peers.poll_timeout().is_none());
        peers.handle_down(now_ms, OTHER);
        assert_eq!(peers.poll_timeout(), Some(now_ms + RETRY_MS_MIN));
    }

    #[test]
    fn a_node_that_is_long_missing_is_closed_unless_the_configuration_names_it() {
        let mut peers = Peers::new(THIS, 7, &[at(NodeId(3), 3)]);
        peers.handle_announced(0, &[at(OTHER, 2)]);
        open(&mut peers, 5);
        assert!(peers.handle_announced(MISSING_MS_MAX, &[]).is_empty());
        assert_eq!(peers.handle_announced(6 + MISSING_MS_MAX, &[]), [OTHER]);
        assert!(!peers.is_open(OTHER));
        assert_eq!(peers.take_due(1 << 30), [at(NodeId(3), 3)]);
    }

    #[test]
    fn a_node_of_another_store_or_without_a_common_version_is_not_talked_to() {
        for (said, fault) in [
            (hello(2, 3, 7), Some(PeerFault::Version(2, 3))),
            (hello(0, 0, 7), Some(PeerFault::Version(0, 0))),
            (hello(1, 2, 8), Some(PeerFault::Store)),
            (hello(0, 9, 7), None),
        ] {
            let mut peers = Peers::new(THIS, 7, &[]);
            peers.handle_announced(0, &[at(OTHER, 2)]);
            peers.take_due(0);
            peers.handle_connected(0, OTHER, "1");
            let answer = peers.handle_hello(0, OTHER, &said);
            assert_eq!(answer.err(), fault);
            assert_eq!(peers.is_open(OTHER), fault.is_none());
            peers.handle_down(1, OTHER);
            let retry_ms = peers.poll_timeout().unwrap();
            assert_eq!(retry_ms, if fault.is_some() { MISFIT_RETRY_MS } else { 1 + RETRY_MS_MIN });
        }
    }

    #[test]
    fn a_node_that_takes_no_more_gets_nothing_until_it_does() {
        let mut peers = Peers::new(THIS, 7, &[at(OTHER, 2)]);
        open(&mut peers, 0);
        assert!(peers.takes_deliveries(OTHER));
        peers.handle_blocked(OTHER);
        assert!(!peers.takes_deliveries(OTHER) && peers.is_open(OTHER));
        assert!(peers.handle_writable(OTHER) && !peers.handle_writable(OTHER));
        assert!(peers.takes_deliveries(OTHER));
    }
}
