//! Messages on their way out: what waits, in which order it goes, what is acknowledged. Knows pieces
//! of messages, not packets.
//!
//! What was lost goes first, then small messages in their order, with every eighth turn for the
//! parts of large ones, which take turns among themselves (deficit round robin, Shreedhar and
//! Varghese 1995, with equal quanta). So 1 MiB delays a small message by one datagram.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::config::DATAGRAM_BYTES_BASE;
use crate::ids::{Flow, MessageId};
use crate::receive::inbox::cost;
use crate::receive::seen::IDS_UNDER_WAY_MAX;
use crate::redundancy::encoder::REPAIR_OVERHEAD;
use crate::send::flows::Flows;
use crate::send::parts::Parts;
use crate::send::sent::Chunk;
use crate::wire::frame::{FRAME_OVERHEAD_MAX, Order, Part, overhead};
use crate::wire::header::HEADER_BYTES_MAX;

/// Up to here a message is sent whole: it fits into a datagram that every path carries, and so does
/// Packets that hold a message at the same time. A peer that is silent gets a probe every now and then,
/// so it is far more than there are before it is lost.
const COPIES_MAX: u16 = 10_000;
/// a repair that covers this datagram.
pub(crate) const SMALL_BYTES_MAX: usize =
    DATAGRAM_BYTES_BASE - HEADER_BYTES_MAX - 16 - FRAME_OVERHEAD_MAX - REPAIR_OVERHEAD;
/// Small messages that go before a part of a large one gets its turn.
const SMALL_RUN_MAX: u32 = 7;
/// Large messages that take turns; more would only finish later, and hold more of the peer's window.
const LARGE_AT_A_TIME: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of it was sent.
    Fresh,
    /// Something of it is under way.
    Sent,
    /// It is in the queue of what was lost.
    Lost,
    /// Acknowledged.
    Done,
}

#[derive(Debug)]
struct Outgoing {
    data: Bytes,
    order: Order,
    state: State,
    /// Packets under way that hold it; for small messages.
    copies: u16,
    parts: Option<Box<Parts>>,
}

/// The messages.
#[derive(Debug)]
pub(crate) struct Outbox {
    first: u64,
    messages: VecDeque<Outgoing>,
    lost: VecDeque<u64>,
    fresh: VecDeque<u64>,
    fresh_large: VecDeque<u64>,
    /// Large messages that were begun and have something to send.
    round: VecDeque<u64>,
    small_run: u32,
    flows: Flows,
    /// What unacknowledged messages cost, and may.
    cost: u64,
    cost_max: u64,
    unacknowledged_count: usize,
    /// What messages cost that began to be sent, and may by the peer's window.
    started: u64,
    limit: u64,
    is_refusing: bool,
}

impl Outbox {
    /// That takes messages up to `cost_max` and sends up to the peer's first limit.
    pub fn new(cost_max: usize, limit: u64) -> Self {
        Self {
            first: 0,
            messages: VecDeque::new(),
            lost: VecDeque::new(),
            fresh: VecDeque::new(),
            fresh_large: VecDeque::new(),
            round: VecDeque::new(),
            small_run: 0,
            flows: Flows::default(),
            cost: 0,
            cost_max: cost_max as u64,
            unacknowledged_count: 0,
            started: 0,
            limit,
            is_refusing: false,
        }
    }

    /// Takes a message, or `None` if there is no room.
    pub fn push(&mut self, flow: Flow, data: Bytes) -> Option<MessageId> {
        let cost = cost(data.len());
        if self.cost + cost > self.cost_max {
            self.is_refusing = true;
            return None;
        }
        self.cost += cost;
        self.unacknowledged_count += 1;
        let id = self.next_id();
        let order = match flow {
            Flow::Unordered => Order::Unordered,
            Flow::Ordered(flow) => Order::InFlow { flow, predecessor: self.flows.push(flow, id) },
        };
        let mut parts = None;
        if data.len() <= SMALL_BYTES_MAX {
            self.fresh.push_back(id);
        } else {
            self.fresh_large.push_back(id);
            parts = Some(Box::new(Parts::new(id, data.len() as u32)));
        }
        self.messages.push_back(Outgoing { data, order, state: State::Fresh, copies: 0, parts });
        Some(MessageId(id))
    }

    /// The id of the next message.
    pub fn next_id(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// The oldest id that is not acknowledged.
    pub fn first_id(&self) -> u64 {
        self.first
    }

    /// Messages that are not acknowledged.
    pub fn unacknowledged_count(&self) -> usize {
        self.unacknowledged_count
    }

    /// All messages that may not have been delivered, in order: those that are not acknowledged, and
    /// those that are, but wait at the peer for a predecessor in their flow that is not.
    pub fn undelivered(&self) -> Vec<MessageId> {
        let mut held_back = BTreeSet::new();
        let is_unknown = |message: &Outgoing| {
            let is_done = message.state == State::Done;
            match message.order {
                Order::Unordered => !is_done,
                Order::InFlow { flow, .. } if is_done => held_back.contains(&flow),
                Order::InFlow { flow, .. } => {
                    held_back.insert(flow);
                    true
                }
            }
        };
        let unknown = self.messages.iter().map(is_unknown);
        let ids = (self.first..).zip(unknown).filter(|(_, is_unknown)| *is_unknown);
        ids.map(|(id, _)| MessageId(id)).collect()
    }

    /// Whether `push` refused and now has room for half of what it may hold.
    pub fn take_writable(&mut self) -> bool {
        let is_writable = self.is_refusing && self.cost <= self.cost_max / 2;
        if is_writable {
            self.is_refusing = false;
        }
        is_writable
    }

    /// The peer's window: what may be sent in total.
    pub fn raise_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Whether there is something that may be sent.
    pub fn has_pieces(&mut self) -> bool {
        self.has_small() || self.round_front().is_some()
    }

    /// Whether small messages wait that may be sent.
    pub fn has_small(&mut self) -> bool {
        self.lost_front().is_some() || self.fresh_front().is_some()
    }

    /// Whether large messages wait or are being sent.
    pub fn has_large(&self) -> bool {
        !self.round.is_empty() || !self.fresh_large.is_empty()
    }

    /// The next piece that fits into `room` bytes of frames, where `expected` is the id that needs
    /// no mention. It counts as sent from now on. With `is_small_only` no part of a message is given.
    pub fn next_piece(
        &mut self,
        room: usize,
        expected: Option<u64>,
        is_small_only: bool,
    ) -> Option<Chunk> {
        if let Some(id) = self.lost_front() {
            let piece = self.take_small(id, room, expected)?;
            self.lost.pop_front();
            return Some(piece);
        }
        let large = self.round_front();
        if let Some(id) = self.fresh_front()
            && (large.is_none() || is_small_only || self.small_run < SMALL_RUN_MAX)
            && let Some(piece) = self.take_small(id, room, expected)
        {
            self.fresh.pop_front();
            self.small_run += u32::from(large.is_some());
            return Some(piece);
        }
        let id = large.filter(|_| !is_small_only)?;
        let message = self.message_mut(id).expect("queued messages are there");
        let order = message.order;
        let parts = message.parts.as_mut().expect("it is large");
        let part = Part { total: message.data.len() as u32, offset: parts.next_offset() };
        let overhead = overhead(id, expected.unwrap_or(id), order, Some(part));
        let piece = parts.take(room.checked_sub(overhead)?)?;
        self.round.rotate_left(1);
        self.small_run = 0;
        Some(piece)
    }

    /// Sends a piece again that is under way in another packet. `None` if it is acknowledged or
    /// does not fit.
    pub fn copy_piece(&mut self, chunk: Chunk, room: usize) -> Option<Chunk> {
        let room = room.checked_sub(FRAME_OVERHEAD_MAX)?;
        let message = self.message_mut(chunk.message)?;
        if message.state == State::Done {
            return None;
        }
        if let Some(parts) = &message.parts {
            return parts.copy(chunk, room);
        }
        let is_copied_out = message.copies == COPIES_MAX;
        if message.data.len() > room || message.state != State::Sent || is_copied_out {
            return None;
        }
        message.copies += 1;
        Some(chunk)
    }

    /// The length of the message that a piece belongs to which is not acknowledged, and whether the
    /// piece is all of it.
    pub fn message_of(&self, chunk: Chunk) -> (usize, bool) {
        let message = &self.messages[(chunk.message - self.first) as usize];
        (message.data.len(), message.parts.is_none())
    }

    /// The bytes of a piece that is not acknowledged, whether it is a part, and what it waits for.
    pub fn piece(&self, chunk: Chunk) -> (&[u8], Option<u32>, Order) {
        let message = &self.messages[(chunk.message - self.first) as usize];
        let bytes = &message.data[chunk.offset as usize..(chunk.offset + chunk.len) as usize];
        let total = message.parts.as_ref().map(|_| message.data.len() as u32);
        (bytes, total, message.order)
    }

    /// A piece was acknowledged.
    pub fn handle_acknowledged(&mut self, chunk: Chunk) {
        let Some(message) = self.message_mut(chunk.message) else { return };
        message.copies = message.copies.saturating_sub(1);
        if message.state == State::Done {
            return;
        }
        if let Some(parts) = &mut message.parts {
            parts.handle_acknowledged(chunk);
            if !parts.is_done() {
                return;
            }
        }
        message.state = State::Done;
        let cost = cost(message.data.len());
        message.data = Bytes::new();
        message.parts = None;
        let order = message.order;
        self.cost -= cost;
        self.unacknowledged_count -= 1;
        if let Order::InFlow { flow, .. } = order {
            self.flows.handle_acknowledged(flow);
        }
        while self.messages.front().is_some_and(|message| message.state == State::Done) {
            self.messages.pop_front();
            self.first += 1;
        }
    }

    /// A piece was lost, and will be sent again unless another packet holds it too.
    pub fn handle_lost(&mut self, chunk: Chunk) {
        let Some(message) = self.message_mut(chunk.message) else { return };
        message.copies = message.copies.saturating_sub(1);
        if message.state == State::Done {
            return;
        }
        if let Some(parts) = &mut message.parts {
            parts.handle_lost(chunk);
            if parts.has_more() && !std::mem::replace(&mut parts.is_queued, true) {
                self.round.push_front(chunk.message);
            }
        } else if message.copies == 0 && message.state == State::Sent {
            message.state = State::Lost;
            self.lost.push_back(chunk.message);
        }
    }

    /// Whether a small message is to be sent again.
    pub fn is_lost(&self, id: u64) -> bool {
        let message = id.checked_sub(self.first).and_then(|n| self.messages.get(n as usize));
        message.is_some_and(|message| message.state == State::Lost)
    }

    /// Bytes of memory that are held, messages included.
    pub fn memory_bytes(&self) -> usize {
        let queues = [&self.lost, &self.fresh, &self.fresh_large, &self.round];
        let queued: usize = queues.iter().map(|queue| queue.capacity()).sum();
        self.cost as usize
            + self.messages.capacity() * size_of::<Outgoing>()
            + queued * size_of::<u64>()
            + self.flows.memory_bytes()
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.messages.shrink_to(8);
        let queues = [&mut self.lost, &mut self.fresh, &mut self.fresh_large, &mut self.round];
        for queue in queues {
            queue.shrink_to(8);
        }
        self.flows.shrink();
    }

    /// Asserts what always holds.
    pub fn invariants(&self) {
        let open = self.messages.iter().filter(|message| message.state != State::Done);
        let (count, sum) =
            open.fold((0, 0), |(count, sum), message| (count + 1, sum + cost(message.data.len())));
        assert_eq!((self.unacknowledged_count, self.cost), (count, sum));
        assert!(self.cost <= self.cost_max && self.started <= self.limit);
        assert!(self.messages.front().is_none_or(|message| message.state != State::Done));
    }

    fn message_mut(&mut self, id: u64) -> Option<&mut Outgoing> {
        let index = id.checked_sub(self.first)?;
        self.messages.get_mut(index as usize)
    }

    /// The oldest lost message; such as were acknowledged meanwhile leave the queue.
    fn lost_front(&mut self) -> Option<u64> {
        while let Some(id) = self.lost.front().copied() {
            if self.message_mut(id).is_some_and(|message| message.state == State::Lost) {
                return Some(id);
            }
            self.lost.pop_front();
        }
        None
    }

    fn fresh_front(&self) -> Option<u64> {
        self.fresh.front().copied().filter(|id| self.may_start(*id))
    }

    /// The large message whose turn it is, if any has something to send.
    fn round_front(&mut self) -> Option<u64> {
        while self.round.len() < LARGE_AT_A_TIME
            && let Some(id) = self.fresh_large.front().copied()
            && self.may_start(id)
        {
            self.fresh_large.pop_front();
            self.round.push_front(id);
            let message = self.message_mut(id).expect("queued messages are there");
            message.state = State::Sent;
            message.parts.as_mut().expect("it is large").is_queued = true;
            self.started += cost(message.data.len());
        }
        while let Some(id) = self.round.front().copied() {
            if let Some(message) = self.message_mut(id)
                && let Some(parts) = &mut message.parts
            {
                if parts.has_more() {
                    return Some(id);
                }
                parts.is_queued = false;
            }
            self.round.pop_front();
        }
        None
    }

    /// Whether the windows let a fresh message begin.
    fn may_start(&self, id: u64) -> bool {
        let len = self.messages[(id - self.first) as usize].data.len();
        self.started + cost(len) <= self.limit && id < self.first + IDS_UNDER_WAY_MAX
    }

    fn take_small(&mut self, id: u64, room: usize, expected: Option<u64>) -> Option<Chunk> {
        let message = self.message_mut(id).expect("queued messages are there");
        let len = message.data.len();
        if len + overhead(id, expected.unwrap_or(id), message.order, None) > room {
            return None;
        }
        let is_fresh = message.state == State::Fresh;
        message.state = State::Sent;
        message.copies += 1;
        if is_fresh {
            self.started += cost(len);
        }
        Some(Chunk { message: id, offset: 0, len: len as u32 })
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
