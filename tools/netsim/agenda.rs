//! What is to happen when: things ordered by virtual time, those of one instant in the order in
//! which they were put in. Knows nothing of what they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things to come. The heap holds small keys only; the things stay where they are.
#[derive(Debug)]
pub struct Agenda<T> {
    keys: BinaryHeap<Reverse<(u64, u64, u32)>>,
    things: Vec<Option<T>>,
    vacant: Vec<u32>,
    next_sequence: u64,
}

impl<T> Agenda<T> {
    /// Empty.
    pub fn new() -> Self {
        Self { keys: BinaryHeap::new(), things: Vec::new(), vacant: Vec::new(), next_sequence: 0 }
    }

    /// Lets a thing come at this time.
    pub fn add(&mut self, at_ns: u64, thing: T) {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.things.push(None);
            u32::try_from(self.things.len() - 1).expect("memory ends before 4 billion events")
        });
        self.things[index as usize] = Some(thing);
        self.keys.push(Reverse((at_ns, self.next_sequence, index)));
        self.next_sequence += 1;
    }

    /// When the next thing comes.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.keys.peek().map(|Reverse((at_ns, ..))| *at_ns)
    }

    /// The next thing that is due, and since when.
    pub fn poll(&mut self, now_ns: u64) -> Option<(u64, T)> {
        if self.next_at_ns()? > now_ns {
            return None;
        }
        let Reverse((at_ns, _, index)) = self.keys.pop()?;
        self.vacant.push(index);
        let thing = self.things[index as usize].take().expect("a key has a thing");
        Some((at_ns, thing))
    }

    /// Things still to come.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Agenda;

    #[test]
    fn things_come_by_time_and_within_an_instant_in_order() {
        let mut agenda = Agenda::new();
        for (at_ns, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            agenda.add(at_ns, name);
        }
        assert_eq!(agenda.next_at_ns(), Some(1));
        assert_eq!(agenda.poll(0), None);
        let mut order = Vec::new();
        while let Some((_, name)) = agenda.poll(5) {
            order.push(name);
        }
        assert_eq!((order, agenda.len()), (vec!['a', 'b', 'c', 'd'], 0));
    }

    #[test]
    fn places_are_used_again() {
        let mut agenda = Agenda::new();
        for at_ns in 0..1_000 {
            agenda.add(at_ns, at_ns);
            assert_eq!(agenda.poll(at_ns), Some((at_ns, at_ns)));
        }
        assert_eq!(agenda.things.len(), 1);
    }
}
