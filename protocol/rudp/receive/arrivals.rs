//! Which packets came, as the ranges that acknowledgements name, and which gaps are losses. Knows no
//! timers.
//!
//! Packet numbers are never used again, so a gap that loss has torn stays. An old range is dropped
//! once it was reported often enough that the sender must have seen it.

use crate::loss_runs::LossRuns;
use crate::receive::ack_timing::Urgency;
use crate::receive::overtaking::{Extent, Overtaking};
use crate::time::Time;
use crate::wire::ack::{RANGES_MAX, Range};

/// Acknowledgements that name a range before it is dropped. Should every one of them be lost, the
/// sender sends something twice, which is noticed and dropped.
const REPORTS_MIN: u8 = 12;
/// Ranges that are remembered: where packets overtake each other by hundreds there are about half as
/// many. An acknowledgement names those that were named least.
const RUNS_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Run {
    range: Range,
    /// Acknowledgements that named it since it last grew.
    reports: u8,
    /// When the gap below it opened; not before that of an older run.
    opened: Time,
}

impl Run {
    /// Whether the sender may not know of it yet.
    fn is_due(&self) -> bool {
        self.reports < REPORTS_MIN
    }
}

/// The ranges, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    runs: Vec<Run>,
    /// How far packets were overtaken that came after all.
    overtaken: Overtaking,
    /// Missing packets below this were noticed as losses.
    noticed: u64,
    losses: LossRuns,
}

impl Arrivals {
    /// Notes a packet that did not come before; whether it is the newest.
    pub fn insert(&mut self, now: Time, number: u64) -> bool {
        let newest = self.runs.last().map_or(0, |newest| newest.range.last);
        if number < newest {
            let above = &self.runs[self.runs.partition_point(|run| run.range.last < number)];
            let late_ns = now.nanos_since(above.opened);
            self.overtaken.note(now, Extent { packets: newest - number, late_ns });
        }
        self.insert_restored(now, number)
    }

    /// The same for one that a repair brought back, which nothing overtook.
    pub fn insert_restored(&mut self, now: Time, number: u64) -> bool {
        let range = Range { first: number, last: number };
        let single = Run { range, reports: 0, opened: now };
        match self.runs.last_mut() {
            Some(newest) if number == newest.range.last + 1 => {
                newest.range.last = number;
                newest.reports = 0;
                true
            }
            Some(newest) if number < newest.range.last => {
                self.insert_late(single);
                false
            }
            _ => {
                if self.runs.len() == RUNS_MAX {
                    self.runs.remove(0);
                }
                self.runs.push(single);
                true
            }
        }
    }

    /// A packet came, which `insert` told of. Whether, since this or `has_late_loss` was asked
    /// last, a packet has become missing for good.
    pub fn has_new_loss(&mut self, now: Time) -> bool {
        self.overtaken.handle_packet(now);
        self.has_late_loss(now)
    }

    /// When a packet becomes missing for good although nothing comes.
    pub fn loss_deadline(&self) -> Option<Time> {
        if !self.is_reordered() {
            return None;
        }
        let oldest_open = self.runs.partition_point(|run| run.range.first <= self.noticed);
        let late_ns = self.overtaken.extent().late_ns;
        self.runs.get(oldest_open).map(|run| run.opened.plus(late_ns))
    }

    /// Whether, since this was asked last, a packet has become missing for good: more were sent
    /// after it and came than ever overtook one, or one that came ever came so long after those.
    pub fn has_late_loss(&mut self, now: Time) -> bool {
        let Some(newest) = self.runs.last() else { return false };
        let Extent { packets, late_ns } = self.overtaken.extent();
        let late_count = self.runs.partition_point(|run| run.opened.plus(late_ns) <= now);
        let late = late_count.checked_sub(1).map_or(0, |last| self.runs[last].range.first);
        let bound = newest.range.last.saturating_sub(packets).max(late);
        if bound == 0 {
            return false;
        }
        let noticed = self.noticed;
        self.noticed = noticed.max(bound);
        // Before anything came the numbers begin with 0.
        let (mut from, mut is_loss) = (noticed, false);
        let first_above = self.runs.partition_point(|run| run.range.last < noticed);
        for run in &self.runs[first_above..] {
            if from >= bound {
                break;
            }
            let end = run.range.first.min(bound);
            if from < end {
                self.losses.handle_lost(from, end - from);
                is_loss = true;
            }
            from = run.range.last + 1;
        }
        is_loss
    }

    /// What the path is like, of which depends how urgent acknowledgements are.
    pub fn urgency(&self) -> Urgency {
        let is_reordered = self.is_reordered();
        // Where packets overtake each other some gaps are taken for losses, and those are long.
        let burst = self.losses.burst().filter(|_| !is_reordered);
        Urgency { is_reordered, burst, ..Urgency::default() }
    }

    /// Newest first, as acknowledgements name them; `None` if nothing came yet.
    pub fn report(&mut self) -> Option<impl Iterator<Item = Range>> {
        let newest = self.runs.last()?.range.last;
        // What `has_late_loss` has still to judge stays although the sender knows of it: else what
        // came would count as missing.
        let noticed = self.noticed;
        self.runs.retain(|run| run.is_due() || run.range.last >= noticed.min(newest));
        // Those that were named less often than others come first; the newest is always named.
        let (mut named_max, mut room) = (REPORTS_MIN, 0);
        let mut counts = [0; REPORTS_MIN as usize];
        let due = self.runs.iter().filter(|run| run.is_due());
        due.for_each(|run| counts[usize::from(run.reports)] += 1);
        if counts.iter().sum::<usize>() >= RANGES_MAX {
            let mut sum = 0;
            let fits = |count: &&usize| {
                sum += **count;
                sum < RANGES_MAX
            };
            named_max = counts.iter().take_while(fits).count() as u8;
            let below: usize = counts.iter().take(usize::from(named_max)).sum();
            room = RANGES_MAX - 1 - below;
        }
        let mut named = [Range { first: 0, last: 0 }; RANGES_MAX];
        let mut count = 0;
        for run in self.runs.iter_mut().rev() {
            let is_due = match run.reports.cmp(&named_max) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => room > 0,
                std::cmp::Ordering::Greater => false,
            };
            if (is_due || run.range.last == newest) && count < RANGES_MAX {
                room = room.saturating_sub(usize::from(run.reports == named_max));
                run.reports = run.reports.saturating_add(1).min(REPORTS_MIN);
                named[count] = run.range;
                count += 1;
            }
        }
        Some(named.into_iter().take(count))
    }

    /// Whether packets overtook each other of late.
    fn is_reordered(&self) -> bool {
        self.overtaken.extent().packets > 0
    }

    fn insert_late(&mut self, mut single: Run) {
        let number = single.range.first;
        let above = self.runs.partition_point(|run| run.range.last < number);
        single.opened = self.runs[above].opened;
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
            (false, false) if self.runs.len() == RUNS_MAX && above == 0 => {}
            (false, false) if self.runs.len() == RUNS_MAX => {
                self.runs.remove(0);
                self.runs.insert(above - 1, single);
            }
            (false, false) => self.runs.insert(above, single),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::time::SECOND;

    fn ranges(arrivals: &mut Arrivals) -> Vec<(u64, u64)> {
        arrivals.report().unwrap().map(|range| (range.first, range.last)).collect()
    }

    #[test]
    fn gaps_open_and_close() {
        let mut arrivals = Arrivals::default();
        assert!(arrivals.insert(Time(0), 0));
        assert!(arrivals.insert(Time(10), 3));
        assert_eq!(ranges(&mut arrivals), [(3, 3), (0, 0)]);
        assert!(!arrivals.insert(Time(15), 1));
        assert!(!arrivals.insert(Time(17), 2));
        assert_eq!(ranges(&mut arrivals), [(0, 3)]);
    }

    #[test]
    fn a_gap_is_a_loss_once_and_where_packets_overtake_only_beyond_that() {
        let mut arrivals = Arrivals::default();
        let mut now = Time(0);
        let mut losses = |numbers: &[u64]| -> Vec<u64> {
            let mut told = Vec::new();
            for number in numbers {
                now = now.plus(10);
                arrivals.insert(now, *number);
                told.extend(arrivals.has_new_loss(now).then_some(*number));
            }
            told
        };
        assert_eq!(losses(&[0, 1, 3, 4, 6]), [3, 6]);
        // 5 was overtaken by two, so 8, 10 and 11 are missed from three later ones on.
        assert_eq!(losses(&[7, 5, 9, 12, 13, 14]), [12, 13, 14]);
        assert_eq!(losses(&[15, 16]), []);
        arrivals.insert(Time(5 * SECOND), 18);
        assert!(arrivals.has_new_loss(Time(5 * SECOND)), "that they overtook is forgotten");
    }

    #[test]
    fn a_gap_that_stays_open_longer_than_any_that_closed_is_a_loss_although_nothing_comes() {
        let mut arrivals = Arrivals::default();
        for (at, number) in [(0, 0), (10, 2), (15, 1), (20, 4)] {
            arrivals.insert(Time(at), number);
            // The first packet that was overtaken ever was taken for lost.
            assert_eq!(arrivals.has_new_loss(Time(at)), number == 2);
        }
        assert_eq!(arrivals.loss_deadline(), Some(Time(25)));
        assert!(!arrivals.has_late_loss(Time(24)));
        assert!(arrivals.has_late_loss(Time(25)));
        assert_eq!(arrivals.loss_deadline(), None);
        assert!(!arrivals.has_late_loss(Time(26)), "it is told once");
    }

    #[test]
    fn bursts_of_losses_are_known_where_packets_keep_their_order() {
        let mut arrivals = Arrivals::default();
        for number in (0..1_000).filter(|number| number % 20 >= 6) {
            arrivals.insert(Time(0), number);
            arrivals.has_new_loss(Time(0));
        }
        assert!((5.5..=6.0).contains(&arrivals.urgency().burst.unwrap()));
        arrivals.insert(Time(0), 985);
        assert_eq!(arrivals.urgency().burst, None);
    }

    #[test]
    fn of_many_ranges_those_are_named_that_were_named_least() {
        let mut arrivals = Arrivals::default();
        for number in (0..200).step_by(2) {
            arrivals.insert(Time(0), number);
        }
        let mut named = BTreeSet::new();
        for _ in 0..100usize.div_ceil(RANGES_MAX - 1) {
            let report = ranges(&mut arrivals);
            assert!(report.len() >= RANGES_MAX - 1 && report[0] == (198, 198));
            assert!(report.windows(2).all(|pair| pair[0].0 > pair[1].1 + 1));
            named.extend(report);
        }
        assert_eq!(named.len(), 100);
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

    #[test]
    fn what_the_sender_knows_of_is_not_taken_for_missing() {
        let (mut arrivals, mut now) = (Arrivals::default(), Time(0));
        // Every third is overtaken by the sixty after it, so none of them is lost.
        let mut numbers: Vec<u64> = (0..3_000).collect();
        numbers.sort_by_key(|number| if number % 3 == 0 { number + 60 } else { *number });
        let mut losses = 0;
        for number in numbers {
            now = now.plus(100);
            arrivals.insert(now, number);
            let is_loss = arrivals.has_new_loss(now);
            // The first ones that are overtaken are taken for lost.
            losses += usize::from(is_loss && number > 100);
            // Often enough that each range is dropped long before its gaps are judged.
            arrivals.report().unwrap().for_each(drop);
        }
        assert_eq!(losses, 0);
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
            if arrivals.runs.len() <= RANGES_MAX {
                prop_assert_eq!(named, model.range(lowest..).copied().collect());
            }
        }
    }
}
