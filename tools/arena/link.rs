//! The network of a cell: both directions with the same pieces. Knows cells and pieces, no
//! transport.

use std::net::SocketAddr;

use aldis_netsim::{
    Bottleneck, Bursts, Corrupt, Delay, Duplicate, Jitter, Loss, Network, Order, Piece,
};

use crate::cell::{Cell, Defect, JitterKind, LossKind, Workload};

/// Length of a burst of loss, datagrams, on average.
const BURST_DATAGRAMS: f64 = 8.0;
/// Share of datagrams that have a defect.
const DEFECT_SHARE: f64 = 0.01;
/// A duplicate comes within this time.
const DOUBLE_NS_MAX: u64 = 1_000_000;
const NS_PER_MS: u64 = 1_000_000;
/// Rate and queue of the link under mixed messages.
const MIXED_LINK: (u64, u64) = (200_000_000, 100 * NS_PER_MS);

/// The bottleneck of a workload, as bits per second and length of the queue in ns.
pub fn bottleneck(workload: Workload) -> Option<(u64, u64)> {
    match workload {
        Workload::Small | Workload::Sparse | Workload::Idle => None,
        Workload::Mixed => Some(MIXED_LINK),
        Workload::Bulk { mbits, queue_ms } => {
            Some((u64::from(mbits) * 1_000_000, u64::from(queue_ms) * NS_PER_MS))
        }
        Workload::Beside(_) => Some((20_000_000, 100 * NS_PER_MS)),
    }
}

/// The network of a cell between clients and servers, all of which share one link each way.
pub fn network(cell: &Cell, seed: u64, pairs: &[(SocketAddr, SocketAddr)]) -> Network {
    let mut network = Network::new(seed);
    let (there, back) = (network.add_link(pieces(cell)), network.add_link(pieces(cell)));
    for (client, server) in pairs {
        network.route(*client, *server, there);
        network.route(*server, *client, back);
    }
    network
}

fn pieces(cell: &Cell) -> Vec<Box<dyn Piece>> {
    let mut pieces: Vec<Box<dyn Piece>> = Vec::new();
    if let Some((bits_per_s, queue_ns)) = bottleneck(cell.workload) {
        pieces.push(Box::new(Bottleneck::with_queue_ns(bits_per_s, queue_ns)));
    }
    match cell.loss {
        LossKind::Independent(0) | LossKind::Bursts(0) => {}
        LossKind::Independent(percent) => {
            pieces.push(Box::new(Loss::new(f64::from(percent) / 100.0)));
        }
        LossKind::Bursts(percent) => {
            let share = f64::from(percent) / 100.0;
            pieces.push(Box::new(Bursts::averaging(share, BURST_DATAGRAMS)));
        }
    }
    match cell.defect {
        Defect::Sound => {}
        Defect::Flipped => pieces.push(Box::new(Corrupt::new(DEFECT_SHARE))),
        Defect::Doubled => pieces.push(Box::new(Duplicate::new(DEFECT_SHARE, DOUBLE_NS_MAX))),
    }
    pieces.push(Box::new(Delay::new(cell.one_way_ns())));
    match cell.jitter {
        JitterKind::Steady => {}
        JitterKind::InOrder => pieces.push(Box::new(Jitter::new(cell.jitter_ns(), Order::Kept))),
        JitterKind::Reordered => pieces.push(Box::new(Jitter::new(cell.jitter_ns(), Order::Free))),
    }
    pieces
}
