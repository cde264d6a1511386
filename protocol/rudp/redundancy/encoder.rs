//! The sender's side: which datagrams the next repair covers, and its bytes. Knows no loss rate.

use std::collections::VecDeque;

use super::gf256::add_multiple;
use super::symbol::{self, PREFIX_BYTES};
use super::{SPAN, WINDOW_MAX, coefficient};
use crate::time::{MILLISECOND, Time};
use crate::wire::varint;

pub(crate) use super::symbol::Content;

/// Where no further datagram comes, a repair follows the last one after this: far enough that a
/// short burst of losses does not take both.
const SPACING_NS: u64 = MILLISECOND;
/// Bytes that a repair takes besides the longest of the frames it covers: type, distance, map,
/// prefix.
pub(crate) const REPAIR_OVERHEAD: usize = 1 + 2 + 1 + SPAN as usize / 8 + PREFIX_BYTES;

#[derive(Debug, Default)]
struct Source {
    number: u64,
    symbol: Vec<u8>,
}

/// The window over the datagrams that were sent.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    sources: VecDeque<Source>,
    /// Datagrams since the last repair, and when the last one was sent.
    unprotected: u32,
    /// Part of a datagram by which the last repair came too late.
    carry: f64,
    latest: Time,
    sum: Vec<u8>,
}

impl Encoder {
    /// A datagram is sent that should be protected.
    pub fn push(&mut self, now: Time, number: u64, content: &Content<'_>) {
        let mut source = match self.sources.len() >= WINDOW_MAX {
            true => self.sources.pop_front().expect("the window is full"),
            false => Source::default(),
        };
        source.number = number;
        symbol::write(&mut source.symbol, content);
        self.sources.push_back(source);
        self.unprotected += 1;
        self.latest = now;
    }

    /// Whether a repair is due if one is to follow so many datagrams.
    pub fn is_due(&self, now: Time, interval: f64) -> bool {
        self.late_by(interval) >= 0.0 || self.deadline().is_some_and(|at| at <= now)
    }

    /// Datagrams that were sent since a repair was due, at intervals that need not be whole numbers.
    fn late_by(&self, interval: f64) -> f64 {
        f64::from(self.unprotected) + self.carry - interval
    }

    /// When a repair is due although no further datagram is sent.
    pub fn deadline(&self) -> Option<Time> {
        (self.unprotected > 0).then(|| self.latest.plus(SPACING_NS))
    }

    /// Appends the repair with this packet number. It covers what is still `missing` at the
    /// receiver for all we know; false if that is nothing.
    pub fn put_repair(
        &mut self,
        repair: u64,
        interval: f64,
        missing: impl Fn(u64) -> bool,
        out: &mut Vec<u8>,
    ) -> bool {
        self.carry = self.late_by(interval).clamp(0.0, 1.0);
        self.unprotected = 0;
        let Some(last) =
            self.sources.iter().rev().map(|source| source.number).find(|n| missing(*n))
        else {
            return false;
        };
        let mut map = 0u64;
        self.sum.clear();
        for source in &self.sources {
            if source.number <= last && last - source.number < SPAN && missing(source.number) {
                map |= 1 << (last - source.number);
                let factor = coefficient(repair, source.number);
                add_multiple(&mut self.sum, &source.symbol, factor);
            }
        }
        varint::put(out, repair - last);
        let map_bytes = (64 - map.leading_zeros()).div_ceil(8) as usize;
        out.push(map_bytes as u8);
        out.extend_from_slice(&map.to_le_bytes()[..map_bytes]);
        out.extend_from_slice(&self.sum);
        true
    }

    /// Nothing is protected any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        let symbols: usize = self.sources.iter().map(|source| source.symbol.capacity()).sum();
        symbols + self.sources.capacity() * size_of::<Source>() + self.sum.capacity()
    }
}
