//! The replay window over packet numbers (RFC 4303 3.4.3). Knows nothing of what packets hold.

/// Numbers behind the largest that are still told apart; what is older is dropped. At 100,000
/// datagrams a second it spans 80 ms of reordering.
const WINDOW: u64 = 8_192;
const WORDS: usize = (WINDOW / 64) as usize;

/// Which of the latest packet numbers came.
#[derive(Debug)]
pub(crate) struct ReplayWindow {
    /// One bit per number, by the number modulo the window.
    bits: Box<[u64; WORDS]>,
    /// One more than the largest number that came.
    next: u64,
}

impl ReplayWindow {
    /// Of a new session.
    pub fn new() -> Self {
        Self { bits: Box::new([0; WORDS]), next: 0 }
    }

    /// One more than the largest number so far.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of memory that are held besides the struct itself.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.bits)
    }

    /// Whether this number came before, or is too old to tell.
    pub fn is_seen(&self, number: u64) -> bool {
        if number >= self.next {
            return false;
        }
        self.next - number > WINDOW || self.bits[word(number)] & bit(number) != 0
    }

    /// Notes a number that `is_seen` denied.
    pub fn insert(&mut self, number: u64) {
        debug_assert!(!self.is_seen(number));
        if number >= self.next {
            self.forget(number);
            self.next = number + 1;
        }
        self.bits[word(number)] |= bit(number);
    }

    /// Frees the bits of the numbers from `next` to `number`.
    fn forget(&mut self, number: u64) {
        if number - self.next >= WINDOW {
            self.bits.fill(0);
            return;
        }
        let mut next = self.next;
        while next <= number {
            if next.is_multiple_of(64) && number - next >= 63 {
                self.bits[word(next)] = 0;
                next += 64;
            } else {
                self.bits[word(next)] &= !bit(next);
                next += 1;
            }
        }
    }
}

fn word(number: u64) -> usize {
    (number % WINDOW / 64) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_behind_the_window_count_as_seen() {
        let mut window = ReplayWindow::new();
        window.insert(WINDOW);
        assert!(window.is_seen(0) && !window.is_seen(1));
    }

    proptest! {
        #[test]
        fn it_remembers_what_a_set_remembers(
            steps in proptest::collection::vec((0u64..40_000, 0u64..300), 1..60),
        ) {
            let (mut window, mut model) = (ReplayWindow::new(), BTreeSet::new());
            for (base, near) in steps {
                for number in [base, window.next().saturating_sub(near), window.next() + near / 8] {
                    let largest = model.last().copied();
                    let is_old = largest.is_some_and(|largest| number + WINDOW <= largest);
                    prop_assert_eq!(window.is_seen(number), is_old || model.contains(&number));
                    if !window.is_seen(number) {
                        window.insert(number);
                        model.insert(number);
                    }
                }
            }
        }
    }
}
