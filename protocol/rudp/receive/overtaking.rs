//! How far packets are overtaken that come after all, rare exceptions left out. Knows no packets.
//!
//! Whoever takes a gap for a loss one packet too early acknowledges for nothing; whoever waits for
//! what happens once in some hundreds of packets, such as a packet overtaken by what was sent again beside
//! it, pays a packet's distance with every loss, which on a short path is a tenth of a round trip.

use crate::time::{SECOND, Time};

/// Packets are remembered for one to two of these.
const ERA_NS: u64 = SECOND;
/// One exception for so many packets.
const PACKETS_PER_EXCEPTION: u32 = 256;
/// Exceptions in an era, at most.
const EXCEPTIONS_MAX: usize = 32;
/// Where packets are overtaken by more than this there are no exceptions: one packet more is little
/// there, and telling a loss before the sender believes it has to be done twice.
const EXCEPTED_MAX: u64 = 8;

/// See the file's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overtaking {
    /// The farthest of this era, farthest first.
    farthest: [u64; EXCEPTIONS_MAX + 1],
    packet_count: u32,
    before: u64,
    began: Time,
}

impl Default for Overtaking {
    fn default() -> Self {
        let farthest = [0; EXCEPTIONS_MAX + 1];
        Self { farthest, packet_count: 0, before: 0, began: Time::ZERO }
    }
}

impl Overtaking {
    /// A packet came that was overtaken by so many.
    pub fn note(&mut self, now: Time, distance: u64) {
        self.pass(now);
        let place = self.farthest.partition_point(|farther| *farther >= distance);
        if place < self.farthest.len() {
            self.farthest[place..].rotate_right(1);
            self.farthest[place] = distance;
        }
    }

    /// A packet came.
    pub fn handle_packet(&mut self, now: Time) {
        self.pass(now);
        self.packet_count = self.packet_count.saturating_add(1);
    }

    /// By how many packets one that comes is overtaken.
    pub fn distance(&self) -> u64 {
        self.of_era().max(self.before)
    }

    fn of_era(&self) -> u64 {
        let exceptions = (self.packet_count / PACKETS_PER_EXCEPTION) as usize;
        match self.farthest[0] {
            few if few <= EXCEPTED_MAX => self.farthest[exceptions.min(EXCEPTIONS_MAX)],
            many => many,
        }
    }

    fn pass(&mut self, now: Time) {
        let passed_ns = now.nanos_since(self.began);
        if passed_ns > ERA_NS {
            let before = if passed_ns > 2 * ERA_NS { 0 } else { self.of_era() };
            *self = Self { before, began: now, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_is_remembered_for_an_era_and_not_for_two() {
        let mut overtaking = Overtaking::default();
        overtaking.note(Time(0), 50);
        overtaking.note(Time(5), 3);
        overtaking.handle_packet(Time(ERA_NS + 1));
        assert_eq!(overtaking.distance(), 50);
        overtaking.handle_packet(Time(2 * ERA_NS + 2));
        assert_eq!(overtaking.distance(), 0);
    }

    #[test]
    fn one_in_some_hundreds_is_an_exception_where_packets_are_overtaken_by_few() {
        for (distance, seen) in [(3, 1), (EXCEPTED_MAX + 1, EXCEPTED_MAX + 1)] {
            let mut overtaking = Overtaking::default();
            for packet in 0..4 * PACKETS_PER_EXCEPTION {
                overtaking.handle_packet(Time(0));
                match packet % PACKETS_PER_EXCEPTION {
                    100 => overtaking.note(Time(0), distance),
                    other if other % 10 == 0 => overtaking.note(Time(0), 1),
                    _ => {}
                }
            }
            assert_eq!(overtaking.distance(), seen);
        }
    }
}
