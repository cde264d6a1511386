//! When to acknowledge: at once when the sender may have to act, otherwise every few packets
//! (RFC 9000 13.2, draft-ietf-quic-ack-frequency). Knows no packet numbers.

use crate::time::{MILLISECOND, SECOND, Time};

/// Packets that one acknowledgement covers where nothing is amiss. It costs some 56 bytes, which
/// twelve messages of 300 bytes pay with less than two percent.
const PACKETS_MAX: u32 = 12;
/// The same while packets are lost: acknowledgements are lost too, several in a row where losses come
/// in bursts, and until the next one comes nobody knows.
const PACKETS_MAX_LOSSY: u32 = 5;
/// A path lost nothing of late if it did not for so long.
const LOSS_MEMORY_NS: u64 = SECOND;
/// Packets after which an acknowledgement rides along with data.
const PACKETS_TO_RIDE: u32 = 4;
/// An acknowledgement waits no longer than this; both sides reckon with it.
pub(crate) const ACK_DELAY_MAX_NS: u64 = 2 * MILLISECOND;
/// Acknowledgements at once after that of a loss: where packets are lost acknowledgements are too,
/// and the next ordinary one would cost a short path a round trip.
const LOSS_ECHOES: u32 = 1;
/// The same where packets overtake each other: the first of several to arrive is little delayed.
const LOSS_ECHOES_REORDERED: u32 = 3;
/// The same where losses come in bursts, as a multiple of their length: on the way back a burst
/// takes that many acknowledgements, however far apart they are.
const LOSS_ECHOES_PER_BURST: f64 = 3.0;

/// Why a packet should be acknowledged at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Urgency {
    /// It shows that others are lost.
    pub is_loss: bool,
    /// Packets overtake each other on this path.
    pub is_reordered: bool,
    /// The length of a burst of losses on average, where they come in bursts.
    pub burst: Option<f64>,
    /// Its sender asks for that, or sent it again.
    pub is_asked_for: bool,
}

/// The rules.
#[derive(Debug, Default)]
pub(crate) struct AckTiming {
    unreported: u32,
    deadline: Option<Time>,
    latest: Time,
    echoes: u32,
    lost_at: Option<Time>,
}

impl AckTiming {
    /// A packet came that the sender wants acknowledged, possibly at once.
    pub fn handle_packet(&mut self, now: Time, is_newest: bool, urgency: Urgency) {
        self.handle_quiet_packet(now, is_newest);
        self.unreported += 1;
        let is_echo = self.echoes > 0;
        self.echoes = self.echoes.saturating_sub(1);
        if urgency.is_loss {
            self.note_loss(now, urgency);
        }
        let is_lossy = self.lost_at.is_some_and(|at| now.nanos_since(at) <= LOSS_MEMORY_NS);
        // Where packets overtake each other acknowledgements are long, and some losses are none.
        let packets_max =
            if is_lossy && !urgency.is_reordered { PACKETS_MAX_LOSSY } else { PACKETS_MAX };
        let is_now = urgency.is_loss || urgency.is_asked_for || is_echo;
        let delay_ns = if is_now || self.unreported >= packets_max { 0 } else { ACK_DELAY_MAX_NS };
        let deadline = now.plus(delay_ns);
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    /// Time showed that packets are lost, and no packet.
    pub fn handle_loss(&mut self, now: Time, urgency: Urgency) {
        self.note_loss(now, urgency);
        self.deadline = Some(now);
    }

    /// A packet came that nobody wants acknowledged.
    pub fn handle_quiet_packet(&mut self, now: Time, is_newest: bool) {
        if is_newest {
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

    fn note_loss(&mut self, now: Time, urgency: Urgency) {
        self.lost_at = Some(now);
        let least = if urgency.is_reordered { LOSS_ECHOES_REORDERED } else { LOSS_ECHOES };
        let of_burst = urgency.burst.map_or(0.0, |burst| burst * LOSS_ECHOES_PER_BURST);
        self.echoes = self.echoes.max(least).max(of_burst as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_in_order_are_acknowledged_by_the_dozen_or_after_the_delay() {
        let mut timing = AckTiming::default();
        for count in 1..PACKETS_MAX {
            timing.handle_packet(Time(u64::from(count)), true, Urgency::default());
            assert_eq!(timing.deadline(), Some(Time(1 + ACK_DELAY_MAX_NS)));
        }
        timing.handle_packet(Time(100), true, Urgency::default());
        assert_eq!(timing.deadline(), Some(Time(100)));
        assert_eq!(timing.delay_ns(Time(103)), 3);
        timing.handle_reported();
        assert_eq!(timing.deadline(), None);
    }

    #[test]
    fn losses_are_told_at_once_and_again_and_wishes_once() {
        let loss = Urgency { is_loss: true, ..Urgency::default() };
        let wish = Urgency { is_asked_for: true, ..Urgency::default() };
        for (urgency, echoes) in [(loss, LOSS_ECHOES), (wish, 0)] {
            let mut timing = AckTiming::default();
            timing.handle_packet(Time(5), true, urgency);
            assert_eq!(timing.deadline(), Some(Time(5)));
            for _ in 0..echoes {
                timing.handle_reported();
                timing.handle_packet(Time(6), true, Urgency::default());
                assert_eq!(timing.deadline(), Some(Time(6)));
            }
            timing.handle_reported();
            timing.handle_packet(Time(7), true, Urgency::default());
            assert_eq!(timing.deadline(), Some(Time(7 + ACK_DELAY_MAX_NS)));
        }
    }

    #[test]
    fn where_losses_come_in_bursts_a_loss_is_told_again_for_as_long_as_bursts_last() {
        let mut timing = AckTiming::default();
        let loss = Urgency { is_loss: true, burst: Some(8.0), ..Urgency::default() };
        timing.handle_packet(Time(5), true, loss);
        let mut told = 0;
        while timing.deadline() == Some(Time(5)) {
            told += 1;
            timing.handle_reported();
            timing.handle_packet(Time(5), true, Urgency::default());
        }
        assert_eq!(told, 1 + 8 * LOSS_ECHOES_PER_BURST as u32);
    }

    #[test]
    fn a_loss_that_time_shows_is_told_at_once_and_again() {
        let mut timing = AckTiming::default();
        timing.handle_loss(
            Time(5),
            Urgency { is_loss: true, is_reordered: true, ..Urgency::default() },
        );
        for _ in 0..=LOSS_ECHOES_REORDERED {
            assert_eq!(timing.deadline(), Some(Time(5)));
            timing.handle_reported();
            timing.handle_packet(Time(5), true, Urgency::default());
        }
        assert_eq!(timing.deadline(), Some(Time(5 + ACK_DELAY_MAX_NS)));
    }

    #[test]
    fn packets_that_need_no_acknowledgement_cause_none() {
        let mut timing = AckTiming::default();
        timing.handle_quiet_packet(Time(5), true);
        assert_eq!(timing.deadline(), None);
    }
}
