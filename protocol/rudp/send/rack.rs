//! Loss by time (RACK, RFC 8985): a packet is lost once one that was sent later was acknowledged and
//! the reordering window has passed. Knows no timers and no messages.
//!
//! There is no threshold of packets: where packets are reordered it takes everything for lost. The
//! window follows how late packets really are, which the RFC gropes for by round trips with DSACKs.

use crate::receive::ack_timing::ACK_DELAY_MAX_NS;
use crate::recent_max::RecentMax;
use crate::send::rtt::Rtt;
use crate::send::sent::{Packet, Sent};
use crate::time::{MICROSECOND, MILLISECOND, Time};

/// The window on a path that does not reorder, as a part of the least round trip. The RFC begins
/// with a quarter, but every packet lost pays for it.
const QUIET_PART: u64 = 16;
/// Nor, on such a path, longer than this: what reorders there does not grow with distance, and the
/// window follows as soon as something does.
const QUIET_NS_MAX: u64 = MILLISECOND / 2;
/// No window is shorter: on one machine or in a rack, threads and interrupts reorder by this much.
const WINDOW_NS_MIN: u64 = 50 * MICROSECOND;
/// Added to what was seen, as a part of it: the latest packet so far is not the latest ever.
const MARGIN_PART: u64 = 8;
/// A path whose round trip is not known yet reorders at most by this.
const WINDOW_NS_INITIAL: u64 = 10 * MILLISECOND;

/// The packet sent last among those acknowledged.
#[derive(Clone, Copy, Debug)]
struct Latest {
    number: u64,
    sent: Time,
    rtt_ns: u64,
    /// How long after its arrival the latest acknowledgement of it left.
    missed_ns: u64,
}

/// What an acknowledgement says as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckEnd {
    /// The largest number that it names.
    pub largest: u64,
    /// How long it was held back after that packet.
    pub delay_ns: u64,
    /// It was the first to name a repair.
    pub has_repair: bool,
}

/// What is to be done about the oldest outstanding packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is lost.
    Lost(u64),
    /// It is lost unless it is acknowledged by then.
    LostAt(Time),
    /// Nothing sent later was acknowledged.
    Open,
}

/// The detector.
#[derive(Debug, Default)]
pub(crate) struct Rack {
    latest: Option<Latest>,
    /// How much later than packets sent after them packets were acknowledged.
    in_time: RecentMax,
    /// How much later packets were sent that were acknowledged before others. Held back or late
    /// acknowledgements do not count in it, so it is close to what the way there does.
    in_sending: RecentMax,
    /// The most of both in the acknowledgement under way.
    of_ack: (u64, u64),
}

impl Rack {
    /// A packet was acknowledged for the first time; those of one acknowledgement come in order.
    pub fn handle_acknowledged(&mut self, now: Time, number: u64, packet: &Packet) {
        let rtt_ns = now.nanos_since(packet.sent);
        match self.latest {
            Some(latest) if number < latest.number => {
                let (in_time, in_sending) = &mut self.of_ack;
                *in_time = rtt_ns.saturating_sub(latest.rtt_ns).max(*in_time);
                *in_sending = latest.sent.nanos_since(packet.sent).max(*in_sending);
            }
            _ => self.latest = Some(Latest { number, sent: packet.sent, rtt_ns, missed_ns: 0 }),
        }
    }

    /// All packets of an acknowledgement were handed in. With a repair among them what came late
    /// probably was brought back by it and not overtaken.
    pub fn end_ack(&mut self, now: Time, ack: AckEnd) {
        if let Some(latest) = self.latest.as_mut().filter(|latest| latest.number == ack.largest) {
            latest.missed_ns = latest.missed_ns.max(ack.delay_ns);
        }
        let (in_time, in_sending) = std::mem::take(&mut self.of_ack);
        self.in_time.pass(now);
        self.in_sending.pass(now);
        if !ack.has_repair {
            self.in_time.note(now, in_time);
            self.in_sending.note(now, in_sending);
        }
    }

    /// How long a packet may be late. Acknowledgements that are held back are part of that, on a
    /// short path the larger one.
    pub fn window(&self, rtt: &Rtt) -> u64 {
        if !rtt.is_known() {
            return WINDOW_NS_INITIAL;
        }
        let late = self.in_time.largest();
        let most = rtt.smoothed() + ACK_DELAY_MAX_NS;
        quiet_window(rtt).max((late + late / MARGIN_PART).min(most))
    }

    /// By how much later packets one may be overtaken, in time between their departures.
    fn overtaking_window(&self, rtt: &Rtt) -> u64 {
        quiet_window(rtt).max(self.in_sending.largest().min(rtt.smoothed()))
    }

    /// The verdict on the oldest outstanding packet: it is lost when one was acknowledged that was
    /// sent so much later that it was never overtaken like that, where the time counts that the
    /// acknowledgement waited in vain; and, as nothing may follow, when it is later than packets
    /// ever were.
    pub fn judge(&self, now: Time, sent: &Sent, rtt: &Rtt) -> Verdict {
        let (Some(latest), Some((number, packet))) = (self.latest, sent.oldest()) else {
            return Verdict::Open;
        };
        if number > latest.number {
            return Verdict::Open;
        }
        let lost_at = packet.sent.plus(latest.rtt_ns + self.window(rtt));
        let overtaken_ns = latest.sent.nanos_since(packet.sent) + latest.missed_ns;
        let is_overtaken = rtt.is_known() && overtaken_ns > self.overtaking_window(rtt);
        if is_overtaken || lost_at <= now {
            Verdict::Lost(number)
        } else {
            Verdict::LostAt(lost_at)
        }
    }
}

/// On a path that does not reorder.
fn quiet_window(rtt: &Rtt) -> u64 {
    (rtt.least() / QUIET_PART).clamp(WINDOW_NS_MIN, QUIET_NS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::sent::{Extras, Settled, Stamp};
    use crate::time::SECOND;

    const RTT: u64 = 4 * MILLISECOND;

    fn scene(packets: u64) -> (Rack, Sent, Rtt) {
        let mut sent = Sent::new();
        for number in 0..packets {
            sent.push(Time(number), Stamp::default(), 100, &[], Extras::default());
        }
        let mut rtt = Rtt::new();
        rtt.handle_sample(Time(0), RTT, 0);
        (Rack::default(), sent, rtt)
    }

    fn acknowledge(rack: &mut Rack, sent: &mut Sent, now: u64, number: u64) {
        acknowledge_after(rack, sent, now, number, 0);
    }

    fn acknowledge_after(rack: &mut Rack, sent: &mut Sent, now: u64, number: u64, delay_ns: u64) {
        match sent.acknowledge(number) {
            Settled::Acknowledged(packet) | Settled::WasTakenForLost(packet) => {
                rack.handle_acknowledged(Time(now), number, &packet);
            }
            Settled::Known => panic!("{number} was settled"),
        }
        rack.end_ack(Time(now), AckEnd { largest: number, delay_ns, has_repair: false });
    }

    #[test]
    fn a_packet_is_lost_once_a_later_one_is_acknowledged_and_the_window_has_passed() {
        let (mut rack, mut sent, rtt) = scene(3);
        assert_eq!(rack.judge(Time(RTT), &sent, &rtt), Verdict::Open);
        acknowledge(&mut rack, &mut sent, RTT + 1, 1);
        let lost_at = RTT + RTT / QUIET_PART;
        assert_eq!(rack.judge(Time(RTT + 1), &sent, &rtt), Verdict::LostAt(Time(lost_at)));
        assert_eq!(rack.judge(Time(lost_at), &sent, &rtt), Verdict::Lost(0));
        sent.lose(Time(lost_at), 0);
        assert_eq!(rack.judge(Time(lost_at), &sent, &rtt), Verdict::Open);
    }

    #[test]
    fn the_window_follows_how_late_packets_are_and_forgets() {
        let (mut rack, mut sent, rtt) = scene(10);
        acknowledge(&mut rack, &mut sent, RTT + 1, 1);
        acknowledge(&mut rack, &mut sent, RTT + 3 * MILLISECOND, 0);
        let late = 3 * MILLISECOND;
        assert_eq!(rack.window(&rtt), late + late / MARGIN_PART);
        acknowledge(&mut rack, &mut sent, 2 * SECOND, 2);
        assert_eq!(rack.window(&rtt), late + late / MARGIN_PART);
        acknowledge(&mut rack, &mut sent, 4 * SECOND, 3);
        assert_eq!(rack.window(&rtt), RTT / QUIET_PART);
    }

    #[test]
    fn the_time_that_an_acknowledgement_waited_in_vain_counts_as_overtaking() {
        let quiet = RTT / QUIET_PART;
        for (delay_ns, is_lost) in [(quiet - 1, false), (quiet, true)] {
            let (mut rack, mut sent, rtt) = scene(2);
            acknowledge_after(&mut rack, &mut sent, RTT + 1, 1, delay_ns);
            let verdict = rack.judge(Time(RTT + 1), &sent, &rtt);
            assert_eq!(verdict == Verdict::Lost(0), is_lost, "{verdict:?}");
        }
    }

    #[test]
    fn the_window_is_at_most_a_round_trip_and_the_delay_of_an_acknowledgement() {
        let (mut rack, mut sent, rtt) = scene(2);
        acknowledge(&mut rack, &mut sent, RTT, 1);
        acknowledge(&mut rack, &mut sent, 9 * RTT, 0);
        assert_eq!(rack.window(&rtt), RTT + ACK_DELAY_MAX_NS);
    }
}
