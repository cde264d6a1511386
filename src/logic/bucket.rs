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

    /// From one to the next, us.
    fn interval_us(self) -> u64 {
        1_000_000 / u64::from(self.per_s.max(1))
    }

    /// How far ahead of the even rhythm one may be, us.
    fn tolerance_us(self) -> u64 {
        self.interval_us() * u64::from(self.burst.max(1) - 1)
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
        if rate.per_s == 0 {
            return Ok(());
        }
        let now_us = mono_ms * 1_000;
        let allowed_us = self.even_us.saturating_sub(rate.tolerance_us());
        if now_us < allowed_us {
            let wait_ms = (allowed_us - now_us).div_ceil(1_000);
            return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
        }
        self.even_us = self.even_us.max(now_us) + rate.interval_us();
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
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..100_000).all(|_| bucket.take(Rate::UNLIMITED, 0).is_ok()));
        let rate = Rate { per_s: 5, burst: 0 };
        assert_eq!((bucket.take(rate, 0), bucket.take(rate, 0)), (Ok(()), Err(200)));
    }
}
