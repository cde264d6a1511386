//! The datagrams between the nodes: one way for each direction between two of them, made of the pieces
//! of tools/netsim. Knows ways and their weather, no node and no byte of what is carried.

use std::net::SocketAddr;

use aldis_netsim::{
    Bursts, Cause, Corrupt, Datagram, Delay, Duplicate, Fate, Forgery, Jitter, Loss, Network,
    Order, Partition, Piece, Reorder, Replay, Spoof,
};

use crate::agenda::{Agenda, Event};
use crate::coverage::Coverage;
use crate::dice::Dice;

/// UDP port of all nodes.
const PORT: u16 = 7_701;
/// Where forged datagrams come from.
const ATTACKER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 6, 6, 6)), 666);
/// Datagrams that somebody on the way keeps.
const KEPT_MAX: usize = 64;
const MS: u64 = 1_000_000;

/// What a way does to datagrams, besides the time it takes.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// Nothing passes.
    pub is_cut: bool,
    pub loss: f64,
    /// Share that is lost in bursts, and their length.
    pub bursts: Option<(f64, f64)>,
    pub duplicates: f64,
    pub reordered: f64,
    pub flips: f64,
    pub replays: f64,
    pub jitter_ns: u64,
    /// Somebody forges.
    pub is_attacked: bool,
}

impl Weather {
    /// Some bad one.
    pub fn bad(dice: &mut Dice, may_be_attacked: bool) -> Self {
        let share = |dice: &mut Dice, most: u64| {
            if dice.chance(500) { dice.range(1, most) as f64 / 1_000.0 } else { 0.0 }
        };
        Self {
            is_cut: false,
            loss: share(dice, 400),
            bursts: dice.chance(300).then(|| {
                let length = 1.0 + dice.range(0, 100) as f64 / 10.0;
                (dice.range(10, 300) as f64 / 1_000.0, length)
            }),
            duplicates: share(dice, 300),
            reordered: share(dice, 300),
            flips: share(dice, 200),
            replays: share(dice, 200),
            jitter_ns: if dice.chance(500) { dice.range(0, 30) * MS } else { 0 },
            is_attacked: may_be_attacked && dice.chance(300),
        }
    }

    fn pieces(&self, one_way_ns: u64) -> Vec<Box<dyn Piece>> {
        let mut pieces: Vec<Box<dyn Piece>> = Vec::new();
        if self.is_cut {
            pieces.push(Box::new(Partition::new(std::iter::once(0..u64::MAX).collect())));
        }
        pieces.push(Box::new(Loss::new(self.loss)));
        if let Some((share, length)) = self.bursts {
            pieces.push(Box::new(Bursts::averaging(share, length)));
        }
        pieces.push(Box::new(Corrupt::new(self.flips)));
        pieces.push(Box::new(Duplicate::new(self.duplicates, 50 * MS)));
        pieces.push(Box::new(Replay::new(self.replays, KEPT_MAX, 1_000 * MS)));
        if self.is_attacked {
            for forgery in
                [Forgery::Source(ATTACKER), Forgery::Flipped, Forgery::Truncated, Forgery::Noise]
            {
                pieces.push(Box::new(Spoof::new(0.03, forgery, 20 * MS)));
            }
        }
        pieces.push(Box::new(Delay::new(one_way_ns)));
        pieces.push(Box::new(Reorder::new(self.reordered, 3 * one_way_ns)));
        pieces.push(Box::new(Jitter::new(self.jitter_ns, Order::Free)));
        pieces
    }
}

/// See the file's first line.
#[derive(Debug)]
pub struct Wire {
    network: Network,
    one_way_ns: u64,
    node_count: usize,
    planned_us: Option<u64>,
}

impl Wire {
    /// Good ways between so many nodes.
    pub fn new(seed: u64, node_count: usize, one_way_ns: u64) -> Self {
        let network = Network::forgetful(seed);
        let mut wire = Self { network, one_way_ns, node_count, planned_us: None };
        wire.heal();
        wire
    }

    /// Where a node is, in all of its lives.
    pub fn address(node: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 1, node as u8 + 1], PORT))
    }

    /// All ways are good from now on; what is under way goes on as it is.
    pub fn heal(&mut self) {
        for from in 0..self.node_count {
            for to in (0..self.node_count).filter(|to| *to != from) {
                self.set(from, to, &Weather::default());
            }
        }
    }

    /// The weather of a way from now on.
    pub fn set(&mut self, from: usize, to: usize, weather: &Weather) {
        let link = self.network.add_link(weather.pieces(self.one_way_ns));
        self.network.route(Self::address(from), Self::address(to), link);
    }

    /// Puts a datagram on its way.
    pub fn send(&mut self, agenda: &mut Agenda, coverage: &mut Coverage, datagram: Datagram) {
        coverage.hit("wire: datagram sent");
        self.network.send(agenda.now_us() * 1_000, datagram);
        self.note(coverage);
        self.plan(agenda);
    }

    /// The next datagram that has arrived by now, and at which node.
    pub fn poll(
        &mut self,
        agenda: &mut Agenda,
        coverage: &mut Coverage,
    ) -> Option<(usize, Datagram)> {
        self.planned_us = self.planned_us.filter(|at_us| *at_us > agenda.now_us());
        let datagram = self.network.poll(agenda.now_us() * 1_000);
        self.note(coverage);
        let Some(datagram) = datagram else {
            self.plan(agenda);
            return None;
        };
        let node = (0..self.node_count).find(|node| Self::address(*node) == datagram.to)?;
        Some((node, datagram))
    }

    fn plan(&mut self, agenda: &mut Agenda) {
        let Some(at_ns) = self.network.next_at_ns() else { return };
        let at_us = at_ns.div_ceil(1_000);
        if self.planned_us.is_none_or(|planned_us| at_us < planned_us) {
            self.planned_us = Some(at_us);
            agenda.at(at_us, Event::Wire);
        }
    }

    fn note(&mut self, coverage: &mut Coverage) {
        while let Some(record) = self.network.poll_ended() {
            match record.fate {
                Fate::Dropped(Cause::Loss) => coverage.hit("wire: datagram lost"),
                Fate::Dropped(Cause::Partition) => coverage.hit("wire: datagram cut off"),
                _ => {}
            }
            if record.is_copy {
                coverage.hit("wire: datagram repeated or forged");
            }
            if record.is_altered {
                coverage.hit("wire: datagram corrupted");
            }
        }
    }
}
