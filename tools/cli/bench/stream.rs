//! One sender's numbered messages: what is unanswered, what may be sent, what must be sent again.
//! Knows no socket; the caller moves its frames.

use std::collections::VecDeque;

use aldis_wire::limits::PIPELINED_REQUESTS_MAX;

use super::codec::{SendTemplate, Stamp};

/// Shortest wait before a refused send is repeated, ms.
const RETRY_MS_MIN: u64 = 20;
/// Messages that are due but wait for room, per sender. A server this far behind the rate of an
/// open loop will not catch up, and the result says so.
pub const BACKLOG_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    Free,
    Unanswered,
    /// Answered with a code that asks to try again.
    Refused,
    Acked,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    due_ns: u64,
    state: SlotState,
    deliveries_left: u32,
}

/// What an OK answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The first answer to this message, which was due then.
    Now {
        /// ns since the epoch.
        due_ns: u64,
    },
    /// No message waits for this answer.
    Unknown,
    /// The conversation's order is not the order of sending.
    OutOfOrder,
}

/// One sender to one conversation.
pub struct Stream {
    template: SendTemplate,
    slots: Vec<Slot>,
    /// Lowest message that is not finished; numbers count from 1.
    oldest: u64,
    /// Number of the next message.
    next: u64,
    window: usize,
    /// Receivers that must have a message before it is finished; 0: its answer is enough.
    deliveries_wanted: u32,
    unfinished: usize,
    unanswered: usize,
    refused: usize,
    retry_at_ns: u64,
    /// Position in the conversation of the last answered message.
    last_conv_seq: u64,
    backlog: VecDeque<u64>,
    closed: bool,
}

impl Stream {
    /// A sender that keeps at most `window` messages unfinished.
    pub fn new(template: SendTemplate, window: usize, deliveries_wanted: u32) -> Self {
        // Answers may come in another order: room for twice the window between oldest and newest.
        let capacity = (window * 2).next_power_of_two();
        let free = Slot { due_ns: 0, state: SlotState::Free, deliveries_left: 0 };
        Self {
            template,
            slots: vec![free; capacity],
            oldest: 1,
            next: 1,
            window: window.min(PIPELINED_REQUESTS_MAX),
            deliveries_wanted,
            unfinished: 0,
            unanswered: 0,
            refused: 0,
            retry_at_ns: 0,
            last_conv_seq: 0,
            backlog: VecDeque::new(),
            closed: false,
        }
    }

    fn slot(&mut self, no: u64) -> &mut Slot {
        let index = (no as usize) & (self.slots.len() - 1);
        &mut self.slots[index]
    }

    /// Whether another message may leave now.
    pub fn has_room(&self) -> bool {
        self.unfinished < self.window
            && self.refused == 0
            && !self.closed
            && self.next - self.oldest < self.slots.len() as u64
    }

    /// Sends the next message. The caller looked whether there is room.
    pub fn send(&mut self, due_ns: u64, out: &mut Vec<u8>) {
        debug_assert!(self.has_room());
        let no = self.next;
        self.next += 1;
        let deliveries_left = self.deliveries_wanted;
        *self.slot(no) = Slot { due_ns, state: SlotState::Unanswered, deliveries_left };
        self.unfinished += 1;
        self.unanswered += 1;
        self.template.write(Stamp { no, due_ns }, out);
    }

    /// A message is due but there is no room. False: the backlog is full.
    pub fn postpone(&mut self, due_ns: u64) -> bool {
        if self.closed || self.backlog.len() == BACKLOG_MAX {
            return false;
        }
        self.backlog.push_back(due_ns);
        true
    }

    /// Sends what was postponed, as far as there is room.
    pub fn send_postponed(&mut self, out: &mut Vec<u8>) {
        while self.has_room() {
            let Some(due_ns) = self.backlog.pop_front() else { return };
            self.send(due_ns, out);
        }
    }

    /// Whether messages are due and not yet sent.
    pub fn has_postponed(&self) -> bool {
        !self.backlog.is_empty()
    }

    fn number_of(&self, seq: u32) -> Option<u64> {
        let no = self.oldest + u64::from(seq.wrapping_sub(self.oldest as u32));
        (no < self.next).then_some(no)
    }

    /// The OK answer with this header seq, and where the message stands in the conversation.
    pub fn handle_ack(&mut self, seq: u32, conv_seq: u64) -> Acked {
        let Some(no) = self.number_of(seq) else { return Acked::Unknown };
        let slot = self.slot(no);
        if slot.state != SlotState::Unanswered {
            return Acked::Unknown;
        }
        slot.state = SlotState::Acked;
        let Slot { due_ns, deliveries_left, .. } = *slot;
        self.unanswered -= 1;
        if deliveries_left == 0 {
            self.finish(no);
        }
        if conv_seq <= self.last_conv_seq {
            return Acked::OutOfOrder;
        }
        self.last_conv_seq = conv_seq;
        Acked::Now { due_ns }
    }

    /// A receiver has message `no`.
    pub fn handle_delivered(&mut self, no: u64) {
        if self.deliveries_wanted == 0 || !(self.oldest..self.next).contains(&no) {
            return;
        }
        let slot = self.slot(no);
        slot.deliveries_left = slot.deliveries_left.saturating_sub(1);
        if slot.deliveries_left == 0 && slot.state == SlotState::Acked {
            self.finish(no);
        }
    }

    /// The server refused it for now. Later messages of the conversation get the same answer; all
    /// of them are sent again, in order, when the last one is answered.
    pub fn handle_refused(&mut self, seq: u32, now_ns: u64, retry_after_ms: u64) -> bool {
        let Some(no) = self.number_of(seq) else { return false };
        let slot = self.slot(no);
        if slot.state != SlotState::Unanswered {
            return false;
        }
        slot.state = SlotState::Refused;
        self.unanswered -= 1;
        self.refused += 1;
        let wait_ns = retry_after_ms.max(RETRY_MS_MIN) * 1_000_000;
        self.retry_at_ns = self.retry_at_ns.max(now_ns + wait_ns);
        true
    }

    /// The server refused it for good: it is given up.
    pub fn handle_failed(&mut self, seq: u32) -> bool {
        let Some(no) = self.number_of(seq) else { return false };
        if self.slot(no).state != SlotState::Unanswered {
            return false;
        }
        self.unanswered -= 1;
        self.finish(no);
        true
    }

    /// When refused messages may be sent again; `None` while others are still unanswered.
    pub fn retry_at_ns(&self) -> Option<u64> {
        (self.refused > 0 && self.unanswered == 0).then_some(self.retry_at_ns)
    }

    /// Sends refused messages again, oldest first. Returns how many.
    pub fn retry(&mut self, out: &mut Vec<u8>) -> u64 {
        let mut count = 0;
        for no in self.oldest..self.next {
            let slot = self.slot(no);
            if slot.state == SlotState::Refused {
                slot.state = SlotState::Unanswered;
                let due_ns = slot.due_ns;
                self.template.write(Stamp { no, due_ns }, out);
                count += 1;
            }
        }
        self.refused = 0;
        self.retry_at_ns = 0;
        self.unanswered += count;
        count as u64
    }

    fn finish(&mut self, no: u64) {
        self.slot(no).state = SlotState::Free;
        self.unfinished -= 1;
        while self.oldest < self.next && self.slot(self.oldest).state == SlotState::Free {
            self.oldest += 1;
        }
    }

    /// The connection is gone: nothing more is sent, what is unanswered stays so.
    pub fn close(&mut self) {
        self.closed = true;
        self.backlog.clear();
    }

    /// Messages without an OK answer.
    pub fn unanswered(&self) -> usize {
        self.unanswered + self.refused
    }

    /// Messages that are not finished.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
