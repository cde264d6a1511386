//! Datagrams that repairs brought back, until it is sure that they were lost: where datagrams overtake
//! each other a repair can come before what it stands for, and that is no loss. Knows no code.

use std::collections::VecDeque;

use crate::time::Time;

/// Datagrams that are watched; older ones count as lost.
const WATCHED_MAX: usize = 64;

/// See the file's head.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    watched: VecDeque<(u64, Time)>,
}

impl Restored {
    /// A datagram was brought back. Returns how many count as lost for want of room.
    pub fn push(&mut self, now: Time, number: u64) -> u64 {
        self.watched.push_back((number, now));
        if self.watched.len() <= WATCHED_MAX {
            return 0;
        }
        self.watched.pop_front();
        1
    }

    /// Whether it is not yet sure that this one was lost.
    pub fn is_watched(&self, number: u64) -> bool {
        self.watched.iter().any(|(watched, _)| *watched == number)
    }

    /// It came after all.
    pub fn handle_arrival(&mut self, number: u64) {
        self.watched.retain(|(watched, _)| *watched != number);
    }

    /// How many did not come within `patience_ns`.
    pub fn take_lost(&mut self, now: Time, patience_ns: u64) -> u64 {
        let mut count = 0;
        while self.watched.front().is_some_and(|(_, at)| at.plus(patience_ns) <= now) {
            self.watched.pop_front();
            count += 1;
        }
        count
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        self.watched.capacity() * size_of::<(u64, Time)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_all_was_not_lost() {
        let mut restored = Restored::default();
        assert_eq!(restored.push(Time(0), 7) + restored.push(Time(10), 9), 0);
        assert!(restored.is_watched(7) && !restored.is_watched(8));
        restored.handle_arrival(7);
        assert_eq!(restored.take_lost(Time(109), 100), 0);
        assert_eq!(restored.take_lost(Time(110), 100), 1);
        assert!(!restored.is_watched(9));
    }

    #[test]
    fn no_more_are_watched_than_there_is_room_for() {
        let mut restored = Restored::default();
        let lost: u64 =
            (0..WATCHED_MAX as u64 + 5).map(|number| restored.push(Time(0), number)).sum();
        assert_eq!(lost, 5);
        assert_eq!(restored.take_lost(Time(1), 1), WATCHED_MAX as u64);
    }
}
