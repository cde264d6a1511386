//! Whether what the server holds comes back when nothing is asked of it, and which case it is that takes
//! and does not give. Knows numbers, no connection.

use std::time::{Duration, Instant};

use crate::finding::{Kind, Problem};
use crate::process::{Process, Vitals};

/// Descriptors that may come besides: files that a store opens when it needs them.
const DESCRIPTORS_SLACK: u64 = 6;
/// Between two looks at a process that is coming to rest.
const LOOK: Duration = Duration::from_millis(20);
/// Where no descriptor came or went for so long, those that are left are not about to go.
const SETTLED: Duration = Duration::from_millis(160);

/// What a process can take and not give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Its own memory, bytes.
    Memory,
    /// Open descriptors.
    Descriptors,
    /// Threads.
    Threads,
}

/// Fewer plays say nothing.
const PLAYS_MIN: usize = 8;
/// Growth that is far above what comes and goes.
const SHOWS_BYTES: f64 = (2_u64 << 20) as f64;
/// Memory of which a play of a case takes less is not told from what an allocator keeps.
const GROWTH_BYTES_MIN: f64 = 4096.0;

impl Held {
    /// All.
    pub const ALL: [Held; 3] = [Held::Memory, Held::Descriptors, Held::Threads];

    /// Of which a finding of this kind is.
    pub fn of_kind(kind: Kind) -> Option<Self> {
        Self::ALL.into_iter().find(|held| held.kind() == kind)
    }

    /// The kind of a finding of this.
    pub fn kind(self) -> Kind {
        match self {
            Held::Memory => Kind::Memory,
            Held::Descriptors => Kind::Descriptors,
            Held::Threads => Kind::Threads,
        }
    }

    /// How much of it.
    pub fn of(self, vitals: &Vitals) -> u64 {
        match self {
            Held::Memory => vitals.memory_bytes,
            Held::Descriptors => vitals.descriptors,
            Held::Threads => vitals.threads,
        }
    }

    /// An amount in words.
    pub fn describe(self, amount: f64) -> String {
        match self {
            Held::Memory => format!("{:.0} KiB", amount / 1024.0),
            Held::Descriptors => format!("{amount:.1} descriptors"),
            Held::Threads => format!("{amount:.1} threads"),
        }
    }

    /// Plays after which a leak that matters shows: what can be counted shows at once.
    fn plays_max(self) -> usize {
        match self {
            Held::Memory => 100,
            Held::Descriptors | Held::Threads => PLAYS_MIN,
        }
    }

    /// Plays after which a leak of about so much each time shows.
    pub fn plays_for(self, each: f64) -> usize {
        ((SHOWS_BYTES / each.max(1.0)) as usize).clamp(PLAYS_MIN, self.plays_max())
    }

    /// Growth within some plays below which it says nothing: an allocator keeps as much.
    pub fn noise(self) -> f64 {
        self.growth_min() * self.plays_max() as f64
    }

    /// Growth for each play that is taken for a leak, if it goes on.
    fn growth_min(self) -> f64 {
        match self {
            Held::Memory => GROWTH_BYTES_MIN,
            Held::Descriptors | Held::Threads => 0.5,
        }
    }
}

/// Waits until connections are gone, as far as descriptors tell, or nothing goes any more; what is held
/// then.
pub fn settle(process: &Process, wanted: Option<&Vitals>, time: Duration) -> Option<Vitals> {
    let deadline = Instant::now() + time;
    let (mut last, mut changed) = (process.vitals()?, Instant::now());
    loop {
        let is_back = wanted.is_some_and(|wanted| last.descriptors <= wanted.descriptors);
        if is_back || changed.elapsed() >= SETTLED || Instant::now() >= deadline {
            return Some(last);
        }
        std::thread::sleep(LOOK);
        let vitals = process.vitals()?;
        if vitals.descriptors != last.descriptors {
            changed = Instant::now();
        }
        last = vitals;
    }
}

/// The same, but waits as long as there may be something to come back; all of it is back, or the time
/// is over.
pub fn come_back(process: &Process, wanted: &Vitals, time: Duration) -> Option<Vitals> {
    let deadline = Instant::now() + time;
    loop {
        let vitals = process.vitals()?;
        let is_back = vitals.descriptors <= wanted.descriptors && vitals.threads <= wanted.threads;
        if is_back || Instant::now() >= deadline {
            return Some(vitals);
        }
        std::thread::sleep(LOOK);
    }
}

/// What has not come back. (Of memory, only going on growing says something: see [`growth`].)
pub fn left_over(before: &Vitals, after: &Vitals) -> Vec<(Held, Problem)> {
    let [descriptors, threads] = [Held::Descriptors, Held::Threads];
    let slacks = [(descriptors, DESCRIPTORS_SLACK), (threads, 0)];
    let grown = slacks.into_iter().filter(|(held, slack)| held.of(after) > held.of(before) + slack);
    let problems = grown.map(|(held, _)| {
        let [now, then] = [after, before].map(|vitals| held.of(vitals));
        let what = format!("{} at rest, {then} before", held.describe(now as f64));
        (held, Problem::new(held.kind(), "", what))
    });
    problems.collect()
}

/// How much a case takes each time: `grow` plays cases so often and says how much more is held then. Zero
/// unless it goes on, the second time as the first.
pub fn growth<C: Clone>(
    held: Held,
    case: &C,
    grow: &mut dyn FnMut(&[C], usize) -> Option<u64>,
) -> Option<f64> {
    // What takes much shows soon.
    for plays in [PLAYS_MIN, held.plays_max()] {
        let case = std::slice::from_ref(case);
        let least = grow(case, plays)?.min(grow(case, plays)?) as f64;
        if least >= held.noise() {
            return Some(least / plays as f64);
        }
    }
    Some(0.0)
}

/// The case among these that takes most, with the growth for each play; `None` if it does not go on
/// growing, whatever is played again. On average they took so much each.
pub fn culprit<C: Clone>(
    held: Held,
    average: f64,
    cases: &[C],
    grow: &mut dyn FnMut(&[C], usize) -> Option<u64>,
) -> Option<(C, f64)> {
    let mut left = cases.to_vec();
    while left.len() > 1 {
        let half = left.len() / 2;
        let rounds = held.plays_for(average).div_ceil(half);
        let of_first = grow(&left[..half], rounds)?;
        let of_second = grow(&left[half..], rounds)?;
        left = if of_first >= of_second { left[..half].to_vec() } else { left[half..].to_vec() };
    }
    let case = left.pop()?;
    let each = growth(held, &case, grow)?;
    (each > 0.0).then_some((case, each))
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
        assert_eq!(culprit(Held::Memory, 100.0, &cases, &mut grow), Some((211, 30_000.0)));
    }

    #[test]
    fn a_descriptor_of_every_other_play_is_a_leak() {
        let mut grow = |cases: &[u64], rounds: usize| {
            Some(cases.iter().filter(|case| **case == 3).count() as u64 * rounds as u64 / 2)
        };
        let found = culprit(Held::Descriptors, 0.1, &[0, 1, 2, 3, 4], &mut grow);
        assert_eq!(found, Some((3, 0.5)));
    }

    #[test]
    fn what_stops_growing_is_no_leak() {
        let mut left = 100 << 20;
        let mut grow = |_: &[u64], _: usize| {
            let taken = left / 2;
            left = 0;
            Some(taken)
        };
        assert_eq!(culprit(Held::Memory, 1e6, &[1, 2, 3], &mut grow), None);
    }

    #[test]
    fn what_is_held_at_the_end_is_compared() {
        let before = Vitals { started: 1.0, memory_bytes: 0, descriptors: 30, threads: 9 };
        let after = Vitals { descriptors: 31, ..before };
        assert_eq!(left_over(&before, &after).len(), 0);
        let after = Vitals { descriptors: 90, threads: 10, ..before };
        let kinds: Vec<_> = left_over(&before, &after).iter().map(|(_, p)| p.kind).collect();
        assert_eq!(kinds, [Kind::Descriptors, Kind::Threads]);
    }
}
