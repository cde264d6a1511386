//! Which packets came, as the ranges that acknowledgements name. Knows no timers.
//!
//! Packet numbers are never used again, so a gap that loss has torn stays. An old range is dropped
//! once it was reported often enough that the sender must have seen it.

use crate::time::Time;
use crate::wire::ack::{RANGES_MAX, Range};

/// Acknowledgements that name a range before it is dropped. Should every one of them be lost, the
/// sender sends something twice, which is noticed and dropped.
const REPORTS_MIN: u8 = 12;

#[derive(Clone, Copy, Debug)]
struct Run {
    range: Range,
    /// When the run began, and with it the gap before it was noticed.
    began: Time,
    /// Acknowledgements that named it since it last grew.
    reports: u8,
}

/// What an arrival means for the numbers before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next number.
    InOrder,
    /// Numbers before it are missing now that were not noticed as missing before.
    Gap,
    /// It was noticed as missing so long ago, in nanoseconds.
    Late(u64),
}

/// The ranges, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    runs: Vec<Run>,
}

impl Arrivals {
    /// Notes a packet that did not come before.
    pub fn insert(&mut self, now: Time, number: u64) -> Arrival {
        let single = Run { range: Range { first: number, last: number }, began: now, reports: 0 };
        let Some(newest) = self.runs.last_mut() else {
            self.runs.push(single);
            return if number == 0 { Arrival::InOrder } else { Arrival::Gap };
        };
        if number == newest.range.last + 1 {
            newest.range.last = number;
            newest.reports = 0;
            return Arrival::InOrder;
        }
        if number > newest.range.last {
            if self.runs.len() == RANGES_MAX {
                self.runs.remove(0);
            }
            self.runs.push(single);
            return Arrival::Gap;
        }
        Arrival::Late(self.insert_late(now, single))
    }

    /// Newest first, as acknowledgements name them; `None` if nothing came yet.
    pub fn report(&mut self) -> Option<impl Iterator<Item = Range>> {
        let newest = self.runs.last()?.range.last;
        self.runs.retain(|run| run.reports < REPORTS_MIN || run.range.last == newest);
        for run in &mut self.runs {
            run.reports = run.reports.saturating_add(1);
        }
        Some(self.runs.iter().rev().map(|run| run.range))
    }

    /// How long the number was missed that `single` is.
    fn insert_late(&mut self, now: Time, single: Run) -> u64 {
        let number = single.range.first;
        let above = self.runs.partition_point(|run| run.range.last < number);
        let missed_ns = now.nanos_since(self.runs[above].began);
        let joins_above = self.runs[above].range.first == number + 1;
        let joins_below = above > 0 && self.runs[above - 1].range.last + 1 == number;
        match (joins_below, joins_above) {
            (true, true) => {
                let upper = self.runs.remove(above);
                let lower = &mut self.runs[above - 1];
                lower.range.last = upper.range.last;
                lower.reports = 0;
            }
            (true, false) => {
                self.runs[above - 1].range.last = number;
                self.runs[above - 1].reports = 0;
            }
            (false, true) => {
                self.runs[above].range.first = number;
                self.runs[above].reports = 0;
            }
            // With all places taken the oldest range goes; if that is where this one belongs, the
            // sender will take the packet for lost.
            (false, false) if self.runs.len() == RANGES_MAX && above == 0 => {}
            (false, false) if self.runs.len() == RANGES_MAX => {
                self.runs.remove(0);
                self.runs.insert(above - 1, single);
            }
            (false, false) => self.runs.insert(above, single),
        }
        missed_ns
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(arrivals: &mut Arrivals) -> Vec<(u64, u64)> {
        arrivals.report().unwrap().map(|range| (range.first, range.last)).collect()
    }

    #[test]
    fn gaps_open_and_close() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.insert(Time(0), 0), Arrival::InOrder);
        assert_eq!(arrivals.insert(Time(10), 3), Arrival::Gap);
        assert_eq!(ranges(&mut arrivals), [(3, 3), (0, 0)]);
        assert_eq!(arrivals.insert(Time(15), 1), Arrival::Late(5));
        assert_eq!(arrivals.insert(Time(17), 2), Arrival::Late(7));
        assert_eq!(ranges(&mut arrivals), [(0, 3)]);
    }

    #[test]
    fn a_range_behind_a_gap_is_dropped_after_enough_reports() {
        let mut arrivals = Arrivals::default();
        arrivals.insert(Time(0), 0);
        arrivals.insert(Time(0), 2);
        for _ in 0..REPORTS_MIN {
            assert_eq!(ranges(&mut arrivals), [(2, 2), (0, 0)]);
        }
        assert_eq!(ranges(&mut arrivals), [(2, 2)]);
    }

    proptest! {
        #[test]
        fn the_newest_ranges_are_those_of_a_set(
            numbers in proptest::collection::vec(0u64..60, 1..60),
        ) {
            let (mut arrivals, mut model) = (Arrivals::default(), BTreeSet::new());
            for number in numbers {
                if model.insert(number) {
                    arrivals.insert(Time(0), number);
                }
                arrivals.runs.iter().for_each(|run| assert!(run.range.first <= run.range.last));
                assert!(arrivals.runs.windows(2).all(|pair| {
                    pair[0].range.last + 1 < pair[1].range.first
                }));
            }
            let named: BTreeSet<u64> =
                ranges(&mut arrivals).iter().flat_map(|(first, last)| *first..=*last).collect();
            let lowest = *named.first().unwrap();
            // Within what is named, nothing is missing and nothing is invented, except a run that
            // lost its place to newer ones.
            prop_assert!(named.is_subset(&model));
            if arrivals.runs.len() < RANGES_MAX {
                prop_assert_eq!(named, model.range(lowest..).copied().collect());
            }
        }
    }
}
