//! Points in time as the driver counts them. Knows no clock.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since an origin that the driver chose; it never runs backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);

    /// Nanoseconds since the origin.
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// What passed since `earlier`; zero if that is in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same in nanoseconds.
    pub(crate) fn nanos_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// So many nanoseconds later.
    pub(crate) fn plus(self, nanos: u64) -> Time {
        Time(self.0.saturating_add(nanos))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, rest: Duration) -> Time {
        self.plus(nanos(rest))
    }
}

/// A duration in nanoseconds; durations of centuries count as the longest one.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One millisecond in nanoseconds.
pub(crate) const MILLISECOND: u64 = 1_000_000;
/// One microsecond in nanoseconds.
pub(crate) const MICROSECOND: u64 = 1_000;
/// One second in nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;
