//! How often something may happen: a rate with a burst, kept as one number (GCRA, the leaky bucket of
//! ITU-T I.371 as a meter). Knows nothing of what it limits.

/// So many in a second over a longer time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Times per second; 0: as often as one likes.
    pub per_s: u32,
    /// Times at once after a pause; 0 counts as 1.
    pub burst: u32,
}

impl Rate {
    /// As often as one likes.
    pub const UNLIMITED: Rate = Rate { per_s: 0, burst: 0 };

    /// What so many of them take in an even rhythm, us.
    fn time_us(self, count: u32) -> u64 {
        1_000_000 * u64::from(count) / u64::from(self.per_s.max(1))
    }
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When the next one would come in an even rhythm, mono us.
    even_us: u64,
}

impl Bucket {
    /// Takes one. `Err`: not now; after so many ms there is one.
    pub fn take(&mut self, rate: Rate, mono_ms: u64) -> Result<(), u32> {
        self.take_many(rate, 1, mono_ms)
    }

    /// Takes several at once, or none. `Err`: not now; after so many ms there are as many. More than
    /// the burst are taken as soon as nothing is missing.
    pub fn take_many(&mut self, rate: Rate, count: u32, mono_ms: u64) -> Result<(), u32> {
        if rate.per_s == 0 || count == 0 {
            return Ok(());
        }
        let burst = rate.burst.max(1);
        self.take_time(rate.time_us(count), rate.time_us(burst.saturating_sub(count)), mono_ms)
    }

    /// Takes what comes less than once a second: one in so many seconds, over a longer time.
    pub fn take_slow(&mut self, interval_s: u32, burst: u32, mono_ms: u64) -> Result<(), u32> {
        let interval_us = u64::from(interval_s) * 1_000_000;
        self.take_time(interval_us, interval_us * u64::from(burst.max(1) - 1), mono_ms)
    }

    /// `tolerance_us`: how far ahead of the even rhythm one may be.
    fn take_time(&mut self, time_us: u64, tolerance_us: u64, mono_ms: u64) -> Result<(), u32> {
        let now_us = mono_ms * 1_000;
        let allowed_us = self.even_us.saturating_sub(tolerance_us);
        if now_us < allowed_us {
            let wait_ms = (allowed_us - now_us).div_ceil(1_000);
            return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
        }
        self.even_us = self.even_us.max(now_us) + time_us;
        Ok(())
    }

    /// Whether nothing is missing from it, so that it says no more than a new one.
    pub fn is_full(&self, mono_ms: u64) -> bool {
        self.even_us <= mono_ms * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let rate = Rate { per_s: 10, burst: 3 };
        let mut bucket = Bucket::default();
        let at = 50_000;
        assert!((0..3).all(|_| bucket.take(rate, at).is_ok()));
        assert_eq!(bucket.take(rate, at), Err(100));
        assert_eq!(bucket.take(rate, at + 99), Err(1));
        assert_eq!(bucket.take(rate, at + 100), Ok(()));
        assert!(bucket.take(rate, at + 100).is_err());
        assert!(!bucket.is_full(at + 399) && bucket.is_full(at + 400));
        let passed = (0..10_000).filter(|ms| bucket.take(rate, at + 400 + ms).is_ok()).count();
        assert!((102..=103).contains(&passed), "{passed}");
    }

    #[test]
    fn bytes_are_taken_by_the_thousand() {
        let rate = Rate { per_s: 1_000, burst: 5_000 };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(rate, 4_999, 1_000), Ok(()));
        assert_eq!(bucket.take_many(rate, 2, 1_000), Err(1));
        assert_eq!(bucket.take_many(rate, 1, 1_000), Ok(()));
        assert_eq!(bucket.take_many(rate, 3_000, 1_000), Err(3_000));
        assert_eq!(bucket.take_many(rate, 3_000, 4_000), Ok(()));
        assert_eq!(bucket.take_many(rate, 9_000, 4_000), Err(5_000), "once all is there");
        assert_eq!(bucket.take_many(rate, 9_000, 9_000), Ok(()));
        assert_eq!(bucket.take_many(rate, 1, 9_000), Err(4_001), "it is owed");
        assert_eq!(bucket.take_many(rate, 0, 9_000), Ok(()));
    }

    #[test]
    fn what_is_slow_has_a_burst_as_well() {
        let mut bucket = Bucket::default();
        assert!((0..3).all(|_| bucket.take_slow(60, 3, 0).is_ok()));
        assert_eq!(bucket.take_slow(60, 3, 0), Err(60_000));
        assert_eq!(bucket.take_slow(60, 3, 60_000), Ok(()));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..100_000).all(|_| bucket.take(Rate::UNLIMITED, 0).is_ok()));
        let rate = Rate { per_s: 5, burst: 0 };
        assert_eq!((bucket.take(rate, 0), bucket.take(rate, 0)), (Ok(()), Err(200)));
    }
}
