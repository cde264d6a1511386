//! A link between two hosts: delay, jitter, loss, duplication, damage, all from one seed. Knows bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use aldis_rudp::Time;

/// Seeded random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// True so often of a thousand times.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

/// What the link does to datagrams, per mille where nothing else is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// One-way delay, nanoseconds.
    pub delay_ns: u64,
    /// Added to the delay, evenly distributed up to this: datagrams overtake each other.
    pub jitter_ns: u64,
    /// Lost.
    pub loss: u64,
    /// Delivered twice.
    pub duplicates: u64,
    /// One bit flipped.
    pub damage: u64,
    /// Whether nothing passes.
    pub is_cut: bool,
    /// Bytes of the largest datagram that passes; 0 for any.
    pub mtu: usize,
    /// Bytes per second, headers included; 0 for any number.
    pub rate: u64,
    /// Time that a datagram may wait for its turn before it is dropped, nanoseconds.
    pub queue_ns: u64,
    /// A datagram that has to wait longer is marked; 0 for never.
    pub mark_ns: u64,
}

/// A datagram on its way: when it arrives, its number, to which side, whether it is marked, its
/// bytes.
pub type Datagram = (Reverse<(u64, u64)>, usize, bool, Vec<u8>);

/// The link.
#[derive(Debug)]
pub struct Link {
    /// By direction: what side 0 sends, what side 1 sends.
    pub faults: [Faults; 2],
    dice: Dice,
    under_way: BinaryHeap<Datagram>,
    count: u64,
    busy_until: [u64; 2],
    /// Sum of the times that datagrams waited, and how many did, by direction.
    pub waited: [(u64, u64); 2],
}

impl Link {
    /// The same in both directions.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            faults: [faults; 2],
            dice: Dice(seed),
            under_way: BinaryHeap::new(),
            count: 0,
            busy_until: [0; 2],
            waited: [(0, 0); 2],
        }
    }

    /// A side sends.
    pub fn send(&mut self, now: Time, from: usize, bytes: &[u8]) {
        let faults = self.faults[from];
        if faults.is_cut || (faults.mtu > 0 && bytes.len() > faults.mtu) {
            return;
        }
        let Some((left, is_marked)) = self.wait(now.nanos(), from, bytes.len()) else { return };
        let copies = if self.dice.chance(faults.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.chance(faults.loss) {
                continue;
            }
            let mut bytes = bytes.to_vec();
            if self.dice.chance(faults.damage) {
                let bit = self.dice.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let at = left + faults.delay_ns + self.dice.below(faults.jitter_ns + 1);
            self.count += 1;
            self.under_way.push((Reverse((at, self.count)), 1 - from, is_marked, bytes));
        }
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<Time> {
        self.under_way.peek().map(|(Reverse((at, _)), ..)| Time(*at))
    }

    /// The next datagram that arrived by now: at which side, whether it is marked, its bytes.
    pub fn receive(&mut self, now: Time) -> Option<(usize, bool, Vec<u8>)> {
        if self.next()? > now {
            return None;
        }
        self.under_way.pop().map(|(_, to, is_marked, bytes)| (to, is_marked, bytes))
    }

    /// When a datagram has left the queue, and whether it is marked; `None` if it is dropped.
    fn wait(&mut self, now: u64, from: usize, len: usize) -> Option<(u64, bool)> {
        let faults = self.faults[from];
        if faults.rate == 0 {
            return Some((now, false));
        }
        let waits = self.busy_until[from].saturating_sub(now);
        if waits > faults.queue_ns {
            return None;
        }
        self.waited[from].0 += waits;
        self.waited[from].1 += 1;
        let takes = (len as u64 + 28) * 1_000_000_000 / faults.rate;
        self.busy_until[from] = self.busy_until[from].max(now) + takes;
        Some((self.busy_until[from], faults.mark_ns > 0 && waits > faults.mark_ns))
    }
}
