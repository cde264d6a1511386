//! Pacing: a bucket of bytes that fills at the controller's rate. Knows no controller.

use crate::time::{SECOND, Time};

/// How long a burst may be, as time at the pacing rate: timers are not more precise than that.
const BURST_NS: u64 = 1_000_000;
/// What a burst may be in any case: the initial window of RFC 6928.
const BURST_BYTES_MIN: u64 = 16 * 1_500;

/// The bucket. It holds the time at which it would be empty, which needs no arithmetic while idle.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// Everything sent so far would have left by then at the pacing rate.
    busy_until: Time,
}

impl Pacer {
    /// A packet of so many bytes is sent at `rate` bytes per second.
    pub fn handle_sent(&mut self, now: Time, bytes: usize, rate: u64) {
        let nanos = (bytes as u64).saturating_mul(SECOND) / rate.max(1);
        self.busy_until = self.busy_until.max(now).plus(nanos);
    }

    /// When the next packet may be sent; in the past or now if it may at once.
    pub fn next(&self, rate: u64) -> Time {
        let burst_ns = (BURST_BYTES_MIN.saturating_mul(SECOND) / rate.max(1)).max(BURST_NS);
        Time(self.busy_until.nanos().saturating_sub(burst_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_in_the_long_run_is_the_rate_and_a_burst() {
        let (mut pacer, rate) = (Pacer::default(), 10_000_000);
        let (mut now, mut sent) = (Time(SECOND), 0);
        while now < Time(2 * SECOND) {
            if pacer.next(rate) <= now {
                pacer.handle_sent(now, 1_000, rate);
                sent += 1_000;
            } else {
                now = pacer.next(rate);
            }
        }
        let expected = rate + BURST_BYTES_MIN;
        assert!((expected - 2_000..=expected + 2_000).contains(&sent), "{sent}");
    }

    #[test]
    fn an_idle_time_does_not_add_up() {
        let mut pacer = Pacer::default();
        pacer.handle_sent(Time(0), 1_000, 1_000_000);
        let now = Time(100 * SECOND);
        let mut burst = 0;
        while pacer.next(1_000_000) <= now {
            pacer.handle_sent(now, 1_000, 1_000_000);
            burst += 1_000;
        }
        assert!(burst <= BURST_BYTES_MIN + 1_000);
    }
}
