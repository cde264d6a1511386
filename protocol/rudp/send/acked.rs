//! Which numbers an acknowledgement names that the ones before it did not. Knows no packets.

use crate::wire::ack::{Ack, Range};

/// The acknowledgement with the largest number so far.
#[derive(Debug, Default)]
pub(crate) struct Acked {
    ranges: Vec<Range>,
}

impl Acked {
    /// One more than the largest number that was acknowledged.
    pub fn next(&self) -> u64 {
        self.ranges.first().map_or(0, |range| range.last + 1)
    }

    /// Hands out the numbers from `base` on that this acknowledgement adds, in rising order. An old
    /// number may show again once its range is no longer named.
    pub fn handle_ack(&mut self, ack: &Ack, base: u64, mut add: impl FnMut(u64)) {
        let mut known = self.ranges.iter().rev().peekable();
        for range in ack.ranges().iter().rev() {
            let mut number = range.first.max(base);
            while number <= range.last {
                while known.next_if(|known| known.last < number).is_some() {}
                match known.peek() {
                    Some(known) if known.first <= number => number = known.last + 1,
                    _ => {
                        add(number);
                        number += 1;
                    }
                }
            }
        }
        if ack.largest() + 1 >= self.next() {
            self.ranges.clear();
            self.ranges.extend_from_slice(ack.ranges());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::ack::Counters;

    fn ack_of(numbers: &BTreeSet<u64>) -> Ack {
        let mut ranges: Vec<Range> = Vec::new();
        for number in numbers.iter().rev().copied() {
            match ranges.last_mut() {
                Some(range) if range.first == number + 1 => range.first = number,
                _ => ranges.push(Range { first: number, last: number }),
            }
        }
        Ack::new(0, Counters::default(), ranges.into_iter())
    }

    proptest! {
        #[test]
        fn every_number_is_handed_out_and_in_order_once(
            steps in proptest::collection::vec(proptest::collection::vec(0u64..40, 1..6), 1..12),
        ) {
            let (mut acked, mut numbers, mut handed) =
                (Acked::default(), BTreeSet::new(), BTreeSet::new());
            for step in steps {
                numbers.extend(step);
                let ack = ack_of(&numbers);
                let mut last = None;
                acked.handle_ack(&ack, 0, |number| {
                    assert!(last < Some(number));
                    last = Some(number);
                    assert!(handed.insert(number), "{number} again");
                });
                prop_assert_eq!(&handed, &numbers);
                prop_assert_eq!(acked.next(), numbers.last().unwrap() + 1);
            }
        }
    }

    #[test]
    fn numbers_below_the_base_are_left_out() {
        let mut acked = Acked::default();
        let mut numbers = Vec::new();
        acked.handle_ack(&ack_of(&(0..1_000).collect()), 998, |number| numbers.push(number));
        assert_eq!(numbers, [998, 999]);
    }
}
