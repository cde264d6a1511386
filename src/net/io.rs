//! What a handler can do: send, close, resume. Knows connections and lists of work, not the poll.

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use aldis_wire::{ConnId, OutFrame};
use slab::Slab;

use crate::conn::{Conn, Deadlines, State};
use crate::flush::flush_early;
use crate::output::OutPool;
use crate::share::{Allowance, FrameRate, PAUSE};
use crate::timer::{Clock, Entry, Tick, Wheel, ticks_of};
use crate::transport::Transport;
use crate::{CloseReason, Config, Counters, Lane, Sent};

/// The connections of one reactor. What names a connection that is gone does nothing.
pub struct Io {
    pub(crate) config: Config,
    pub(crate) deadlines: Deadlines,
    pub(crate) conns: Slab<Conn>,
    /// Of the last connection opened. It would have to wrap around while a handle is kept for two
    /// connections to share one.
    generation: u32,
    pub(crate) clock: Clock,
    pub(crate) wheel: Wheel,
    pub(crate) now: Instant,
    pub(crate) tick: Tick,
    pub(crate) counters: Counters,
    pub(crate) pool: OutPool,
    /// Connections to read or whose received bytes can be handled. Each list holds a connection at most
    /// once, and one of `ready`, `again`, `strangers` and `throttled` at most has it.
    pub(crate) ready: Vec<ConnId>,
    /// Connections that were visited and have more.
    pub(crate) again: VecDeque<ConnId>,
    /// Like `ready` and `again`, of those who are not logged in.
    pub(crate) strangers: VecDeque<ConnId>,
    /// Connections that have sent more than they may, and when they are read again. All pauses have one
    /// length: the first ends first.
    pub(crate) throttled: VecDeque<(Tick, ConnId)>,
    /// Connections to flush or to go on closing.
    pub(crate) dirty: Vec<ConnId>,
    /// Connections to remove; their index is not used again before.
    pub(crate) closed: VecDeque<ConnId>,
    /// Connections that dropped pushes and have written everything else.
    pub(crate) drained: Vec<ConnId>,
    pub(crate) listening: bool,
    pub(crate) stopping: bool,
    /// Until then strangers come who began while this process stood still.
    pub(crate) late_until: Tick,
    /// Connections that are agreeing on keys.
    pub(crate) handshaking: usize,
}

impl Io {
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        Self {
            deadlines: Deadlines::new(&config),
            config,
            conns: Slab::new(),
            generation: 0,
            clock: Clock::new(now),
            wheel: Wheel::new(),
            now,
            tick: Tick::START,
            counters: Counters::default(),
            pool: OutPool::default(),
            ready: Vec::new(),
            again: VecDeque::new(),
            strangers: VecDeque::new(),
            throttled: VecDeque::new(),
            dirty: Vec::new(),
            closed: VecDeque::new(),
            drained: Vec::new(),
            listening: true,
            stopping: false,
            late_until: Tick::START,
            handshaking: 0,
        }
    }

    /// The time, read once per turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Connections whose `handle_closed` is still to come.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }

    /// Bytes of memory that hold received and not yet handled bytes. Visits every connection.
    pub fn input_capacity(&self) -> usize {
        let tails = self.conns.iter().filter_map(|(_, conn)| conn.tail.as_ref());
        tails.map(|tail| tail.capacity()).sum()
    }

    /// Bytes of output that wait in all connections. Visits every connection.
    pub fn output_len(&self) -> usize {
        self.conns.iter().map(|(_, conn)| conn.output_len()).sum()
    }

    /// Queues a frame. It is written at the end of the turn, or when the peer reads.
    pub fn send(&mut self, id: ConnId, frame: OutFrame, lane: Lane) -> Sent {
        let Some(mut conn) = find_open(&mut self.conns, id) else { return Sent::Gone };
        if conn.output_len() > self.config.output_soft_bytes && conn.writable {
            flush_early(self, id);
            let Some(still_open) = find_open(&mut self.conns, id) else { return Sent::Gone };
            conn = still_open;
        }
        let queued = conn.output_len();
        if lane == Lane::Push && (conn.behind || queued > self.config.output_soft_bytes) {
            conn.behind = true;
            self.counters.pushes_dropped += 1;
            return Sent::Dropped;
        }
        if queued + frame.len() > self.config.output_hard_bytes {
            self.close(id, CloseReason::OutputLimit);
            return Sent::Gone;
        }
        conn.out.get_or_insert_with(|| self.pool.take()).push(&frame);
        self.counters.frames_out += 1;
        if !conn.in_dirty {
            conn.in_dirty = true;
            self.dirty.push(id);
        }
        Sent::Queued
    }

    /// Closes at once; queued output is lost.
    pub fn close(&mut self, id: ConnId, reason: CloseReason) {
        let Some(conn) = find(&mut self.conns, id) else { return };
        if conn.state == State::Closed {
            return;
        }
        if conn.state == State::Open {
            conn.reason = reason;
        }
        conn.state = State::Closed;
        conn.closing_since = None;
        conn.tail = None;
        conn.frame_since = None;
        conn.stalled_since = None;
        if let Some(queue) = conn.out.take() {
            self.pool.put(queue);
        }
        self.closed.push_back(id);
    }

    /// Writes what is queued, then closes; nothing is received any more, nothing can be sent.
    pub fn close_after_flush(&mut self, id: ConnId, reason: CloseReason) {
        let Some(conn) = find_open(&mut self.conns, id) else { return };
        conn.reason = reason;
        conn.state = State::Flushing;
        conn.closing_since = Some(self.tick);
        conn.tail = None;
        conn.frame_since = None;
        self.arm(id);
        self.mark_dirty(id);
        self.mark_ready(id);
    }

    /// The peer has logged in: its frames may have full size, the idle deadline holds instead of
    /// the login deadline.
    pub fn set_logged_in(&mut self, id: ConnId) {
        let Some(conn) = find_open(&mut self.conns, id) else { return };
        conn.logged_in = true;
        conn.active_at = self.tick;
        conn.allowance = Allowance::new(FrameRate::of_users(&self.config), self.tick);
        self.arm(id);
    }

    /// Handles the frame that had to wait, and what follows it.
    pub fn resume(&mut self, id: ConnId) {
        let Some(conn) = find_open(&mut self.conns, id) else { return };
        if conn.waiting {
            conn.waiting = false;
            self.end_pause(id);
        }
    }

    /// Accepts what the kernel has already connected, then stops listening.
    pub fn stop_listening(&mut self) {
        self.listening = false;
    }

    /// Leaves `Reactor::run` at the end of the turn, after flushing what can be flushed. Peers that
    /// must get everything are closed by `close_after_flush` and waited for first.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        find(&mut self.conns, id)
    }

    pub(crate) fn is_open(&mut self, id: ConnId) -> bool {
        find_open(&mut self.conns, id).is_some()
    }

    /// Every connection that was not removed.
    pub(crate) fn open_ids(&self) -> impl Iterator<Item = ConnId> {
        self.conns
            .iter()
            .map(|(index, conn)| ConnId { index: index as u32, generation: conn.generation })
    }

    /// Adds a connection. Its socket must be registered with the id that is returned.
    pub(crate) fn insert(&mut self, transport: Transport) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        let allowance = Allowance::new(FrameRate::of_strangers(&self.config), self.tick);
        let conn = Conn::new(transport, self.generation, self.tick, allowance);
        self.handshaking += usize::from(conn.handshaking);
        let index = self.conns.insert(conn);
        let index = u32::try_from(index).expect("connections_max fits 32 bits");
        let id = ConnId { index, generation: self.generation };
        self.arm(id);
        id
    }

    /// Removes a connection that never got to the handler or whose `handle_closed` is next.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        find(&mut self.conns, id)?;
        let conn = self.conns.try_remove(id.index as usize)?;
        self.handshaking -= usize::from(conn.handshaking);
        Some(conn)
    }

    /// What arrived until now may have lain for long.
    pub(crate) fn note_standstill(&mut self) {
        self.late_until = self.tick.after(self.deadlines.login);
    }

    /// Puts a connection into the list of those to read.
    pub(crate) fn mark_ready(&mut self, id: ConnId) {
        let Some(conn) = find(&mut self.conns, id) else { return };
        if !mem::replace(&mut conn.in_ready, true) {
            match conn.logged_in {
                true => self.ready.push(id),
                false => self.strangers.push_back(id),
            }
        }
    }

    /// Visits a connection once more when others had their turn.
    pub(crate) fn mark_again(&mut self, id: ConnId) {
        let Some(conn) = find(&mut self.conns, id) else { return };
        if !mem::replace(&mut conn.in_ready, true) {
            match conn.logged_in {
                true => self.again.push_back(id),
                false => self.strangers.push_back(id),
            }
        }
    }

    /// Reads a connection no more for a while, that is not in a list.
    pub(crate) fn throttle(&mut self, id: ConnId) {
        let until = self.tick.after(ticks_of(PAUSE));
        let Some(conn) = find(&mut self.conns, id) else { return };
        conn.in_ready = true;
        conn.throttled = true;
        // The peer is not to blame that the rest of its frame is not read.
        conn.frame_since = None;
        self.counters.pauses += 1;
        self.throttled.push_back((until, id));
    }

    /// Lists those whose pause is over, as ones who had their turn: many may end at one tick, and whoever
    /// has not been read at all goes first.
    pub(crate) fn end_throttles(&mut self) {
        while self.throttled.front().is_some_and(|(until, _)| *until <= self.tick) {
            let Some((_, id)) = self.throttled.pop_front() else { return };
            let Some(conn) = find(&mut self.conns, id) else { continue };
            conn.in_ready = false;
            conn.throttled = false;
            self.forgive_silence(id);
            self.mark_again(id);
        }
    }

    /// Puts a connection into the list of those to flush.
    pub(crate) fn mark_dirty(&mut self, id: ConnId) {
        let Some(conn) = find(&mut self.conns, id) else { return };
        if !mem::replace(&mut conn.in_dirty, true) {
            self.dirty.push(id);
        }
    }

    /// After a read: notes the end of a handshake, and what it has to write.
    pub(crate) fn note_handshake(&mut self, id: ConnId) {
        let Some(conn) = find(&mut self.conns, id) else { return };
        let is_done = conn.handshaking && !conn.transport.is_handshaking();
        let has_output = conn.transport.wants_write() || is_done && conn.out.is_some();
        if is_done {
            conn.handshaking = false;
            self.handshaking -= 1;
            self.counters.handshakes += 1;
            // What was queued before could not be encrypted.
            conn.writable = true;
        }
        if has_output {
            self.mark_dirty(id);
        }
    }

    /// Goes on with a connection that was paused by us: its silence meanwhile does not count.
    pub(crate) fn end_pause(&mut self, id: ConnId) {
        self.forgive_silence(id);
        self.mark_ready(id);
    }

    fn forgive_silence(&mut self, id: ConnId) {
        let Some(conn) = find(&mut self.conns, id) else { return };
        if conn.logged_in {
            conn.active_at = self.tick;
        }
        self.arm(id);
    }

    /// Makes sure that the wheel comes due no later than the connection's deadline.
    pub(crate) fn arm(&mut self, id: ConnId) {
        let Some(conn) = find(&mut self.conns, id) else { return };
        if let Some((deadline, _)) = conn.deadline(&self.deadlines)
            && conn.timer_at.is_none_or(|tick| tick > deadline)
        {
            conn.timer_at = Some(self.wheel.insert(id, deadline));
        }
    }

    /// Looks at a connection whose entry in the wheel came due: closes it or arms it again.
    pub(crate) fn expire(&mut self, entry: Entry) {
        let Some(conn) = find(&mut self.conns, entry.conn) else { return };
        if conn.timer_at != Some(entry.tick) {
            return;
        }
        conn.timer_at = None;
        match conn.deadline(&self.deadlines) {
            Some((deadline, reason)) if deadline <= self.tick => self.close(entry.conn, reason),
            _ => self.arm(entry.conn),
        }
    }

    /// Whether something can be done without waiting for an event.
    pub(crate) fn has_work(&self) -> bool {
        !(self.ready.is_empty()
            && self.again.is_empty()
            && self.dirty.is_empty()
            && self.closed.is_empty()
            && self.drained.is_empty())
    }
}

/// The connection, unless the handle is stale. A free function, so that the borrow ends at `conns`.
pub(crate) fn find(conns: &mut Slab<Conn>, id: ConnId) -> Option<&mut Conn> {
    conns.get_mut(id.index as usize).filter(|conn| conn.generation == id.generation)
}

fn find_open(conns: &mut Slab<Conn>, id: ConnId) -> Option<&mut Conn> {
    find(conns, id).filter(|conn| conn.state == State::Open)
}
