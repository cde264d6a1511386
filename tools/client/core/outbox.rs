//! Sends that are not answered yet: their order, window and retries. Knows no frames, no streams.
//!
//! Each conversation is a lane. The server commits the sends of one connection to a conversation in
//! the order sent, and once one of them gets a retryable answer it answers the later ones alike until
//! the client sends again from the failed one. So a lane with a retryable answer sends nothing more,
//! waits until everything it has on the wire is answered, pauses, and starts again from its first
//! unanswered send.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aldis_wire::{ClientMsgId, Code, GroupId, UserId, pb};
use bytes::Bytes;

use super::limits::{
    BACKOFF_MS_MIN, INTERNAL_RETRIES_MAX, OUTBOX_BYTES_MAX, OUTBOX_SENDS_MAX, RETRY_AFTER_MS_MAX,
    SEND_RETRY_MS_MAX, WINDOW_BYTES_MAX,
};

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// To one user.
    User(UserId),
    /// To a group.
    Group(GroupId),
}

/// A message to send. The same id with the same content may be sent again at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Where to.
    pub target: Target,
    /// Unique per conversation and sender.
    pub client_msg_id: ClientMsgId,
    /// What it is.
    pub kind: pb::MsgType,
    /// What it says.
    pub content: Bytes,
    /// What goes with it.
    pub extra: Bytes,
    /// What it refers to; most refer to nothing.
    pub refs: Option<Box<pb::MessageRefs>>,
}

/// What a send came to.
#[derive(Clone, Debug)]
pub(super) enum Settled {
    /// Committed; here is what was sent, for the own entry.
    Acked(Outgoing),
    /// Refused for good. `maybe_committed`: an earlier try ended without a definite answer.
    Failed { maybe_committed: bool },
    /// It goes out again later, or the answer was for a send that is no longer known.
    Kept,
}

/// Outside a failed lane the sends on the wire come first and the unsent ones behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unsent,
    OnWire,
    /// Got a retryable answer; only in a failed lane.
    ToRetry,
}

#[derive(Debug)]
struct Pending {
    message: Outgoing,
    /// Position among all sends of this client.
    order: u64,
    state: State,
    was_sent: bool,
    indefinite: bool,
    internal_count: u32,
}

#[derive(Debug, Default)]
struct Lane {
    sends: VecDeque<Pending>,
    on_wire_count: usize,
    /// Some send of the lane got a retryable answer: nothing goes out before `retry_at`.
    failed: bool,
    retry_after_ms: u64,
    retry_at: Option<u64>,
    failure_count: u32,
}

impl Lane {
    /// Position of the first send that may go out now.
    fn next_unsent(&self) -> Option<usize> {
        if self.failed {
            return None;
        }
        self.sends.iter().position(|send| send.state != State::OnWire)
    }
}

/// See the file's first lines.
#[derive(Debug)]
pub(super) struct Outbox {
    lanes: BTreeMap<Target, Lane>,
    /// Lanes that have something to send now, by the order of their first such send.
    ready: BTreeSet<(u64, Target)>,
    /// Lanes that pause, by the time their pause ends.
    paused: BTreeSet<(u64, Target)>,
    next_order: u64,
    send_count: usize,
    send_bytes: usize,
    on_wire_count: usize,
    on_wire_bytes: usize,
    window: usize,
}

impl Outbox {
    pub(super) fn new(window: usize) -> Self {
        Self {
            lanes: BTreeMap::new(),
            ready: BTreeSet::new(),
            paused: BTreeSet::new(),
            next_order: 0,
            send_count: 0,
            send_bytes: 0,
            on_wire_count: 0,
            on_wire_bytes: 0,
            window,
        }
    }

    /// Sends accepted and not settled.
    pub(super) fn len(&self) -> usize {
        self.send_count
    }

    pub(super) fn has_on_wire(&self) -> bool {
        self.on_wire_count > 0
    }

    /// Gives the message back if the outbox is full.
    pub(super) fn push(&mut self, message: Outgoing) -> Result<(), Outgoing> {
        let len = message_len(&message);
        let fits = self.send_count < OUTBOX_SENDS_MAX
            && (self.send_count == 0 || self.send_bytes + len <= OUTBOX_BYTES_MAX);
        if !fits {
            return Err(message);
        }
        self.send_count += 1;
        self.send_bytes += len;
        let order = self.next_order;
        self.next_order += 1;
        let target = message.target;
        let pending = Pending {
            message,
            order,
            state: State::Unsent,
            was_sent: false,
            indefinite: false,
            internal_count: 0,
        };
        let lane = self.lanes.entry(target).or_default();
        lane.sends.push_back(pending);
        if !lane.failed && lane.sends.iter().rev().nth(1).is_none_or(|s| s.state == State::OnWire) {
            self.ready.insert((order, target));
        }
        Ok(())
    }

    /// The next message for the wire, if the window has room; `true` if it was never sent before.
    pub(super) fn poll_send(&mut self) -> Option<(&Outgoing, bool)> {
        let &(order, target) = self.ready.first()?;
        let lane = self.lanes.get_mut(&target)?;
        let index = lane.next_unsent()?;
        let pending = lane.sends.get_mut(index)?;
        debug_assert_eq!(pending.order, order, "ready names the first unsent send");
        let len = message_len(&pending.message);
        let fits = self.on_wire_count < self.window
            && (self.on_wire_count == 0 || self.on_wire_bytes + len <= WINDOW_BYTES_MAX);
        if !fits {
            return None;
        }
        self.on_wire_count += 1;
        self.on_wire_bytes += len;
        lane.on_wire_count += 1;
        pending.state = State::OnWire;
        let is_first = !std::mem::replace(&mut pending.was_sent, true);
        self.ready.remove(&(order, target));
        if let Some(next) = lane.sends.get(index + 1) {
            self.ready.insert((next.order, target));
        }
        let lane = self.lanes.get(&target)?;
        lane.sends.get(index).map(|pending| (&pending.message, is_first))
    }

    /// A send was answered.
    pub(super) fn handle_answer(
        &mut self,
        now: u64,
        target: Target,
        id: ClientMsgId,
        code: Code,
        retry_after_ms: u64,
    ) -> Settled {
        let Some(lane) = self.lanes.get_mut(&target) else { return Settled::Kept };
        let found = lane
            .sends
            .iter_mut()
            .enumerate()
            .find(|(_, s)| s.message.client_msg_id == id && s.state == State::OnWire);
        let Some((index, pending)) = found else { return Settled::Kept };
        let len = message_len(&pending.message);
        pending.indefinite |= !code.is_definite();
        pending.internal_count += u32::from(code == Code::Internal);
        let again = code.is_retryable()
            || (code == Code::Internal && pending.internal_count <= INTERNAL_RETRIES_MAX);
        lane.on_wire_count -= 1;
        self.on_wire_count -= 1;
        self.on_wire_bytes -= len;
        let settled = if again {
            pending.state = State::ToRetry;
            if !lane.failed {
                lane.failed = true;
                lane.failure_count = lane.failure_count.saturating_add(1);
                lane.retry_after_ms = 0;
                let first_unsent = lane.sends.iter().find(|s| s.state == State::Unsent);
                if let Some(unsent) = first_unsent {
                    self.ready.remove(&(unsent.order, target));
                }
            }
            lane.retry_after_ms = lane.retry_after_ms.max(retry_after_ms.min(RETRY_AFTER_MS_MAX));
            Settled::Kept
        } else {
            let pending = lane.sends.remove(index).expect("the index was just found");
            self.send_count -= 1;
            self.send_bytes -= len;
            if code == Code::Ok {
                lane.failure_count = 0;
                Settled::Acked(pending.message)
            } else {
                Settled::Failed { maybe_committed: pending.indefinite }
            }
        };
        self.after_answer(now, target);
        settled
    }

    /// Starts the pause of a lane whose last send on the wire was answered; forgets an empty lane.
    fn after_answer(&mut self, now: u64, target: Target) {
        let Some(lane) = self.lanes.get_mut(&target) else { return };
        if lane.sends.is_empty() {
            self.lanes.remove(&target);
        } else if lane.failed && lane.on_wire_count == 0 && lane.retry_at.is_none() {
            let own_ms = BACKOFF_MS_MIN << lane.failure_count.saturating_sub(1).min(8);
            let pause_ms = own_ms.min(SEND_RETRY_MS_MAX).max(lane.retry_after_ms);
            let at = now.saturating_add(pause_ms);
            lane.retry_at = Some(at);
            self.paused.insert((at, target));
        }
    }

    /// Time has passed: lanes whose pause is over start again.
    pub(super) fn handle_timeout(&mut self, now: u64) {
        while let Some(&(at, target)) = self.paused.first() {
            if at > now {
                break;
            }
            self.paused.remove(&(at, target));
            if let Some(lane) = self.lanes.get_mut(&target) {
                lane.failed = false;
                lane.retry_at = None;
                lane.sends.iter_mut().for_each(|send| send.state = State::Unsent);
                if let Some(first) = lane.sends.front() {
                    self.ready.insert((first.order, target));
                }
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.paused.first().map(|&(at, _)| at)
    }

    /// The connection is gone: everything on the wire goes out again, in order, on the next one.
    pub(super) fn handle_disconnected(&mut self) {
        self.ready.clear();
        self.paused.clear();
        for (target, lane) in &mut self.lanes {
            for pending in &mut lane.sends {
                pending.indefinite |= pending.state == State::OnWire;
                pending.state = State::Unsent;
            }
            lane.on_wire_count = 0;
            lane.failed = false;
            lane.retry_at = None;
            if let Some(first) = lane.sends.front() {
                self.ready.insert((first.order, *target));
            }
        }
        self.on_wire_count = 0;
        self.on_wire_bytes = 0;
    }

    /// What must hold between two calls.
    #[cfg(debug_assertions)]
    pub(super) fn invariants(&self) {
        let sends = || self.lanes.values().flat_map(|lane| &lane.sends);
        assert_eq!(self.send_count, sends().count());
        assert_eq!(self.send_bytes, sends().map(|s| message_len(&s.message)).sum::<usize>());
        let on_wire = || sends().filter(|s| s.state == State::OnWire);
        assert_eq!(self.on_wire_count, on_wire().count());
        assert_eq!(self.on_wire_bytes, on_wire().map(|s| message_len(&s.message)).sum::<usize>());
        assert!(self.on_wire_count <= self.window);
        for (target, lane) in &self.lanes {
            assert!(!lane.sends.is_empty(), "empty lanes are forgotten");
            let next = lane.next_unsent().and_then(|index| lane.sends.get(index));
            let listed = self.ready.iter().filter(|(_, t)| t == target).count();
            assert_eq!(listed, usize::from(next.is_some()), "{target:?}");
            assert!(next.is_none_or(|s| self.ready.contains(&(s.order, *target))));
        }
    }
}

fn message_len(message: &Outgoing) -> usize {
    message.content.len() + message.extra.len() + std::mem::size_of::<Pending>()
}
