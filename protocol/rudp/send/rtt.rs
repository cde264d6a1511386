//! Round trip times: smoothed, their variation, the least (RFC 6298, RFC 9002 5). Knows no packets.

use crate::time::{MILLISECOND, SECOND, Time};

/// Before the first sample; the handshake gives one.
const INITIAL_NS: u64 = 100 * MILLISECOND;
/// The least is that of the last one to two of these.
const MIN_ERA_NS: u64 = 10 * SECOND;
/// Floor of the allowance for variation in a probe timeout: what scheduling of processes varies by
/// on a quiet machine. RFC 9002's granularity of 1 ms doubles the round trip of a local network.
const VARIATION_NS_MIN: u64 = MILLISECOND / 4;

/// The estimates.
#[derive(Debug)]
pub(crate) struct Rtt {
    smoothed: Option<u64>,
    variation: u64,
    least_of_era: u64,
    least_before: u64,
    era_began: Time,
}

impl Rtt {
    /// Of a new path.
    pub fn new() -> Self {
        Self {
            smoothed: None,
            variation: INITIAL_NS / 2,
            least_of_era: u64::MAX,
            least_before: u64::MAX,
            era_began: Time::ZERO,
        }
    }

    /// A packet was acknowledged so long after it was sent; the peer says that it held the
    /// acknowledgement back for `delay_ns` of it.
    pub fn handle_sample(&mut self, now: Time, sample_ns: u64, delay_ns: u64) {
        if now.nanos_since(self.era_began) > MIN_ERA_NS {
            self.era_began = now;
            self.least_before = self.least_of_era;
            self.least_of_era = u64::MAX;
        }
        // The least never subtracts a delay: the peer could claim anything (RFC 9002 5.2).
        self.least_of_era = self.least_of_era.min(sample_ns);
        let least = self.least();
        let adjusted = if sample_ns >= least + delay_ns { sample_ns - delay_ns } else { sample_ns };
        match self.smoothed {
            None => {
                self.smoothed = Some(adjusted);
                self.variation = adjusted / 2;
            }
            Some(smoothed) => {
                self.variation = (3 * self.variation + smoothed.abs_diff(adjusted)) / 4;
                self.smoothed = Some((7 * smoothed + adjusted) / 8);
            }
        }
    }

    /// The smoothed round trip, without delays of acknowledgements.
    pub fn smoothed(&self) -> u64 {
        self.smoothed.unwrap_or(INITIAL_NS)
    }

    /// The least of late.
    pub fn least(&self) -> u64 {
        let least = self.least_of_era.min(self.least_before);
        if least == u64::MAX { self.smoothed() } else { least }
    }

    /// Whether there was a sample.
    pub fn is_known(&self) -> bool {
        self.smoothed.is_some()
    }

    /// How long to wait for an acknowledgement that is not held back.
    pub fn probe_timeout(&self) -> u64 {
        self.smoothed() + (4 * self.variation).max(VARIATION_NS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_path_has_a_tight_timeout() {
        let mut rtt = Rtt::new();
        for step in 0..100 {
            rtt.handle_sample(Time(step), MILLISECOND, 0);
        }
        assert_eq!((rtt.smoothed(), rtt.least()), (MILLISECOND, MILLISECOND));
        assert_eq!(rtt.probe_timeout(), MILLISECOND + VARIATION_NS_MIN);
    }

    #[test]
    fn a_claimed_delay_counts_only_down_to_the_least() {
        let mut rtt = Rtt::new();
        rtt.handle_sample(Time(0), 10 * MILLISECOND, 0);
        rtt.handle_sample(Time(1), 18 * MILLISECOND, 8 * MILLISECOND);
        assert_eq!(rtt.smoothed(), 10 * MILLISECOND);
        rtt.handle_sample(Time(1), 18 * MILLISECOND, 9 * MILLISECOND);
        assert_eq!(rtt.smoothed(), 11 * MILLISECOND);
    }

    #[test]
    fn the_least_forgets_after_two_eras() {
        let mut rtt = Rtt::new();
        rtt.handle_sample(Time(0), 5, 0);
        rtt.handle_sample(Time(1 + MIN_ERA_NS), 50, 0);
        assert_eq!(rtt.least(), 5);
        rtt.handle_sample(Time(2 + 2 * MIN_ERA_NS), 50, 0);
        assert_eq!(rtt.least(), 50);
    }
}
