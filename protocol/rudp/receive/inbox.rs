//! Messages that arrive: each once, in order within its flow, and not more than the window allows.
//! Knows no packets.
//!
//! A message names the one before it in its flow by its id, so that a flow needs no state here: a
//! message waits while its predecessor was not delivered, and that is all.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::config::MESSAGE_BYTES_MAX;
use crate::event::Event;
use crate::hash::NumberMap;
use crate::ids::{Flow, PeerId};
use crate::planted::{self, Bug};
use crate::receive::reassembly::{Reassembly, Step};
use crate::receive::seen::Seen;
use crate::wire::frame::{MessageFrame, Order};

/// What a message counts besides its bytes, in both windows: what it takes to keep it.
pub(crate) const MESSAGE_COST_BYTES: usize = 64;

/// What a message counts.
pub(crate) fn cost(len: usize) -> u64 {
    (len + MESSAGE_COST_BYTES) as u64
}

/// The peer broke the protocol; the session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke the protocol")]
pub(crate) struct Violation;

#[derive(Debug)]
struct Held {
    flow: u32,
    message: Bytes,
}

/// The receiving side of a session's messages.
#[derive(Debug)]
pub(crate) struct Inbox {
    peer: PeerId,
    seen: Seen,
    parts: Reassembly,
    /// Complete messages whose predecessor was not delivered, by id.
    held: NumberMap<u64, Held>,
    /// Ids of held messages by the id they wait for.
    waiting: NumberMap<u64, u64>,
    /// What messages cost that began to arrive.
    arrived: u64,
    /// What messages cost that the driver took.
    taken: u64,
    /// What the peer may send in total, as it was told.
    limit: u64,
    window: u64,
    delivered: u64,
    duplicates: u64,
}

impl Inbox {
    /// Of a new session that told its peer this window.
    pub fn new(peer: PeerId, window: u64) -> Self {
        Self {
            peer,
            seen: Seen::default(),
            parts: Reassembly::default(),
            held: NumberMap::default(),
            waiting: NumberMap::default(),
            arrived: 0,
            taken: 0,
            limit: window,
            window,
            delivered: 0,
            duplicates: 0,
        }
    }

    /// One more than the largest message id that came whole.
    pub fn next_id(&self) -> u64 {
        self.seen.next()
    }

    /// Messages delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Messages that came again.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Takes a message or a part of one; what it completes becomes events.
    pub fn handle_message(
        &mut self,
        frame: &MessageFrame<'_>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Violation> {
        if self.seen.contains(frame.id) && !planted::is_active(Bug::NoDedupe) {
            self.duplicates += 1;
            return Ok(());
        }
        let message = match frame.part {
            None => {
                self.arrive(frame.id, frame.data.len())?;
                Bytes::copy_from_slice(frame.data)
            }
            Some(part) => {
                if !self.seen.is_in_reach(frame.id) {
                    return Err(Violation);
                }
                match self.parts.insert(frame.id, frame.order, part, frame.data)? {
                    Step::Begun => return self.arrive(frame.id, part.total as usize),
                    Step::Continued => return Ok(()),
                    Step::Known => {
                        self.duplicates += 1;
                        return Ok(());
                    }
                    Step::Complete(message) => message,
                }
            }
        };
        if !self.seen.contains(frame.id) {
            self.seen.insert(frame.id);
        }
        self.deliver(frame.id, frame.order, message, events)
    }

    /// The driver took a message of so many bytes.
    pub fn handle_taken(&mut self, len: usize) {
        self.taken += cost(len);
        debug_assert!(self.taken <= self.arrived);
    }

    /// Whether the peer should be told a new limit: a quarter of the window was taken since.
    pub fn is_window_due(&self) -> bool {
        self.limit - self.taken < self.window - self.window / 4
    }

    /// What the peer may send in total from now on.
    pub fn raise_limit(&mut self) -> u64 {
        self.limit = self.taken + self.window;
        self.limit
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        let held: usize = self.held.values().map(|held| held.message.len()).sum();
        let tables = self.held.capacity() * (size_of::<Held>() + 9) + self.waiting.capacity() * 17;
        held + tables + self.parts.memory_bytes() + self.seen.memory_bytes()
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.seen.shrink();
        self.parts.shrink();
        self.held.shrink_to(0);
        self.waiting.shrink_to(0);
    }

    /// Asserts what always holds.
    pub fn invariants(&self) {
        assert_eq!(self.held.len(), self.waiting.len());
        assert!(self.taken <= self.arrived && self.arrived <= self.limit);
        for (predecessor, id) in &self.waiting {
            assert!(predecessor < id && self.held.contains_key(id) && self.seen.contains(*id));
            assert!(!self.seen.contains(*predecessor) || self.held.contains_key(predecessor));
        }
    }

    fn arrive(&mut self, id: u64, len: usize) -> Result<(), Violation> {
        self.arrived += cost(len);
        let is_allowed = self.arrived <= self.limit && len <= MESSAGE_BYTES_MAX;
        if is_allowed && self.seen.is_in_reach(id) { Ok(()) } else { Err(Violation) }
    }

    fn deliver(
        &mut self,
        id: u64,
        order: Order,
        message: Bytes,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Violation> {
        let Order::InFlow { flow, predecessor } = order else {
            self.push(Flow::Unordered, message, events);
            return Ok(());
        };
        if predecessor > 0 {
            let before = id.checked_sub(u64::from(predecessor)).ok_or(Violation)?;
            if !self.seen.contains(before) || self.held.contains_key(&before) {
                self.held.insert(id, Held { flow, message });
                let other = self.waiting.insert(before, id);
                return if other.is_none() { Ok(()) } else { Err(Violation) };
            }
        }
        self.push(Flow::Ordered(flow), message, events);
        let mut delivered = id;
        while let Some(next) = self.waiting.remove(&delivered) {
            let held = self.held.remove(&next).expect("who waits is held");
            self.push(Flow::Ordered(held.flow), held.message, events);
            delivered = next;
        }
        Ok(())
    }

    fn push(&mut self, flow: Flow, message: Bytes, events: &mut VecDeque<Event>) {
        self.delivered += 1;
        events.push_back(Event::Message { peer: self.peer, flow, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId { index: 0, generation: 0 };

    fn inbox() -> Inbox {
        Inbox::new(PEER, 1 << 20)
    }

    fn ordered(predecessor: u32) -> Order {
        Order::InFlow { flow: 5, predecessor }
    }

    fn take(inbox: &mut Inbox, id: u64, order: Order) -> Vec<u8> {
        let mut events = VecDeque::new();
        let frame = MessageFrame { id, order, part: None, data: &[id as u8] };
        inbox.handle_message(&frame, &mut events).unwrap();
        inbox.invariants();
        events
            .into_iter()
            .map(|event| match event {
                Event::Message { message, .. } => message[0],
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn messages_of_a_flow_wait_for_their_predecessors_only() {
        let mut inbox = inbox();
        assert_eq!(take(&mut inbox, 3, ordered(2)), []);
        assert_eq!(take(&mut inbox, 2, Order::Unordered), [2]);
        assert_eq!(take(&mut inbox, 4, ordered(1)), []);
        assert_eq!(take(&mut inbox, 6, ordered(0)), [6]);
        assert_eq!(take(&mut inbox, 1, ordered(0)), [1, 3, 4]);
        assert_eq!(take(&mut inbox, 7, ordered(3)), [7]);
    }

    #[test]
    fn messages_that_come_again_are_dropped() {
        let mut inbox = inbox();
        assert_eq!(take(&mut inbox, 0, Order::Unordered), [0]);
        assert_eq!(take(&mut inbox, 0, Order::Unordered), []);
        assert_eq!(take(&mut inbox, 2, ordered(2)), [2]);
        assert_eq!(take(&mut inbox, 4, ordered(1)), []);
        assert_eq!(take(&mut inbox, 4, ordered(1)), []);
        assert_eq!(take(&mut inbox, 3, ordered(1)), [3, 4]);
        assert_eq!(inbox.duplicates(), 2);
    }

    #[test]
    fn more_than_the_window_is_a_violation() {
        let mut inbox = Inbox::new(PEER, 1_000);
        let mut events = VecDeque::new();
        let data = [0; 500];
        let mut frame = MessageFrame { id: 0, order: Order::Unordered, part: None, data: &data };
        assert_eq!(inbox.handle_message(&frame, &mut events), Ok(()));
        assert!(!inbox.is_window_due());
        inbox.handle_taken(500);
        assert!(inbox.is_window_due());
        assert_eq!(inbox.raise_limit(), 1_564);
        frame.id = 1;
        assert_eq!(inbox.handle_message(&frame, &mut events), Ok(()));
        frame.id = 2;
        assert_eq!(inbox.handle_message(&frame, &mut events), Err(Violation));
    }

    #[test]
    fn two_successors_and_predecessors_before_the_first_are_violations() {
        let mut events = VecDeque::new();
        let mut inbox = inbox();
        assert_eq!(take(&mut inbox, 5, ordered(3)), []);
        for (id, predecessor) in [(4, 2), (3, 4)] {
            let order = ordered(predecessor);
            let frame = MessageFrame { id, order, part: None, data: &[] };
            assert_eq!(inbox.handle_message(&frame, &mut events), Err(Violation));
        }
    }
}
