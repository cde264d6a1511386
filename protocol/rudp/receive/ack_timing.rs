//! When to acknowledge: at once when the sender may have to act, otherwise every few packets
//! (RFC 9000 13.2, draft-ietf-quic-ack-frequency). Knows no packet numbers.

use crate::receive::arrivals::Arrival;
use crate::time::{MILLISECOND, SECOND, Time};

/// Packets that one acknowledgement covers where nothing is amiss. It costs some 56 bytes, which
/// twelve messages of 300 bytes pay with less than two percent.
const PACKETS_MAX: u32 = 12;
/// Packets after which an acknowledgement rides along with data.
const PACKETS_TO_RIDE: u32 = 4;
/// An acknowledgement waits no longer than this; both sides reckon with it.
pub(crate) const ACK_DELAY_MAX_NS: u64 = 2 * MILLISECOND;
/// A path that did not reorder for so long is taken for one that does not.
const REORDERING_MEMORY_NS: u64 = 2 * SECOND;

/// The rules.
#[derive(Debug, Default)]
pub(crate) struct AckTiming {
    unreported: u32,
    deadline: Option<Time>,
    latest: Time,
    /// How late reordered packets are, and when the last one came.
    late_ns: u64,
    late_at: Time,
}

impl AckTiming {
    /// A packet came that the sender wants acknowledged, possibly at once.
    pub fn handle_packet(&mut self, now: Time, arrival: Arrival, is_ack_at_once: bool) {
        self.unreported += 1;
        let mut delay_ns = ACK_DELAY_MAX_NS;
        match arrival {
            Arrival::InOrder => self.latest = now,
            Arrival::Gap => {
                self.latest = now;
                delay_ns = self.reordering_delay_ns(now);
            }
            Arrival::Late(late_ns) => {
                self.note_late(now, late_ns);
                delay_ns = self.reordering_delay_ns(now);
            }
        }
        if is_ack_at_once || self.unreported >= PACKETS_MAX {
            delay_ns = 0;
        }
        let deadline = now.plus(delay_ns);
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    /// A packet came that nobody wants acknowledged.
    pub fn handle_quiet_packet(&mut self, now: Time, arrival: Arrival) {
        if !matches!(arrival, Arrival::Late(_)) {
            self.latest = now;
        }
    }

    /// When an acknowledgement is due.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Whether one should ride along with data that is sent anyway.
    pub fn is_worth_a_ride(&self, now: Time) -> bool {
        self.unreported >= PACKETS_TO_RIDE
            || self.deadline.is_some_and(|at| at <= now.plus(ACK_DELAY_MAX_NS / 2))
    }

    /// The time since the largest packet came.
    pub fn delay_ns(&self, now: Time) -> u64 {
        now.nanos_since(self.latest)
    }

    /// An acknowledgement of everything is on its way.
    pub fn handle_reported(&mut self) {
        self.unreported = 0;
        self.deadline = None;
    }

    fn note_late(&mut self, now: Time, late_ns: u64) {
        let remembered = if self.is_reordering(now) { self.late_ns } else { 0 };
        self.late_ns = late_ns.max(remembered - remembered / 64);
        self.late_at = now;
    }

    fn is_reordering(&self, now: Time) -> bool {
        self.late_ns > 0 && now.nanos_since(self.late_at) <= REORDERING_MEMORY_NS
    }

    /// On a path that reorders most gaps close by themselves, and the sender waits for that; a
    /// quarter of what it waits is early enough for it.
    fn reordering_delay_ns(&self, now: Time) -> u64 {
        if self.is_reordering(now) { (self.late_ns / 4).min(ACK_DELAY_MAX_NS) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_in_order_are_acknowledged_by_the_dozen_or_after_the_delay() {
        let mut timing = AckTiming::default();
        for count in 1..PACKETS_MAX {
            timing.handle_packet(Time(u64::from(count)), Arrival::InOrder, false);
            assert_eq!(timing.deadline(), Some(Time(1 + ACK_DELAY_MAX_NS)));
        }
        timing.handle_packet(Time(100), Arrival::InOrder, false);
        assert_eq!(timing.deadline(), Some(Time(100)));
        assert_eq!(timing.delay_ns(Time(103)), 3);
        timing.handle_reported();
        assert_eq!(timing.deadline(), None);
    }

    #[test]
    fn gaps_and_the_senders_wish_are_answered_at_once() {
        for (arrival, is_ack_at_once) in [(Arrival::Gap, false), (Arrival::InOrder, true)] {
            let mut timing = AckTiming::default();
            timing.handle_packet(Time(5), arrival, is_ack_at_once);
            assert_eq!(timing.deadline(), Some(Time(5)));
        }
    }

    #[test]
    fn where_packets_are_reordered_a_gap_waits_a_little() {
        let mut timing = AckTiming::default();
        timing.handle_packet(Time(0), Arrival::Late(4_000), false);
        timing.handle_reported();
        timing.handle_packet(Time(10), Arrival::Gap, false);
        assert_eq!(timing.deadline(), Some(Time(1_010)));
        timing.handle_reported();
        let later = Time(1 + REORDERING_MEMORY_NS);
        timing.handle_packet(later, Arrival::Gap, false);
        assert_eq!(timing.deadline(), Some(later));
    }

    #[test]
    fn packets_that_need_no_acknowledgement_cause_none() {
        let mut timing = AckTiming::default();
        timing.handle_quiet_packet(Time(5), Arrival::Gap);
        assert_eq!(timing.deadline(), None);
    }
}
