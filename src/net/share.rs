//! What one connection may take of the others' time: so many frames at a visit, so many per second. Knows
//! counts and ticks, no connection.

use std::time::Duration;

use crate::timer::{Tick, ticks_of};

/// Frames of one connection that are handled before others have their turn: some ten microseconds, about
/// what the system calls of the visit cost.
pub(crate) const FRAMES_PER_VISIT: u8 = 64;
/// Bytes that the first read of a visit asks for: frames that have to wait for another visit take no
/// more memory than this. What is larger goes on with larger reads.
pub(crate) const FIRST_READ_BYTES: usize = 16 << 10;
/// Time of one turn that connections get which were visited already and have more: by then what the
/// others sent meanwhile is read.
pub(crate) const SECOND_VISITS: Duration = Duration::from_micros(500);
/// How long a connection is not read that has sent more than it may. Not shorter, so that who goes on
/// sending costs few visits.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Frames that a connection may still send: a token bucket (Turner, 1986) of ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    left: u16,
    /// What came in until then is in `left`.
    counted: Tick,
}

impl Allowance {
    /// A full one; 0 per second is no limit.
    pub fn new(per_second: u16, now: Tick) -> Self {
        Self { left: burst(per_second), counted: now }
    }

    /// Adds what time has brought. Whether there is any.
    pub fn refill(&mut self, per_second: u16, now: Tick) -> bool {
        if per_second == 0 {
            return true;
        }
        let ticks_per_second = u64::from(ticks_of(Duration::from_secs(1)) - 1);
        let more = now.since(self.counted) * u64::from(per_second) / ticks_per_second;
        if more > 0 {
            let left = (u64::from(self.left) + more).min(u64::from(burst(per_second)));
            self.left = u16::try_from(left).unwrap_or(u16::MAX);
            self.counted = now;
        }
        self.left > 0
    }

    /// Frames that may be handled at this visit.
    pub fn visit(&self, per_second: u16) -> u8 {
        let left = if per_second == 0 { u16::MAX } else { self.left };
        u8::try_from(left).map_or(FRAMES_PER_VISIT, |left| left.min(FRAMES_PER_VISIT))
    }

    /// Counts a frame.
    pub fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

fn burst(per_second: u16) -> u16 {
    per_second.saturating_mul(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_ten_seconds_then_the_rate() {
        let mut now = Tick::START;
        let mut allowance = Allowance::new(30, now);
        for _ in 0..300 {
            assert!(allowance.refill(30, now));
            allowance.take();
        }
        assert!(!allowance.refill(30, now));
        assert_eq!(allowance.visit(30), 0);
        // A tick is worth one and a half: what is too little to count waits for the next one.
        let mut frames = 0;
        for _ in 0..200 {
            now = now.after(1);
            while allowance.refill(30, now) {
                allowance.take();
                frames += 1;
            }
        }
        assert!((200..=300).contains(&frames), "{frames} in ten seconds");
        now = now.after(1_000_000);
        assert!(allowance.refill(30, now));
        assert_eq!(allowance, Allowance { left: 300, counted: now });
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut allowance = Allowance::new(0, Tick::START);
        for _ in 0..100_000 {
            assert!(allowance.refill(0, Tick::START));
            allowance.take();
        }
        assert_eq!(allowance.visit(0), FRAMES_PER_VISIT);
    }
}
