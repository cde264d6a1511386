//! One datagram into a live endpoint: whatever its bytes, nothing panics, and unless it is authentic
//! nothing changes but a few bytes of an answer.
//!
//! The first byte of the input says in which mode the session is, from where the datagram comes, and
//! how it is made: from the bytes as they are, or from a genuine one that they change.

use std::net::SocketAddr;
use std::sync::Arc;

use aldis_rudp::{
    BootId, ClusterKey, ClusterKeys, Config, Endpoint, Event, Flow, Mode, NodeId, PeerId, Stats,
    Time,
};
use bytes::Bytes;

const MS: u64 = 1_000_000;
/// The first byte's bits.
const IS_SEALED: u8 = 1;
const IS_FROM_STRANGER: u8 = 2;
const IS_CHANGED_GENUINE: u8 = 4;
const IS_UNCHECKED: u8 = 8;
/// Bytes that may be answered for each byte of a datagram that proves nothing.
const AMPLIFICATION_MAX: usize = 3;

/// Two endpoints with a session, and messages and losses on their way.
struct Scene {
    ends: [Endpoint; 2],
    addresses: [SocketAddr; 2],
    peers: [Option<PeerId>; 2],
    /// What the first one sent last, not delivered.
    held_back: Vec<Vec<u8>>,
    now: u64,
}

impl Scene {
    fn new(is_sealed: bool) -> Self {
        let addresses = [1, 2].map(|host| SocketAddr::from(([10, 0, 0, host], 7_000)));
        let end = |node: u16| {
            let current = ClusterKey { id: 1, secret: [9; 32] };
            let mode = match is_sealed {
                true => Mode::Sealed(ClusterKeys { current, other: None }),
                false => Mode::Plain,
            };
            let mut config = Config::new(NodeId(node), BootId(u64::from(node)), mode);
            config.redundancy = true;
            Endpoint::new(Arc::new(config), [node as u8; 32])
        };
        let (ends, peers) = ([end(1), end(2)], [None; 2]);
        let mut scene = Self { ends, addresses, peers, held_back: Vec::new(), now: 0 };
        let address = scene.addresses[1];
        scene.ends[0].connect(Time(0), NodeId(2), address).expect("the first session");
        scene.exchange(6, 0);
        // Loss at first, so that repairs are sent, and something large under way.
        for round in 0..30 {
            for (end, peer) in scene.peers.into_iter().enumerate() {
                let peer = peer.expect("they are connected");
                let flow = if round % 2 == 0 { Flow::Unordered } else { Flow::Ordered(round) };
                let message = Bytes::from(vec![round as u8; 40 + 90 * round as usize]);
                scene.ends[end].send(Time(scene.now), peer, flow, message).expect("there is room");
            }
            scene.exchange(2, 3);
        }
        scene.held_back = scene.transmit(0);
        scene
    }

    fn transmit(&mut self, end: usize) -> Vec<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        while self.ends[end].poll_transmit(Time(self.now), &mut buffer).is_some() {
            all.push(std::mem::take(&mut buffer));
        }
        all
    }

    fn events(&mut self, end: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.ends[end].poll_event()).collect()
    }

    /// Some rounds of datagrams both ways, of which each `lost`th is lost.
    fn exchange(&mut self, rounds: usize, lost: usize) {
        for round in 0..rounds {
            self.now += MS;
            for end in 0..2 {
                if self.ends[end].poll_timeout().is_some_and(|at| at.0 <= self.now) {
                    self.ends[end].handle_timeout(Time(self.now));
                }
                let from = self.addresses[end];
                for (index, mut datagram) in self.transmit(end).into_iter().enumerate() {
                    if lost == 0 || (index + round) % lost > 0 {
                        self.ends[1 - end].handle_datagram(
                            Time(self.now),
                            from,
                            None,
                            &mut datagram,
                        );
                    }
                }
                for event in self.events(1 - end) {
                    if let Event::Connected { peer, .. } = event {
                        self.peers[1 - end] = Some(peer);
                    }
                }
            }
        }
    }

    fn stats(&self) -> Option<Stats> {
        self.peers[1].and_then(|peer| self.ends[1].stats(peer))
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let is_sealed = mode & IS_SEALED != 0;
    let mut scene = Scene::new(is_sealed);
    let mut datagram = bytes.to_vec();
    if mode & IS_CHANGED_GENUINE != 0 && !scene.held_back.is_empty() {
        let which = usize::from(bytes.first().copied().unwrap_or(0)) % scene.held_back.len();
        datagram = scene.held_back[which].clone();
        for change in bytes.get(1..).unwrap_or_default().chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
            let len = datagram.len();
            match datagram.get_mut(at) {
                Some(byte) => *byte ^= change[2],
                None => datagram.truncate(usize::from(change[2]).min(len)),
            }
        }
    }
    let from = match mode & IS_FROM_STRANGER {
        0 => scene.addresses[0],
        _ => SocketAddr::from(([10, 6, 6, 6], 666)),
    };
    let is_genuine = scene.held_back.contains(&datagram);
    scene.transmit(1);
    scene.events(1);
    let (before, len) = (scene.stats(), datagram.len());
    plant(mode & IS_UNCHECKED != 0 && !is_sealed);
    scene.ends[1].handle_datagram(Time(scene.now), from, None, &mut datagram);
    plant(false);
    scene.ends[1].invariants();
    let is_believed = is_genuine || mode & IS_UNCHECKED != 0 && !is_sealed;
    if !is_believed {
        assert_eq!(scene.stats(), before, "a datagram that is not authentic changed the session");
        assert_eq!(scene.events(1), [], "a datagram that is not authentic caused an event");
        let answered: usize = scene.transmit(1).iter().map(Vec::len).sum();
        assert!(answered <= AMPLIFICATION_MAX * len, "{answered} bytes for {len}");
    }
    // Life goes on, with what an unchecked datagram has done too.
    scene.exchange(20, 4);
    scene.ends.iter().for_each(Endpoint::invariants);
}

/// The bug that lets plain datagrams past their checksum needs a feature.
#[cfg(feature = "planted-bugs")]
fn plant(is_unchecked: bool) {
    use aldis_rudp::planted::{self, Bug};
    planted::plant(is_unchecked.then_some(Bug::NoChecksum));
}

#[cfg(not(feature = "planted-bugs"))]
fn plant(_: bool) {}
