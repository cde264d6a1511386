//! The clock of a node: one origin for all its threads, so that the time of a job can be compared
//! by the thread that takes it. Knows nothing of who asks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aldis_logic::Now;

/// What all threads count from. CLOCK_MONOTONIC goes on while the process is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins to count.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time of an input that came at `at`.
    pub fn at(self, at: Instant) -> Now {
        let mono_ms = at.saturating_duration_since(self.origin).as_millis() as u64;
        Now { mono_ms, unix_ms: unix_ms() }
    }

    /// The time.
    pub fn now(self) -> Now {
        self.at(Instant::now())
    }

    /// When it will be `mono_ms`.
    pub fn instant(self, mono_ms: u64) -> Instant {
        self.origin + Duration::from_millis(mono_ms)
    }
}

/// Unix time, ms; 0 for a clock before 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
