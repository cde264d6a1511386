//! When to send something again although nothing tells that it was lost (RFC 8985 7, RFC 9002 6.2).
//! Knows no packets.

use crate::planted::{self, Bug};
use crate::time::{MILLISECOND, Time};

/// Factors of the timeout for the first probe and those that follow it, in halves. Two probes go out
/// before it grows: at 20 % loss one in twenty-five pairs is lost as well.
const BACKOFF_HALVES: [u64; 8] = [2, 2, 3, 4, 6, 8, 12, 16];
/// Timeouts do not grow beyond this, or beyond the first one if the path is that long: a healed
/// partition is noticed that soon, and five datagrams a second hurt no path.
const TIMEOUT_NS_MAX: u64 = 200 * MILLISECOND;
/// A path is as long as this many of its least round trips. Samples beyond that are of a peer that
/// stood still: they would make it wait, now that it answers again, as long as it had been silent.
const LEAST_FACTOR: u64 = 2;

/// The timer of one session.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    count: u32,
    is_pending: bool,
}

impl Probe {
    /// Something new was acknowledged.
    pub fn handle_acknowledged(&mut self) {
        self.count = 0;
        self.is_pending = false;
    }

    /// When the next probe is due, if the newest outstanding packet was sent at `sent` and an
    /// acknowledgement of it should come within `timeout_ns`, on a path whose least round trip is
    /// `least_ns`.
    pub fn deadline(&self, sent: Time, timeout_ns: u64, least_ns: u64) -> Time {
        let last = BACKOFF_HALVES.len() - 1;
        let step = if planted::is_active(Bug::NoBackoff) { 0 } else { self.count as usize };
        let timeout = timeout_ns.saturating_mul(BACKOFF_HALVES[step.min(last)]) / 2;
        let longest = timeout_ns.min(least_ns.saturating_mul(LEAST_FACTOR)).max(TIMEOUT_NS_MAX);
        sent.plus(timeout.min(longest))
    }

    /// The deadline passed: a probe is to be sent.
    pub fn handle_timeout(&mut self) {
        self.count = self.count.saturating_add(1);
        self.is_pending = true;
    }

    /// Whether a probe is to be sent.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// The probe was sent.
    pub fn handle_sent(&mut self) {
        self.is_pending = false;
    }

    /// Probes since something was acknowledged.
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(timeout_ns: u64, least_ns: u64) -> Vec<u64> {
        let mut probe = Probe::default();
        let mut timeouts = Vec::new();
        for _ in 0..12 {
            timeouts.push(probe.deadline(Time(5), timeout_ns, least_ns).nanos() - 5);
            probe.handle_timeout();
        }
        probe.handle_acknowledged();
        assert_eq!(probe.deadline(Time(5), timeout_ns, least_ns).nanos() - 5, timeouts[0]);
        timeouts
    }

    #[test]
    fn the_timeout_grows_up_to_a_limit_and_begins_anew_with_an_acknowledgement() {
        let ms: Vec<u64> =
            timeouts(20 * MILLISECOND, MILLISECOND).iter().map(|ns| ns / MILLISECOND).collect();
        assert_eq!(ms, [20, 20, 30, 40, 60, 80, 120, 160, 160, 160, 160, 160]);
        assert_eq!(timeouts(100 * MILLISECOND, MILLISECOND)[11], TIMEOUT_NS_MAX);
    }

    #[test]
    fn a_long_path_has_a_timeout_of_its_own() {
        assert_eq!(timeouts(900 * MILLISECOND, 700 * MILLISECOND)[11], 900 * MILLISECOND);
    }

    #[test]
    fn a_peer_that_stood_still_does_not_make_a_path_long() {
        assert_eq!(timeouts(2_000 * MILLISECOND, MILLISECOND)[0], TIMEOUT_NS_MAX);
    }

    #[test]
    fn the_planted_bug_keeps_it_from_growing() {
        planted::plant(Some(Bug::NoBackoff));
        let timeouts = timeouts(20 * MILLISECOND, MILLISECOND);
        planted::plant(None);
        assert!(timeouts.iter().all(|timeout| *timeout == 20 * MILLISECOND));
    }
}
