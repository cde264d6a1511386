//! CUBIC (RFC 9438): loss is congestion. For links shared with flows that hold the same.

use super::{Acked, Controller, DATAGRAM_BYTES, INITIAL_WINDOW, Lost, WINDOW_MIN};
use crate::time::{MILLISECOND, SECOND, Time};

/// What is kept of the window on a loss (RFC 9438 4.6).
pub(super) const BETA: f64 = 0.7;
/// RFC 9438 4.1, in packets per cubic second.
const C: f64 = 0.4;
/// Pacing is faster than window over round trip by this, so that the window is what limits.
const PACING_GAIN: f64 = 1.25;
/// As Linux does in slow start.
const PACING_GAIN_SLOW_START: f64 = 2.0;

/// The controller.
#[derive(Debug)]
pub(crate) struct Cubic {
    window: f64,
    threshold: f64,
    /// The window before the last reduction, and the one to go back to.
    last_max: f64,
    epoch: Option<Epoch>,
    /// Losses of packets sent before this belong to the reduction that was made.
    recovery_began: Time,
    smoothed_rtt_ns: u64,
}

/// Since the first acknowledgement after a reduction.
#[derive(Debug)]
struct Epoch {
    began: Time,
    /// Seconds until the window is `last_max` again.
    inflection_s: f64,
    /// What Reno would have.
    reno: f64,
}

impl Cubic {
    /// Of a new session whose handshake took so long.
    pub fn new(rtt_ns: u64) -> Self {
        Self::with_window(rtt_ns, INITIAL_WINDOW as f64, f64::MAX)
    }

    /// For a controller that competes from this window on, out of slow start.
    pub fn competing(rtt_ns: u64, window: u64) -> Self {
        Self::with_window(rtt_ns, window as f64, window as f64)
    }

    fn with_window(rtt_ns: u64, window: f64, threshold: f64) -> Self {
        Self {
            window,
            threshold,
            last_max: window,
            epoch: None,
            recovery_began: Time::ZERO,
            smoothed_rtt_ns: rtt_ns.max(1),
        }
    }

    /// A packet sent at `sent` was lost: keeps this part of the window, once per round trip.
    pub fn reduce(&mut self, now: Time, sent: Time, kept: f64) {
        if sent <= self.recovery_began {
            return;
        }
        self.recovery_began = now;
        // Fast convergence, RFC 9438 4.7: who shrinks leaves room.
        let is_shrinking = self.window < self.last_max;
        self.last_max = if is_shrinking { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * kept).max(WINDOW_MIN as f64);
        self.threshold = self.window;
        self.epoch = None;
    }

    /// RFC 9438 4.2 to 4.5.
    fn grow(&mut self, acked: &Acked) {
        let size = DATAGRAM_BYTES as f64;
        let (window, last_max) = (self.window, self.last_max);
        let epoch = self.epoch.get_or_insert_with(|| Epoch {
            began: acked.now,
            inflection_s: ((last_max - window).max(0.0) / size / C).cbrt(),
            reno: window,
        });
        let rtt_s = acked.smoothed_rtt_ns as f64 / SECOND as f64;
        let elapsed_s = acked.now.nanos_since(epoch.began) as f64 / SECOND as f64;
        let from_inflection = elapsed_s + rtt_s - epoch.inflection_s;
        let target =
            (C * from_inflection.powi(3) * size + last_max.max(window)).clamp(window, 1.5 * window);
        let alpha = if epoch.reno < last_max { 3.0 * (1.0 - BETA) / (1.0 + BETA) } else { 1.0 };
        epoch.reno += alpha * size * acked.bytes as f64 / window;
        let cubic = window + (target - window) * acked.bytes as f64 / window;
        self.window = cubic.max(epoch.reno);
    }
}

impl Controller for Cubic {
    fn handle_acked(&mut self, acked: &Acked) {
        self.smoothed_rtt_ns = acked.smoothed_rtt_ns.max(1);
        // A window that is not used says nothing about the path (RFC 9438 5.8).
        let is_used = 2 * acked.in_flight_before >= self.window as u64;
        if acked.newest_sent <= self.recovery_began || (acked.is_app_limited && !is_used) {
            return;
        }
        if self.window < self.threshold {
            self.window += acked.bytes as f64;
        } else {
            self.grow(acked);
        }
    }

    fn handle_lost(&mut self, lost: &Lost) {
        self.reduce(lost.now, lost.newest_sent, BETA);
    }

    fn handle_marked(&mut self, now: Time, sent: Time) {
        self.reduce(now, sent, BETA);
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn pacing_rate(&self) -> u64 {
        let is_slow_start = self.window < self.threshold;
        let gain = if is_slow_start { PACING_GAIN_SLOW_START } else { PACING_GAIN };
        let rtt_s = self.smoothed_rtt_ns.max(MILLISECOND / 10) as f64 / SECOND as f64;
        (self.window * gain / rtt_s) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: u64 = 50 * MILLISECOND;

    fn ack(cubic: &mut Cubic, now: Time) {
        let window = cubic.window();
        cubic.handle_acked(&Acked {
            now,
            bytes: window,
            newest_sent: Time(now.nanos() - RTT),
            rtt_ns: RTT,
            least_rtt_ns: RTT,
            smoothed_rtt_ns: RTT,
            rate: None,
            delivered: 0,
            delivered_before: 0,
            in_flight_before: window,
            in_flight: 0,
            is_app_limited: false,
        });
    }

    fn lose(cubic: &mut Cubic, now: Time, sent: Time) {
        cubic.handle_lost(&Lost { now, bytes: 1_200, newest_sent: sent, in_flight: 0 });
    }

    #[test]
    fn slow_start_doubles_and_a_loss_reduces_once_per_round_trip() {
        let mut cubic = Cubic::new(RTT);
        ack(&mut cubic, Time(SECOND));
        assert_eq!(cubic.window(), 2 * INITIAL_WINDOW);
        lose(&mut cubic, Time(2 * SECOND), Time(2 * SECOND - RTT));
        let reduced = (2.0 * INITIAL_WINDOW as f64 * BETA) as u64;
        assert_eq!(cubic.window(), reduced);
        lose(&mut cubic, Time(2 * SECOND + 1), Time(2 * SECOND - 1));
        assert_eq!(cubic.window(), reduced);
    }

    #[test]
    fn it_returns_to_where_it_lost_and_then_probes_beyond() {
        let mut cubic = Cubic::with_window(RTT, 1_000.0 * 1_200.0, 0.0);
        lose(&mut cubic, Time(SECOND), Time(SECOND - RTT));
        let full = 1_000 * 1_200;
        // K = cbrt(300 / 0.4) = 9.1 s
        let mut now = SECOND;
        while now < 10 * SECOND {
            now += RTT;
            ack(&mut cubic, Time(now));
            assert!(cubic.window() <= full + full / 100);
        }
        assert!(cubic.window() > full * 98 / 100);
        while now < 20 * SECOND {
            now += RTT;
            ack(&mut cubic, Time(now));
        }
        assert!(cubic.window() > full * 12 / 10);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut cubic = Cubic::new(RTT);
        cubic.handle_acked(&Acked {
            now: Time(SECOND),
            bytes: 1_200,
            newest_sent: Time(SECOND - RTT),
            rtt_ns: RTT,
            least_rtt_ns: RTT,
            smoothed_rtt_ns: RTT,
            rate: None,
            delivered: 0,
            delivered_before: 0,
            in_flight_before: 2_400,
            in_flight: 1_200,
            is_app_limited: true,
        });
        assert_eq!(cubic.window(), INITIAL_WINDOW);
    }
}
