//! How long a server has been away, when it is tried again, and what the log says: one line when it
//! goes, one when it is back for good. Knows no connection.

use std::fmt::Display;

/// Pause after a try that failed. ms
const RETRY_MS: u64 = 1_000;
/// Of the time at least this many parts pass between tries for one part that a try takes: what cannot
/// be bounded, as asking a name server, must not hold up everything.
const PAUSE_PER_TRY: u64 = 4;
/// A server that was away counts as back when it has answered for so long: one that comes and goes
/// is one outage in the log. ms
const STABLE_MS: u64 = 10_000;
/// Answers that make no sense are logged once in this time. ms
const ODD_INTERVAL_MS: u64 = 60_000;

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Outage {
    since_ms: Option<u64>,
    back_at_ms: Option<u64>,
    retry_at_ms: u64,
    odd_at_ms: Option<u64>,
}

impl Outage {
    /// It failed, after it was waited for as long.
    pub fn handle_failure(&mut self, now_ms: u64, took_ms: u64, name: &str, why: &dyn Display) {
        self.retry_at_ms = now_ms + retry_pause_ms(took_ms);
        self.back_at_ms = None;
        if self.since_ms.is_none() {
            self.since_ms = Some(now_ms);
            log::warn!("{name} is away, sessions go on without it: {why}");
        } else {
            log::debug!("{name} is still away: {why}");
        }
    }

    /// It answers.
    pub fn handle_success(&mut self, now_ms: u64) {
        if self.since_ms.is_some() {
            self.back_at_ms.get_or_insert(now_ms);
        }
    }

    /// It answers what it should not.
    pub fn handle_odd(&mut self, now_ms: u64, name: &str, why: &dyn Display) {
        if self.odd_at_ms.is_none_or(|at_ms| now_ms >= at_ms + ODD_INTERVAL_MS) {
            self.odd_at_ms = Some(now_ms);
            log::warn!("{name} refuses a command: {why}");
        }
    }

    /// Time passes.
    pub fn handle_time(&mut self, now_ms: u64, name: &str) {
        if let (Some(since_ms), Some(back_at_ms)) = (self.since_ms, self.back_at_ms)
            && now_ms >= back_at_ms + STABLE_MS
        {
            log::info!("{name} is back, it was away for {} ms", back_at_ms - since_ms);
            (self.since_ms, self.back_at_ms) = (None, None);
        }
    }

    /// When to try again, for one that is away. ms
    pub fn retry_at_ms(&self) -> u64 {
        self.retry_at_ms
    }
}

/// What passes before the next try.
pub fn retry_pause_ms(took_ms: u64) -> u64 {
    RETRY_MS.max(took_ms * PAUSE_PER_TRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_comes_and_goes_is_one_outage() {
        let mut outage = Outage::default();
        assert!(outage.since_ms.is_none());
        outage.handle_failure(1_000, 0, "x", &"refused");
        assert_eq!(outage.retry_at_ms(), 2_000);
        outage.handle_success(2_000);
        outage.handle_time(2_000 + STABLE_MS - 1, "x");
        assert!(outage.since_ms.is_some());
        outage.handle_failure(3_000, 0, "x", &"refused");
        outage.handle_success(4_000);
        outage.handle_time(3_000 + STABLE_MS, "x");
        assert!(outage.since_ms.is_some());
        outage.handle_time(4_000 + STABLE_MS, "x");
        assert!(outage.since_ms.is_none());
    }

    #[test]
    fn slow_tries_are_rarer() {
        let mut outage = Outage::default();
        outage.handle_failure(1_000, 5_000, "x", &"no such name");
        assert_eq!(outage.retry_at_ms(), 21_000);
    }
}
