//! Delivery rate (draft-cheng-iccrg-delivery-rate-estimation-02): what arrived between the sending of
//! a packet and its acknowledgement. Knows no controller.

use crate::send::sent::{Packet, Stamp};
use crate::time::{SECOND, Time};

/// The latest measurement that one acknowledgement gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateSample {
    /// Bytes per second.
    pub rate: u64,
    /// Whether the sender had less to send, so that the path may be able to do more.
    pub is_app_limited: bool,
}

/// The estimator.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    delivered: u64,
    delivered_at: Time,
    first_sent: Time,
    /// Samples are app-limited until so much is delivered.
    app_limited_until: u64,
    /// The packet sent last among those that the acknowledgement under way named.
    newest: Option<(Time, Stamp)>,
}

impl Rate {
    /// The stamp for a packet that is sent now with so much in flight before it.
    pub fn stamp(&mut self, now: Time, in_flight: u64) -> Stamp {
        if in_flight == 0 {
            (self.first_sent, self.delivered_at) = (now, now);
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            is_app_limited: self.app_limited_until > self.delivered,
        }
    }

    /// There is nothing to send although the window would allow it.
    pub fn handle_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    /// A packet was acknowledged.
    pub fn handle_acknowledged(&mut self, now: Time, packet: &Packet) {
        self.delivered += u64::from(packet.bytes);
        self.delivered_at = now;
        if self.newest.is_none_or(|(sent, _)| packet.sent >= sent) {
            self.newest = Some((packet.sent, packet.stamp));
            self.first_sent = packet.sent;
        }
    }

    /// Bytes delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// After all packets of an acknowledgement. A rate over less than the least round trip would be
    /// an artefact of acknowledgements that came together.
    pub fn sample(&mut self, least_rtt_ns: u64) -> Option<RateSample> {
        let (sent, stamp) = self.newest.take()?;
        let send_ns = sent.nanos_since(stamp.first_sent);
        let ack_ns = self.delivered_at.nanos_since(stamp.delivered_at);
        let interval_ns = send_ns.max(ack_ns);
        let delivered = self.delivered - stamp.delivered;
        if interval_ns < least_rtt_ns.max(1) {
            return None;
        }
        let rate = u128::from(delivered) * u128::from(SECOND) / u128::from(interval_ns);
        Some(RateSample { rate: rate as u64, is_app_limited: stamp.is_app_limited })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::sent::{Extras, Sent, Settled};
    use crate::time::MILLISECOND;

    /// Sends a packet per millisecond over a path of 10 ms; gives the last sample.
    fn run(rate: &mut Rate, packets: u64, ack_every: u64) -> RateSample {
        let mut sent = Sent::new();
        let mut last = None;
        for tick in 0..packets + 10 {
            let now = Time(tick * MILLISECOND);
            if tick >= 10 && (tick - 9) % ack_every == 0 {
                for number in tick + 1 - 10 - ack_every + 1..=tick - 9 {
                    if let Settled::Acknowledged(packet) = sent.acknowledge(number - 1) {
                        rate.handle_acknowledged(now, &packet);
                    }
                }
                last = rate.sample(10 * MILLISECOND).or(last);
            }
            if tick < packets {
                let stamp = rate.stamp(now, sent.in_flight());
                sent.push(now, stamp, 1_000, &[], Extras::default());
            }
        }
        last.unwrap()
    }

    #[test]
    fn a_steady_stream_is_measured_as_what_it_is() {
        for ack_every in [1, 5] {
            let sample = run(&mut Rate::default(), 200, ack_every);
            assert!((900_000..=1_100_000).contains(&sample.rate), "{sample:?}");
            assert!(!sample.is_app_limited);
        }
    }

    #[test]
    fn a_sender_without_data_is_told_apart() {
        let mut rate = Rate::default();
        rate.handle_app_limited(1_000_000);
        assert!(run(&mut rate, 100, 1).is_app_limited);
    }
}
