//! The earliest of many deadlines: a binary heap in which each entry knows its place. Knows indices.

use crate::time::Time;

/// Not in the heap.
const ABSENT: u32 = u32::MAX;

/// One deadline per index.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: Vec<(Time, u32)>,
    places: Vec<u32>,
}

impl Deadlines {
    /// Sets the deadline of an index.
    pub fn set(&mut self, index: u32, at: Time) {
        if self.places.len() <= index as usize {
            self.places.resize(index as usize + 1, ABSENT);
        }
        let place = match self.places[index as usize] {
            ABSENT => {
                self.heap.push((at, index));
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize].0 = at;
                place as usize
            }
        };
        self.places[index as usize] = place as u32;
        let place = self.rise(place);
        self.sink(place);
    }

    /// Removes the deadline of an index, if it has one.
    pub fn remove(&mut self, index: u32) {
        let Some(place) = self.places.get_mut(index as usize) else { return };
        let place = std::mem::replace(place, ABSENT);
        if place == ABSENT {
            return;
        }
        let place = place as usize;
        self.heap.swap_remove(place);
        if let Some((_, moved)) = self.heap.get(place) {
            self.places[*moved as usize] = place as u32;
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// The earliest deadline and whose it is.
    pub fn first(&self) -> Option<(Time, u32)> {
        self.heap.first().copied()
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent] <= self.heap[place] {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(entry) = self.heap.get(left) else { return };
            let right = self.heap.get(left + 1).filter(|right| *right < entry);
            let child = if right.is_some() { left + 1 } else { left };
            if self.heap[place] <= self.heap[child] {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.places[self.heap[one].1 as usize] = one as u32;
        self.places[self.heap[other].1 as usize] = other as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_is_that_of_a_map(
            steps in proptest::collection::vec((0u32..20, proptest::option::of(0u64..50)), 1..200),
        ) {
            let (mut deadlines, mut model) = (Deadlines::default(), BTreeMap::new());
            for (index, at) in steps {
                match at {
                    Some(at) => {
                        deadlines.set(index, Time(at));
                        model.insert(index, Time(at));
                    }
                    None => {
                        deadlines.remove(index);
                        model.remove(&index);
                    }
                }
                let first = model.iter().map(|(index, at)| (*at, *index)).min();
                prop_assert_eq!(deadlines.first(), first);
            }
        }
    }
}
