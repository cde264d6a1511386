//! How far packets are overtaken that come after all, in packets and in time, rare exceptions left
//! out. Knows no packets.
//!
//! Whoever takes a gap for a loss one packet too early acknowledges for nothing; whoever waits for
//! what happens once in some hundreds of packets, such as a packet overtaken by what was sent again
//! beside it, pays a packet's distance with every loss, which on a short path is a tenth of a round trip.

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

/// The largest values of an era, largest first.
#[derive(Clone, Copy, Debug)]
struct Largest([u64; EXCEPTIONS_MAX + 1]);

impl Default for Largest {
    fn default() -> Self {
        Self([0; EXCEPTIONS_MAX + 1])
    }
}

impl Largest {
    fn note(&mut self, value: u64) {
        let Self(values) = self;
        let place = values.partition_point(|larger| *larger >= value);
        if place < values.len() {
            values[place..].rotate_right(1);
            values[place] = value;
        }
    }

    /// The largest but for so many exceptions.
    fn but(&self, exceptions: usize) -> u64 {
        self.0[exceptions.min(EXCEPTIONS_MAX)]
    }
}

/// How far a packet was overtaken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// By how many packets.
    pub packets: u64,
    /// How long after the first of them it came.
    pub late_ns: u64,
}

/// See the file's head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overtaking {
    packets: Largest,
    late_ns: Largest,
    packet_count: u32,
    before: Extent,
    began: Time,
}

impl Overtaking {
    /// A packet came that was overtaken.
    pub fn note(&mut self, now: Time, extent: Extent) {
        self.pass(now);
        self.packets.note(extent.packets);
        self.late_ns.note(extent.late_ns);
    }

    /// A packet came.
    pub fn handle_packet(&mut self, now: Time) {
        self.pass(now);
        self.packet_count = self.packet_count.saturating_add(1);
    }

    /// How far one that comes is overtaken.
    pub fn extent(&self) -> Extent {
        let of_era = self.of_era();
        Extent {
            packets: of_era.packets.max(self.before.packets),
            late_ns: of_era.late_ns.max(self.before.late_ns),
        }
    }

    fn of_era(&self) -> Extent {
        let exceptions = match self.packets.but(0) {
            few if few <= EXCEPTED_MAX => (self.packet_count / PACKETS_PER_EXCEPTION) as usize,
            _ => 0,
        };
        Extent { packets: self.packets.but(exceptions), late_ns: self.late_ns.but(exceptions) }
    }

    fn pass(&mut self, now: Time) {
        let passed_ns = now.nanos_since(self.began);
        if passed_ns > ERA_NS {
            let before = if passed_ns > 2 * ERA_NS { Extent::default() } else { self.of_era() };
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
        overtaking.note(Time(0), Extent { packets: 50, late_ns: 7 });
        overtaking.note(Time(5), Extent { packets: 3, late_ns: 9 });
        overtaking.handle_packet(Time(ERA_NS + 1));
        assert_eq!(overtaking.extent(), Extent { packets: 50, late_ns: 9 });
        overtaking.handle_packet(Time(2 * ERA_NS + 2));
        assert_eq!(overtaking.extent(), Extent::default());
    }

    #[test]
    fn one_in_some_hundreds_is_an_exception_where_packets_are_overtaken_by_few() {
        for (distance, seen) in [(3, 1), (EXCEPTED_MAX + 1, EXCEPTED_MAX + 1)] {
            let mut overtaking = Overtaking::default();
            for packet in 0..4 * PACKETS_PER_EXCEPTION {
                overtaking.handle_packet(Time(0));
                let extent = |packets| Extent { packets, late_ns: 100 * packets };
                match packet % PACKETS_PER_EXCEPTION {
                    100 => overtaking.note(Time(0), extent(distance)),
                    other if other % 10 == 0 => overtaking.note(Time(0), extent(1)),
                    _ => {}
                }
            }
            assert_eq!(overtaking.extent(), Extent { packets: seen, late_ns: 100 * seen });
        }
    }
}
