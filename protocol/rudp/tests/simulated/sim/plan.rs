//! What a seed means: links, their impairments, restarts, loads and settings. Knows nothing of how
//! it is carried out.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use aldis_netsim::{
    Bottleneck, BottleneckConfig, Bursts, Corrupt, Delay, Duplicate, Forgery, Jitter, Loss, Mtu,
    Order, Partition, Piece, Replay, Rng, Spoof,
};
use aldis_rudp::{
    BootId, ClusterKey, ClusterKeys, Config, ControllerKind, Flow, MESSAGE_BYTES_MAX, Mode, NodeId,
};

use super::content::BYTES_MIN;
use super::hostile::{Kind, Tally};
use super::{MS, SECOND};

/// The network is bad until then.
pub const HEALED_NS: u64 = 4 * SECOND;
/// Messages are sent until then: some are under way when the network heals.
const LOAD_NS: u64 = HEALED_NS - 100 * MS;
/// Silence after which a peer is lost: short, so that losing it is simulated too.
pub const LOST_AFTER: Duration = Duration::from_secs(3);
/// A replayed datagram comes so long after the one whose passage caused it, at most.
pub const REPLAY_NS_MAX: u64 = SECOND;
/// Where forged datagrams come from.
pub const ATTACKER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 6, 6, 6)), 666);

/// Forged datagrams of a kind for each real one, from a nuisance to a flood.
const FORGED_SHARES: [f64; 3] = [0.03, 0.3, 1.0];

/// Something that a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Its process dies and starts again.
    Restart,
    /// It closes its session.
    Close,
    /// It sends a message of so many bytes.
    Send(Flow, usize),
}

/// One direction of the network.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    loss: f64,
    bursts: Option<(f64, f64)>,
    duplicates: f64,
    flips: f64,
    bottleneck: Option<BottleneckConfig>,
    mtu: Option<u64>,
    jitter: Option<(u64, Order)>,
    cuts: Vec<Range<u64>>,
    replays: f64,
    /// With the share of datagrams that each is made of.
    forgeries: Vec<(Forgery, f64)>,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// It follows from this.
    pub seed: u64,
    /// Bare delay of one way, ns.
    pub one_way_ns: u64,
    /// From the first host to the second, and back.
    pub links: [LinkPlan; 2],
    /// Deeds as (time, host, deed), by time.
    pub deeds: Vec<(u64, usize, Deed)>,
    /// Sessions may be lost: somebody restarts, closes, or is cut off for long.
    pub may_end: bool,
    is_sealed: bool,
    redundancy: bool,
    controller: ControllerKind,
    buffer_bytes: usize,
}

impl Plan {
    /// Of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        // Most delays are those of data centres and continents; a few are anything.
        let one_way_ns = match rng.below(4) {
            0 => rng.between(20_000, MS),
            1 | 2 => rng.between(MS, 20 * MS),
            _ => rng.between(20 * MS, 100 * MS),
        };
        let is_sealed = rng.chance(0.7);
        let mut links =
            [link(&mut rng, one_way_ns, is_sealed), link(&mut rng, one_way_ns, is_sealed)];
        let is_cut_long = cut(&mut rng, &mut links);
        let mut deeds = load(&mut rng);
        let mut ends = 0;
        for (deed, chance) in [(Deed::Restart, 0.25), (Deed::Restart, 0.1), (Deed::Close, 0.1)] {
            if rng.chance(chance) {
                let at_ns = rng.between(100 * MS, LOAD_NS);
                deeds.push((at_ns, rng.below(2) as usize, deed));
                ends += 1;
            }
        }
        deeds.sort_by_key(|(at_ns, ..)| *at_ns);
        let controller = *pick(&mut rng, &[ControllerKind::Model, ControllerKind::Cubic]);
        // Where congestion is met with loss alone, random loss can make a peer look dead.
        Self {
            seed,
            one_way_ns,
            links,
            deeds,
            may_end: ends > 0 || is_cut_long,
            is_sealed,
            redundancy: rng.chance(0.4),
            controller,
            buffer_bytes: *pick(&mut rng, &[0, 4 << 20, 16 << 20]),
        }
    }

    /// Settings of a host's endpoint in a life of it.
    pub fn config(&self, host: usize, life: u64) -> Config {
        let current = ClusterKey { id: 1, secret: [9; 32] };
        let mode = match self.is_sealed {
            true => Mode::Sealed(ClusterKeys { current, other: None }),
            false => Mode::Plain,
        };
        let boot = BootId(Rng::new(self.seed ^ (life << 8) ^ host as u64).next_u64());
        let mut config = Config::new(NodeId(host as u16 + 1), boot, mode);
        config.redundancy = self.redundancy;
        config.controller = self.controller;
        config.lost_after = LOST_AFTER;
        // Nothing is the least that the endpoint allows.
        config.send_bytes_max = self.buffer_bytes;
        config.receive_bytes_max = self.buffer_bytes;
        config
    }

    /// The pieces of a direction while the network is bad.
    pub fn pieces(&self, direction: usize, tally: &Tally) -> Vec<Box<dyn Piece>> {
        let plan = &self.links[direction];
        let mut pieces: Vec<Box<dyn Piece>> = vec![Box::new(Partition::new(plan.cuts.clone()))];
        if let Some(config) = plan.bottleneck {
            pieces.push(Box::new(Bottleneck::new(config)));
        }
        if let Some(bytes) = plan.mtu {
            pieces.push(Box::new(Mtu::new(bytes)));
        }
        pieces.push(Box::new(Loss::new(plan.loss)));
        if let Some((share, length)) = plan.bursts {
            pieces.push(Box::new(Bursts::averaging(share, length)));
        }
        pieces.push(tally.counting(Kind::Flipped, Corrupt::new(plan.flips)));
        pieces.push(Box::new(Duplicate::new(plan.duplicates, 50 * MS)));
        pieces.push(tally.counting(Kind::Replayed, Replay::new(plan.replays, 64, REPLAY_NS_MAX)));
        for (forgery, share) in &plan.forgeries {
            let kind = match forgery {
                Forgery::Source(_) | Forgery::Noise => Kind::Forged,
                Forgery::Flipped => Kind::Flipped,
                Forgery::Truncated => Kind::Truncated,
            };
            pieces.push(tally.counting(kind, Spoof::new(*share, *forgery, 20 * MS)));
        }
        pieces.push(Box::new(Delay::new(self.one_way_ns)));
        if let Some((extra_ns, order)) = plan.jitter {
            pieces.push(Box::new(Jitter::new(extra_ns, order)));
        }
        pieces
    }
}

fn link(rng: &mut Rng, one_way_ns: u64, is_sealed: bool) -> LinkPlan {
    let jitter_ns = rng.between(0, one_way_ns);
    let order = *pick(rng, &[Order::Kept, Order::Free]);
    let bottleneck = BottleneckConfig {
        bits_per_s: rng.between(2_000_000, 100_000_000),
        queue_bytes_max: rng.between(15_000, 200_000),
        mark_bytes: rng.chance(0.5).then_some(10_000),
    };
    let forgeries =
        [Forgery::Source(ATTACKER), Forgery::Flipped, Forgery::Truncated, Forgery::Noise];
    // A checksum is no defence against forgery, only against damage.
    let mut attack = |forgery| {
        let share = *pick(rng, &FORGED_SHARES);
        (is_sealed && rng.chance(0.25)).then_some((forgery, share))
    };
    let forgeries = forgeries.into_iter().filter_map(&mut attack).collect();
    LinkPlan {
        loss: *pick(rng, &[0.0, 0.0, 0.001, 0.01, 0.05, 0.1, 0.2]),
        bursts: rng.chance(0.2).then(|| (rng.unit() * 0.1, 1.0 + rng.unit() * 10.0)),
        duplicates: *pick(rng, &[0.0, 0.0, 0.01, 0.2]),
        flips: *pick(rng, &[0.0, 0.0, 0.01, 0.1]),
        bottleneck: rng.chance(0.3).then_some(bottleneck),
        mtu: rng.chance(0.3).then(|| rng.between(1_228, 1_500)),
        jitter: rng.chance(0.4).then_some((jitter_ns, order)),
        cuts: Vec::new(),
        replays: *pick(rng, &[0.0, 0.0, 0.01, 0.1, 1.0]),
        forgeries,
    }
}

/// Cuts one way or both; whether one is so long that a peer may be lost.
fn cut(rng: &mut Rng, links: &mut [LinkPlan; 2]) -> bool {
    let mut is_long = false;
    for _ in 0..rng.below(3) {
        let length_ns =
            if rng.chance(0.2) { rng.between(SECOND, 4 * SECOND) } else { rng.below(SECOND) };
        // Losing a peer takes its time of silence; some of it can come from what else is bad.
        is_long |= length_ns > SECOND;
        let from_ns = rng.below(HEALED_NS);
        let cut = from_ns..from_ns + length_ns;
        match rng.below(3) {
            0 => links[0].cuts.push(cut),
            1 => links[1].cuts.push(cut),
            _ => links.iter_mut().for_each(|link| link.cuts.push(cut.clone())),
        }
    }
    is_long
}

/// Messages of both hosts: steady, in bursts, small ones, and at times a large one.
fn load(rng: &mut Rng) -> Vec<(u64, usize, Deed)> {
    let mut deeds = Vec::new();
    for host in 0..2 {
        let flow_count = rng.between(1, 8);
        let bursts = rng.between(1, 25);
        for _ in 0..bursts {
            let at_ns = rng.below(LOAD_NS);
            for _ in 0..rng.between(1, 8) {
                let flow = match rng.below(flow_count + 1) {
                    0 => Flow::Unordered,
                    number => Flow::Ordered(number as u32),
                };
                let bytes = match rng.below(100) {
                    0..80 => rng.between(BYTES_MIN as u64, 600),
                    80..99 => rng.between(600, 8_000),
                    _ => rng.between(8_000, MESSAGE_BYTES_MAX as u64 / 8),
                };
                deeds.push((at_ns, host, Deed::Send(flow, bytes as usize)));
            }
        }
    }
    if rng.chance(0.05) {
        let deed = Deed::Send(Flow::Ordered(1), MESSAGE_BYTES_MAX);
        deeds.push((rng.below(LOAD_NS), rng.below(2) as usize, deed));
    }
    deeds
}

fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.below(choices.len() as u64) as usize]
}
