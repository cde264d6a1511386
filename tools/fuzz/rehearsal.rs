//! Datagrams of a real link, from two endpoints in this process that know each other's key and nobody
//! else's: handshake, messages, acknowledgements, repairs. Nothing leaves the process.

use std::net::SocketAddr;
use std::sync::Arc;

use aldis_rudp::{
    BootId, ClusterKey, ClusterKeys, Config, Endpoint, Event, Flow, Mode, NodeId, PeerId, Time,
};
use bytes::Bytes;

const MS: u64 = 1_000_000;
/// Rounds of 1 ms: some handshakes and a few dozen messages.
const ROUNDS: u64 = 60;
/// Every so many datagrams is lost, so that there is something to repair.
const LOST: usize = 7;

/// How an endpoint of a stranger protects what it says: under a key that nobody has, or not at all.
pub fn mode(is_sealed: bool, secret: u8) -> Mode {
    let current = ClusterKey { id: 1, secret: [secret; 32] };
    match is_sealed {
        true => Mode::Sealed(ClusterKeys { current, other: None }),
        false => Mode::Plain,
    }
}

/// An endpoint that calls itself this node.
pub fn endpoint(node: u16, mode: Mode, seed: u8) -> Endpoint {
    let mut config = Config::new(NodeId(node), BootId(u64::from(seed) << 8 | 1), mode);
    config.redundancy = true;
    Endpoint::new(Arc::new(config), [seed; 32])
}

/// What it wants to send now.
pub fn transmits(end: &mut Endpoint, now: Time) -> Vec<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    while end.poll_transmit(now, &mut buffer).is_some() {
        all.push(std::mem::take(&mut buffer));
    }
    all
}

/// The datagrams of both ends, in their order.
pub fn captured(is_sealed: bool) -> Vec<Vec<u8>> {
    let addresses = [1, 2].map(|host| SocketAddr::from(([127, 0, 0, host], 7_000)));
    let mut ends = [1, 2].map(|node| endpoint(node, mode(is_sealed, 0xA5), node as u8));
    let mut peers: [Option<PeerId>; 2] = [None; 2];
    let mut all = Vec::new();
    // A handshake with somebody who is not known yet always begins.
    let _ = ends[0].connect(Time(0), NodeId(2), addresses[1]);
    for round in 0..ROUNDS {
        let now = Time(round * MS);
        for from in 0..2 {
            if ends[from].poll_timeout().is_some_and(|at| at <= now) {
                ends[from].handle_timeout(now);
            }
            if let Some(peer) = peers[from].filter(|_| round % 2 == 0) {
                let message = Bytes::from(vec![round as u8; 30 + 90 * (round as usize % 40)]);
                // A full window is no matter here.
                let _ = ends[from].send(now, peer, Flow::Ordered(round as u32 % 5), message);
            }
            for mut datagram in transmits(&mut ends[from], now) {
                all.push(datagram.clone());
                if all.len() % LOST != 0 || peers[0].is_none() {
                    ends[1 - from].handle_datagram(now, addresses[from], None, &mut datagram);
                }
            }
            while let Some(event) = ends[1 - from].poll_event() {
                if let Event::Connected { peer, .. } = event {
                    peers[1 - from] = Some(peer);
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_rehearsed_in_both_modes() {
        for is_sealed in [true, false] {
            let all = captured(is_sealed);
            assert!(all.len() > 40, "{}", all.len());
            assert!(all.iter().any(|datagram| datagram.starts_with(b"AR")));
            assert!(all.iter().any(|datagram| !datagram.starts_with(b"AR")));
        }
    }
}
