//! Which message precedes the next one of a flow. Knows flows while something of theirs is under way.

use crate::hash::NumberMap;

#[derive(Clone, Copy, Debug)]
struct Tail {
    last: u64,
    unacknowledged: u32,
}

/// The flows that have unacknowledged messages.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    tails: NumberMap<u32, Tail>,
}

impl Flows {
    /// Adds a message at a flow's end; gives the distance to the one before it, or 0 if everything
    /// before it was acknowledged, and so delivered.
    pub fn push(&mut self, flow: u32, id: u64) -> u32 {
        let tail = self.tails.entry(flow).or_insert(Tail { last: id, unacknowledged: 0 });
        let distance = id - tail.last;
        *tail = Tail { last: id, unacknowledged: tail.unacknowledged + 1 };
        u32::try_from(distance).expect("ids under way span less")
    }

    /// A message of the flow was acknowledged.
    pub fn handle_acknowledged(&mut self, flow: u32) {
        let tail = self.tails.get_mut(&flow).expect("a flow lives while messages do");
        tail.unacknowledged -= 1;
        if tail.unacknowledged == 0 {
            self.tails.remove(&flow);
        }
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        self.tails.capacity() * (size_of::<(u32, Tail)>() + 1)
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.tails.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_forgotten_once_everything_of_it_is_acknowledged() {
        let mut flows = Flows::default();
        assert_eq!((flows.push(1, 10), flows.push(1, 13), flows.push(2, 14)), (0, 3, 0));
        flows.handle_acknowledged(1);
        assert_eq!(flows.push(1, 20), 7);
        flows.handle_acknowledged(1);
        flows.handle_acknowledged(1);
        assert_eq!(flows.push(1, 30), 0);
    }
}
