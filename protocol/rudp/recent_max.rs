//! The largest of some values of late, without keeping them. Knows no meaning of theirs.

use crate::time::{SECOND, Time};

/// Values are remembered for one to two of these.
const ERA_NS: u64 = SECOND;

/// See the file's head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecentMax {
    of_era: u64,
    before: u64,
    began: Time,
}

impl RecentMax {
    /// A value.
    pub fn note(&mut self, now: Time, value: u64) {
        self.pass(now);
        self.of_era = self.of_era.max(value);
    }

    /// Time passes without one.
    pub fn pass(&mut self, now: Time) {
        let passed_ns = now.nanos_since(self.began);
        if passed_ns > ERA_NS {
            self.before = if passed_ns > 2 * ERA_NS { 0 } else { self.of_era };
            (self.of_era, self.began) = (0, now);
        }
    }

    /// The largest; 0 if there was none.
    pub fn largest(&self) -> u64 {
        self.of_era.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_remembered_for_an_era_and_not_for_two() {
        let mut max = RecentMax::default();
        max.note(Time(0), 5);
        max.note(Time(ERA_NS / 2), 3);
        assert_eq!(max.largest(), 5);
        max.pass(Time(ERA_NS + 1));
        assert_eq!(max.largest(), 5);
        max.note(Time(2 * ERA_NS), 2);
        assert_eq!(max.largest(), 5);
        max.pass(Time(2 * ERA_NS + 2));
        assert_eq!(max.largest(), 2);
        max.pass(Time(9 * ERA_NS));
        assert_eq!(max.largest(), 0);
    }
}
