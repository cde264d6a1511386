//! What one connection may take of the others' time: so many frames at a visit, so many per second; and
//! what all may take that are not logged in. Knows counts and times, no connection.

use std::time::{Duration, Instant};

use crate::Config;
use crate::timer::{Tick, ticks_of};

/// Frames of one connection that are handled before others have their turn: some microseconds, about
/// what the system calls of the visit cost.
pub(crate) const FRAMES_PER_VISIT: u8 = 16;
/// Bytes that the first read of a visit asks for: frames that have to wait for another visit take no
/// more memory than this. What is larger goes on with larger reads.
pub(crate) const FIRST_READ_BYTES: usize = 16 << 10;
/// Time of one turn that connections get which were visited already and have more, and as much again for
/// those that are not logged in: by then what the others sent meanwhile is read.
pub(crate) const LATER_VISITS: Duration = Duration::from_micros(100);
/// How long a connection is not read that has sent more than it may. Not shorter, so that who goes on
/// sending costs few visits.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// How long after somebody was served who is logged in strangers have no more than their share: an idle
/// reactor is all theirs, as after a restart.
const MEMBERS_ARE_HERE: Duration = Duration::from_millis(50);

/// A turn of strangers that took long, because the core was somebody else's meanwhile, shall not keep them
/// out for long.
const REST_MAX: Duration = Duration::from_millis(20);

/// What a connection may send at once, in seconds of its rate.
const BURST_S: u16 = 10;
/// The same for one that is not logged in.
const STRANGER_BURST_S: u16 = 6;

/// When those who are not logged in have their turn: after each, the reactor rests from them for as long
/// as leaves them their share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    opens_at: Instant,
    percent: u32,
    /// Until then somebody who is in may want to be served.
    members_until: Instant,
}

impl Door {
    /// One that is open.
    pub fn new(config: &Config, now: Instant) -> Self {
        Self { opens_at: now, percent: config.strangers_percent.into(), members_until: now }
    }

    /// When they have their next turn.
    pub fn opens_at(self) -> Instant {
        self.opens_at
    }

    /// Somebody is served who is logged in.
    pub fn note_member(&mut self, now: Instant) {
        self.members_until = now + MEMBERS_ARE_HERE;
    }

    /// They had one.
    pub fn close(&mut self, begin: Instant, end: Instant) {
        if begin >= self.members_until {
            return;
        }
        let rest = (end - begin) * (100 - self.percent) / self.percent;
        self.opens_at = end + rest.min(REST_MAX);
    }
}

/// Frames that a connection may still send: a token bucket (Turner, 1986).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    left: u16,
    /// What came in until then is in `left`.
    counted: Tick,
}

/// A rate of frames; 0 per second is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameRate {
    per_second: u16,
    burst: u16,
}

impl FrameRate {
    /// Of those who are logged in.
    pub fn of_users(config: &Config) -> Self {
        Self::new(config.frames_per_second, BURST_S)
    }

    /// Of those who are not.
    pub fn of_strangers(config: &Config) -> Self {
        Self::new(config.stranger_frames_per_second, STRANGER_BURST_S)
    }

    fn new(per_second: u16, burst_s: u16) -> Self {
        Self { per_second, burst: per_second.saturating_mul(burst_s) }
    }

    /// Whether it limits anything.
    pub fn is_some(self) -> bool {
        self.per_second > 0
    }
}

impl Allowance {
    /// A full one.
    pub fn new(rate: FrameRate, now: Tick) -> Self {
        Self { left: rate.burst, counted: now }
    }

    /// Adds what time has brought. Whether there is any.
    pub fn refill(&mut self, rate: FrameRate, now: Tick) -> bool {
        let ticks_per_second = u64::from(ticks_of(Duration::from_secs(1)) - 1);
        let more = now.since(self.counted) * u64::from(rate.per_second) / ticks_per_second;
        if more > 0 {
            let left = (u64::from(self.left) + more).min(u64::from(rate.burst));
            self.left = u16::try_from(left).unwrap_or(u16::MAX);
            self.counted = now;
        }
        self.left > 0
    }

    /// Frames that may be handled at this visit.
    pub fn visit(&self) -> u8 {
        u8::try_from(self.left).map_or(FRAMES_PER_VISIT, |left| left.min(FRAMES_PER_VISIT))
    }

    /// Counts a frame, or what is counted like one.
    pub fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: FrameRate = FrameRate { per_second: 30, burst: 300 };

    #[test]
    fn strangers_get_their_share() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        let mut door = Door::new(&Config { strangers_percent: 25, ..Config::default() }, now);
        door.close(now, after(2));
        assert_eq!(door.opens_at(), now, "nobody else is here");
        door.note_member(now);
        door.close(now, after(2));
        assert_eq!(door.opens_at(), after(8));
        door.close(after(8), after(1_000));
        assert_eq!(door.opens_at(), after(1_000) + REST_MAX);
        door.close(after(1_020), after(1_022));
        assert_eq!(door.opens_at(), after(1_000) + REST_MAX, "those who were here are silent");
        let mut open = Door::new(&Config { strangers_percent: 100, ..Config::default() }, now);
        open.note_member(now);
        open.close(now, after(2));
        assert_eq!(open.opens_at(), after(2));
    }

    #[test]
    fn a_burst_of_ten_seconds_then_the_rate() {
        let mut now = Tick::START;
        let mut allowance = Allowance::new(RATE, now);
        for _ in 0..300 {
            assert!(allowance.refill(RATE, now));
            allowance.take();
        }
        assert!(!allowance.refill(RATE, now));
        assert_eq!(allowance.visit(), 0);
        // A tick is worth one and a half: what is too little to count waits for the next one.
        let mut frames = 0;
        for _ in 0..200 {
            now = now.after(1);
            while allowance.refill(RATE, now) {
                allowance.take();
                frames += 1;
            }
        }
        assert!((200..=300).contains(&frames), "{frames} in ten seconds");
        now = now.after(1_000_000);
        assert!(allowance.refill(RATE, now));
        assert_eq!(allowance, Allowance { left: 300, counted: now });
    }
}
