//! Whether what the server holds comes back when nothing is asked of it, and which case it is that takes
//! and does not give. Knows numbers, no connection.

use std::time::{Duration, Instant};

use crate::finding::{Kind, Problem};
use crate::process::{Process, Vitals};

/// Descriptors that may come besides: files that a store opens when it needs them.
const DESCRIPTORS_SLACK: u64 = 6;
/// Between two looks at a process that is coming to rest.
const LOOK_MS: u64 = 20;
/// Plays of one case after which a leak that matters is told from what an allocator keeps.
pub const PLAYS: usize = 150;
/// Growth per play that is taken for a leak, if it goes on.
const GROWTH_BYTES_MIN: u64 = 2 << 10;

/// Waits until connections are gone, as far as descriptors tell; what is held then.
pub fn rest(process: &Process, wanted: Option<&Vitals>, time: Duration) -> Option<Vitals> {
    let deadline = Instant::now() + time;
    loop {
        let vitals = process.vitals()?;
        let is_back = wanted.is_none_or(|wanted| vitals.descriptors <= wanted.descriptors);
        if is_back || Instant::now() >= deadline {
            return Some(vitals);
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
}

/// What has not come back at the end of a run.
pub fn left_over(before: &Vitals, after: &Vitals) -> Vec<Problem> {
    let mut problems = Vec::new();
    if after.descriptors > before.descriptors + DESCRIPTORS_SLACK {
        let what =
            format!("{} descriptors at rest, {} before", after.descriptors, before.descriptors);
        problems.push(Problem::new(Kind::Descriptors, "", what));
    }
    if after.threads > before.threads {
        let what = format!("{} threads at rest, {} before", after.threads, before.threads);
        problems.push(Problem::new(Kind::Threads, "", what));
    }
    problems
}

/// Bytes that memory grows each time that these cases are played: `grow` plays all of them once and
/// says by how much. Zero unless it goes on, the second time as the first.
pub fn growth<C>(cases: &[C], grow: &mut dyn FnMut(&[C], usize) -> Option<u64>) -> Option<u64> {
    let rounds = PLAYS.div_ceil(cases.len().max(1));
    let first = grow(cases, rounds)?;
    let second = grow(cases, rounds)?;
    let plays = (rounds * cases.len()).max(1) as u64;
    let each = first.min(second) / plays;
    Some(if each >= GROWTH_BYTES_MIN { each } else { 0 })
}

/// The case among these after which memory grows most, with the growth per play; `None` if it does not
/// go on growing, whatever is played again.
pub fn culprit<C: Clone>(
    cases: &[C],
    grow: &mut dyn FnMut(&[C], usize) -> Option<u64>,
) -> Option<(C, u64)> {
    let mut left = cases.to_vec();
    while left.len() > 1 {
        let half = left.len() / 2;
        let rounds = PLAYS.div_ceil(half);
        let of_first = grow(&left[..half], rounds)?;
        let of_second = grow(&left[half..], rounds)?;
        left = if of_first >= of_second { left[..half].to_vec() } else { left[half..].to_vec() };
    }
    let case = left.pop()?;
    let each = growth(std::slice::from_ref(&case), grow)?;
    (each > 0).then_some((case, each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_that_leaks_is_found_among_many() {
        let cases: Vec<u64> = (0..300).collect();
        let mut grow = |cases: &[u64], rounds: usize| {
            let leaks = cases.iter().filter(|case| **case == 211).count() * rounds;
            Some(leaks as u64 * 30_000)
        };
        assert_eq!(culprit(&cases, &mut grow), Some((211, 30_000)));
    }

    #[test]
    fn what_stops_growing_is_no_leak() {
        let mut left = 100 << 20;
        let mut grow = |_: &[u64], _: usize| {
            let taken = left / 2;
            left = 0;
            Some(taken)
        };
        assert_eq!(culprit(&[1, 2, 3], &mut grow), None);
    }

    #[test]
    fn what_is_held_at_the_end_is_compared() {
        let before = Vitals { started: 1.0, memory_bytes: 0, descriptors: 30, threads: 9 };
        let after = Vitals { descriptors: 31, ..before };
        assert_eq!(left_over(&before, &after), []);
        let after = Vitals { descriptors: 90, threads: 10, ..before };
        let kinds: Vec<_> = left_over(&before, &after).iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [Kind::Descriptors, Kind::Threads]);
    }
}
