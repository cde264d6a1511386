//! Coarse time and a wheel of deadlines. Knows connections by id only.
//!
//! A hashed timing wheel (Varghese and Lauck, 1987). Entries are never removed: who arms a deadline
//! remembers its tick, and an entry that comes due with another tick is stale.

use std::mem;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use aldis_wire::ConnId;

/// Length of a tick. Deadlines are met up to two ticks late; 32 bits of ticks are 6.8 years.
const TICK: Duration = Duration::from_millis(50);
/// Slots of the wheel: 51 s. Later deadlines are looked at once per round.
const SLOTS: u32 = 1024;

/// A point in coarse time, counted from 1, so that an `Option` of it takes no space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(NonZeroU32);

impl Tick {
    /// The first one.
    pub const START: Tick = Tick(NonZeroU32::MIN);

    /// So many ticks later.
    pub fn after(self, ticks: u32) -> Tick {
        Tick(self.0.saturating_add(ticks))
    }

    /// Ticks from `earlier` to this one.
    pub fn since(self, earlier: Tick) -> u64 {
        u64::from(self.number().saturating_sub(earlier.number()))
    }

    fn number(self) -> u32 {
        self.0.get()
    }
}

/// Ticks after which at least `duration` has certainly passed.
pub(crate) fn ticks_of(duration: Duration) -> u32 {
    let ticks = duration.as_nanos().div_ceil(TICK.as_nanos()).saturating_add(1);
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Turns instants into ticks.
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Ticks count from `start`.
    pub fn new(start: Instant) -> Self {
        Self { start }
    }

    /// The tick that `now` lies in.
    pub fn tick(&self, now: Instant) -> Tick {
        let ticks = now.saturating_duration_since(self.start).as_millis() / TICK.as_millis();
        Tick::START.after(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// When `tick` begins.
    pub fn instant(&self, tick: Tick) -> Instant {
        self.start + TICK * (tick.number() - Tick::START.number())
    }
}

/// A deadline that came due, or the wheel's bound on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whose.
    pub conn: ConnId,
    /// As `Wheel::insert` returned it.
    pub tick: Tick,
}

/// The wheel.
pub(crate) struct Wheel {
    slots: Box<[Vec<Entry>]>,
    /// Everything up to here was taken out.
    done: Tick,
    /// First slot that holds something.
    next: Option<Tick>,
}

impl Wheel {
    /// An empty one.
    pub fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), done: Tick::START, next: None }
    }

    /// Makes an entry due at `at`, or one round from now if that is earlier, or at the next tick
    /// if `at` has passed. Returns when it will come due.
    pub fn insert(&mut self, conn: ConnId, at: Tick) -> Tick {
        let tick = at.clamp(self.done.after(1), self.done.after(SLOTS));
        self.slot(tick).push(Entry { conn, tick });
        self.next = Some(self.next.map_or(tick, |next| next.min(tick)));
        tick
    }

    /// When `advance` has something to do.
    pub fn next(&self) -> Option<Tick> {
        self.next
    }

    /// Moves everything that is due at `now` to `due`.
    pub fn advance(&mut self, now: Tick, due: &mut Vec<Entry>) {
        if self.next.is_none_or(|next| next > now) {
            self.done = self.done.max(now);
            return;
        }
        let steps = now.number().saturating_sub(self.done.number()).min(SLOTS);
        for step in 1..=steps {
            let tick = self.done.after(step);
            // Taking the whole list gives its memory back: waves of deadlines move on.
            due.append(&mut mem::take(self.slot(tick)));
        }
        self.done = now;
        let later = (1..=SLOTS).map(|step| now.after(step));
        self.next = later.into_iter().find(|tick| !self.slots[slot_index(*tick)].is_empty());
    }

    fn slot(&mut self, tick: Tick) -> &mut Vec<Entry> {
        &mut self.slots[slot_index(tick)]
    }
}

fn slot_index(tick: Tick) -> usize {
    (tick.number() % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId { index: 7, generation: 3 };

    fn due_at(wheel: &mut Wheel, now: Tick) -> Vec<Entry> {
        let mut due = Vec::new();
        wheel.advance(now, &mut due);
        due
    }

    #[test]
    fn an_entry_comes_due_at_its_tick_and_not_before() {
        let mut wheel = Wheel::new();
        let tick = wheel.insert(CONN, Tick::START.after(10));
        assert_eq!(wheel.next(), Some(tick));
        assert_eq!(due_at(&mut wheel, Tick::START.after(9)), vec![]);
        assert_eq!(due_at(&mut wheel, tick), vec![Entry { conn: CONN, tick }]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn later_than_a_round_comes_due_after_one_round() {
        let mut wheel = Wheel::new();
        let tick = wheel.insert(CONN, Tick::START.after(5 * SLOTS));
        assert_eq!(tick, Tick::START.after(SLOTS));
        assert_eq!(due_at(&mut wheel, Tick::START.after(SLOTS - 1)), vec![]);
        assert_eq!(due_at(&mut wheel, tick).len(), 1);
    }

    #[test]
    fn a_long_sleep_misses_nothing() {
        let mut wheel = Wheel::new();
        for ticks in 1..=3 * SLOTS {
            wheel.insert(CONN, Tick::START.after(ticks));
        }
        assert_eq!(due_at(&mut wheel, Tick::START.after(10 * SLOTS)).len(), 3 * SLOTS as usize);
        let tick = wheel.insert(CONN, Tick::START);
        assert_eq!(tick, Tick::START.after(10 * SLOTS + 1), "what has passed is due next");
        assert_eq!(due_at(&mut wheel, tick).len(), 1);
    }

    #[test]
    fn a_deadline_is_never_early() {
        let clock = Clock::new(Instant::now());
        let start = clock.start;
        for (begin_ms, length_ms) in [(0, 1), (49, 50), (49, 51), (99, 100), (10, 0)] {
            let begin = start + Duration::from_millis(begin_ms);
            let length = Duration::from_millis(length_ms);
            let fires = clock.instant(clock.tick(begin).after(ticks_of(length)));
            assert!(fires >= begin + length);
        }
    }
}
