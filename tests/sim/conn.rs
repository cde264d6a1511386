//! A connection of the simulated reactor and what a service can do with it: the rules of
//! src/net/{io,flush,conn}.rs over simulated byte streams. Knows frames only by their length.

use std::collections::{BTreeMap, VecDeque};

use aldis_wire::{Command, ConnId, OutFrame};

use crate::network::{LinkId, Side};
use crate::outside::Outside;

/// Limits of a reactor, in the words of src/net/config.rs.
#[derive(Clone, Copy, Debug)]
pub struct IoPlan {
    /// Output above which pushes are dropped and requests are not read.
    pub output_soft_bytes: usize,
    /// Output above which the connection closes.
    pub output_hard_bytes: usize,
    /// Bytes read from one connection in a turn.
    pub read_bytes_per_turn: usize,
    /// Mails of each lane in a turn.
    pub mails_per_turn: usize,
    /// Time without a received byte after login, us.
    pub idle_us: u64,
}

/// Time to log in, to complete a frame, to write anything, to end. us
pub const LOGIN_US: u64 = 5_000_000;
/// See above.
pub const FRAME_US: u64 = 15_000_000;
/// See above.
pub const WRITE_STALL_US: u64 = 30_000_000;
/// See above.
pub const LINGER_US: u64 = 5_000_000;

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Frames go both ways.
    Open,
    /// What is queued is written, what arrives is thrown away.
    Flushing,
    /// All was written; waits for the peer's end.
    Lingering,
    /// Waits to be removed.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    pub link: LinkId,
    pub generation: u32,
    pub state: State,
    /// Received and not handled.
    pub tail: Vec<u8>,
    /// Since when the tail is an incomplete frame.
    pub frame_since_us: Option<u64>,
    pub out: VecDeque<u8>,
    pub active_at_us: u64,
    pub stalled_since_us: Option<u64>,
    pub closing_since_us: Option<u64>,
    pub logged_in: bool,
    pub end_seen: bool,
    pub waiting: bool,
    pub output_paused: bool,
    pub behind: bool,
    pub in_ready: bool,
    pub in_dirty: bool,
    /// Requests that were taken and not answered, to name what others wait for.
    pub unanswered: BTreeMap<u32, Command>,
}

/// The connections of one reactor.
#[derive(Debug)]
pub struct Io {
    pub plan: IoPlan,
    conns: Vec<Option<Conn>>,
    free: Vec<u32>,
    generation: u32,
    pub ready: Vec<ConnId>,
    pub dirty: Vec<ConnId>,
    pub closed: Vec<ConnId>,
    pub drained: Vec<ConnId>,
}

/// What became of a frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Queued.
    Queued,
    /// A push that was dropped.
    Dropped,
    /// The connection is closed or closing.
    Gone,
}

impl Io {
    /// Without connections.
    pub fn new(plan: IoPlan) -> Self {
        Self {
            plan,
            conns: Vec::new(),
            free: Vec::new(),
            generation: 0,
            ready: Vec::new(),
            dirty: Vec::new(),
            closed: Vec::new(),
            drained: Vec::new(),
        }
    }

    /// The connection, unless the handle is stale.
    pub fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(id.index as usize)?.as_mut()?;
        (conn.generation == id.generation).then_some(conn)
    }

    /// The connection, if frames still go both ways.
    pub fn open(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conn(id).filter(|conn| conn.state == State::Open)
    }

    /// Every connection that was not removed.
    pub fn ids(&self) -> Vec<ConnId> {
        let conns = self.conns.iter().enumerate().filter_map(|(index, conn)| {
            let generation = conn.as_ref()?.generation;
            Some(ConnId { index: index as u32, generation })
        });
        conns.collect()
    }

    /// Adds a connection.
    pub fn insert(&mut self, link: LinkId, now_us: u64) -> ConnId {
        self.generation += 1;
        let conn = Conn {
            link,
            generation: self.generation,
            state: State::Open,
            tail: Vec::new(),
            frame_since_us: None,
            out: VecDeque::new(),
            active_at_us: now_us,
            stalled_since_us: None,
            closing_since_us: None,
            logged_in: false,
            end_seen: false,
            waiting: false,
            output_paused: false,
            behind: false,
            in_ready: false,
            in_dirty: false,
            unanswered: BTreeMap::new(),
        };
        let index = self.free.pop().unwrap_or(self.conns.len() as u32);
        match self.conns.get_mut(index as usize) {
            Some(slot) => *slot = Some(conn),
            None => self.conns.push(Some(conn)),
        }
        ConnId { index, generation: self.generation }
    }

    /// Removes a closed connection.
    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.conn(id)?;
        let conn = self.conns[id.index as usize].take();
        self.free.push(id.index);
        conn
    }

    /// Queues a frame.
    pub fn send(
        &mut self,
        outside: &mut Outside,
        id: ConnId,
        frame: &OutFrame,
        is_push: bool,
    ) -> Sent {
        let plan = self.plan;
        let Some(conn) = self.open(id) else { return Sent::Gone };
        if conn.out.len() > plan.output_soft_bytes {
            write_some(outside, conn);
        }
        let queued = conn.out.len();
        if is_push && (conn.behind || queued > plan.output_soft_bytes) {
            conn.behind = true;
            outside.coverage.hit("push: dropped, slow reader");
            return Sent::Dropped;
        }
        if queued + frame.len() > plan.output_hard_bytes {
            outside.coverage.hit("link: output limit");
            self.close(id);
            return Sent::Gone;
        }
        conn.out.extend(frame.head());
        conn.out.extend(frame.tail());
        self.mark_dirty(id);
        Sent::Queued
    }

    /// Closes at once.
    pub fn close(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id).filter(|conn| conn.state != State::Closed) else { return };
        conn.state = State::Closed;
        conn.tail.clear();
        conn.out.clear();
        self.closed.push(id);
    }

    /// Writes what is queued, then closes.
    pub fn close_after_flush(&mut self, now_us: u64, id: ConnId) {
        let Some(conn) = self.open(id) else { return };
        conn.state = State::Flushing;
        conn.closing_since_us = Some(now_us);
        conn.tail.clear();
        conn.frame_since_us = None;
        self.mark_dirty(id);
        self.mark_ready(id);
    }

    /// Handles the frame that had to wait, and what follows it.
    pub fn resume(&mut self, now_us: u64, id: ConnId) {
        let Some(conn) = self.open(id) else { return };
        if std::mem::take(&mut conn.waiting) {
            conn.active_at_us = now_us;
            self.mark_ready(id);
        }
    }

    /// Puts a connection into the list of those to read.
    pub fn mark_ready(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if !std::mem::replace(&mut conn.in_ready, true) {
            self.ready.push(id);
        }
    }

    /// Puts a connection into the list of those to flush.
    pub fn mark_dirty(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if !std::mem::replace(&mut conn.in_dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Flushes every connection that has something to write or to end.
    pub fn flush_all(&mut self, outside: &mut Outside) {
        for id in std::mem::take(&mut self.dirty) {
            self.flush(outside, id);
        }
    }

    fn flush(&mut self, outside: &mut Outside, id: ConnId) {
        let soft = self.plan.output_soft_bytes;
        let now_us = outside.agenda.now_us();
        let Some(conn) = self.conn(id) else { return };
        conn.in_dirty = false;
        if conn.state == State::Closed {
            return;
        }
        let before = conn.out.len();
        write_some(outside, conn);
        let after = conn.out.len();
        if after > 0 {
            if after < before || conn.stalled_since_us.is_none() {
                conn.stalled_since_us = Some(now_us);
            }
        } else {
            conn.stalled_since_us = None;
            if conn.state == State::Flushing {
                let (link, end_seen) = (conn.link, conn.end_seen);
                conn.state = State::Lingering;
                outside.net.end(&mut outside.agenda, &mut outside.dice, link, Side::Server);
                if end_seen {
                    self.close(id);
                }
                return;
            }
            if std::mem::take(&mut conn.behind) {
                self.drained.push(id);
            }
        }
        let Some(conn) = self.conn(id) else { return };
        if conn.output_paused && after <= soft / 2 {
            conn.output_paused = false;
            conn.active_at_us = now_us;
            self.mark_ready(id);
        }
    }

    /// Whether something can be done without waiting for an event.
    pub fn has_work(&self) -> bool {
        !(self.ready.is_empty()
            && self.dirty.is_empty()
            && self.closed.is_empty()
            && self.drained.is_empty())
    }

    /// The earliest deadline of all connections, and closes those whose deadline has come.
    pub fn expire(&mut self, now_us: u64) -> Option<u64> {
        let mut next: Option<u64> = None;
        for id in self.ids() {
            let idle_us = self.plan.idle_us;
            let Some(at_us) = self.conn(id).and_then(|conn| conn.deadline_us(idle_us)) else {
                continue;
            };
            if at_us <= now_us {
                self.close(id);
            } else {
                next = Some(next.map_or(at_us, |next| next.min(at_us)));
            }
        }
        next
    }
}

impl Conn {
    fn deadline_us(&self, idle_us: u64) -> Option<u64> {
        if self.state == State::Closed {
            return None;
        }
        if let Some(since) = self.closing_since_us {
            return Some(since + LINGER_US);
        }
        let alive = match (self.logged_in, self.waiting || self.output_paused) {
            (false, _) => Some(self.active_at_us + LOGIN_US),
            (true, true) => None,
            (true, false) => Some(self.active_at_us + idle_us),
        };
        let frame = self.frame_since_us.map(|since| since + FRAME_US);
        let stall = self.stalled_since_us.map(|since| since + WRITE_STALL_US);
        [alive, frame, stall].into_iter().flatten().min()
    }
}

fn write_some(outside: &mut Outside, conn: &mut Conn) {
    if conn.out.is_empty() {
        return;
    }
    let bytes = conn.out.make_contiguous();
    let written =
        outside.net.write(&mut outside.agenda, &mut outside.dice, conn.link, Side::Server, bytes);
    conn.out.drain(..written);
}
