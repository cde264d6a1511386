//! Which messages came: everything below a floor, and bits above it. Knows nothing of messages.

use std::collections::VecDeque;

/// Message ids that may be under way at a time. Sixteen bits keep the bits under 8 KiB; with
/// messages of 300 bytes it is 20 MB under way, above what the windows allow.
pub(crate) const IDS_UNDER_WAY_MAX: u64 = 1 << 16;

/// Exactly which ids came.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Ids below 64 times this all came.
    first_word: u64,
    words: VecDeque<u64>,
    next: u64,
}

impl Seen {
    /// One more than the largest id that came.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The smallest id that did not come.
    pub fn floor(&self) -> u64 {
        let bits = self.words.front().map_or(0, |word| word.trailing_ones());
        self.first_word * 64 + u64::from(bits)
    }

    /// Whether a sender that keeps to the limit may send this id.
    pub fn is_in_reach(&self, id: u64) -> bool {
        id < self.floor() + IDS_UNDER_WAY_MAX
    }

    /// Whether it came.
    pub fn contains(&self, id: u64) -> bool {
        let Some(index) = (id / 64).checked_sub(self.first_word) else { return true };
        self.words.get(index as usize).is_some_and(|word| word & (1 << (id % 64)) != 0)
    }

    /// Notes an id in reach that did not come before.
    pub fn insert(&mut self, id: u64) {
        debug_assert!(self.is_in_reach(id) && !self.contains(id));
        let index = (id / 64 - self.first_word) as usize;
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        self.words[index] |= 1 << (id % 64);
        self.next = self.next.max(id + 1);
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.first_word += 1;
        }
    }

    /// Bytes that the bits take.
    pub fn memory_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.words.shrink_to(4);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_in_order_take_no_more_than_a_word() {
        let mut seen = Seen::default();
        for id in 0..100_000 {
            seen.insert(id);
            assert_eq!((seen.floor(), seen.next()), (id + 1, id + 1));
        }
        assert!(seen.memory_bytes() <= 64);
        assert!(!seen.is_in_reach(100_000 + IDS_UNDER_WAY_MAX));
    }

    proptest! {
        #[test]
        fn it_remembers_what_a_set_remembers(ids in proptest::collection::vec(0u64..400, 1..300)) {
            let (mut seen, mut model) = (Seen::default(), BTreeSet::new());
            for id in ids {
                prop_assert_eq!(seen.contains(id), model.contains(&id));
                if model.insert(id) {
                    seen.insert(id);
                }
                prop_assert_eq!(seen.next(), model.last().unwrap() + 1);
                prop_assert_eq!(seen.floor(), (0..).find(|id| !model.contains(id)).unwrap());
            }
        }
    }
}
