//! Many client cores on one thread: sockets, readiness, timers. Knows no dialogues.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aldis_client::core::{Config, Core, Event, SavedState};
use aldis_client::shell::Connection;
use mio::{Events, Poll, Token};

/// Bytes per read; shared by all connections, since one thread reads at a time.
const READ_BYTES: usize = 256 << 10;
/// Readiness events taken per turn; more wait for the next one.
const READY_EVENTS: usize = 1_024;

/// A connection of the pool; numbers are used again after `close`.
pub type ConnNo = usize;

/// See the file's first line.
pub struct Pool {
    server: String,
    poll: Poll,
    ready: Events,
    scratch: Vec<u8>,
    started_at: Instant,
    connections: Vec<Option<Slot>>,
    free: Vec<ConnNo>,
    /// Connections to be pumped in the next turn.
    dirty: VecDeque<ConnNo>,
    timers: BinaryHeap<Reverse<(u64, ConnNo)>>,
    events: VecDeque<(ConnNo, Event)>,
}

struct Slot {
    connection: Connection,
    is_dirty: bool,
    /// The deadline that counts; others of this connection in the heap are stale.
    timer: Option<u64>,
}

impl Pool {
    /// A pool of connections to this server.
    pub fn new(server: &str) -> io::Result<Self> {
        Ok(Self {
            server: server.to_owned(),
            poll: Poll::new()?,
            ready: Events::with_capacity(READY_EVENTS),
            scratch: vec![0; READ_BYTES],
            started_at: Instant::now(),
            connections: Vec::new(),
            free: Vec::new(),
            dirty: VecDeque::new(),
            timers: BinaryHeap::new(),
            events: VecDeque::new(),
        })
    }

    /// A new connection at rest.
    pub fn open(&mut self, config: Config, saved: SavedState) -> io::Result<ConnNo> {
        let seed = getrandom::u64().map_err(io::Error::other)?;
        let unix_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let core = Core::new(config, saved, seed, self.now(), unix_ms);
        let no = self.free.pop().unwrap_or(self.connections.len());
        let connection = Connection::new(core, &self.server, Token(no), None);
        let slot = Some(Slot { connection, is_dirty: false, timer: None });
        match self.connections.get_mut(no) {
            Some(place) => *place = slot,
            None => self.connections.push(slot),
        }
        Ok(no)
    }

    /// Drops a connection and what it would still have said; returns what outlives it.
    pub fn close(&mut self, no: ConnNo) -> Option<SavedState> {
        let slot = self.connections.get_mut(no)?.take()?;
        self.free.push(no);
        self.events.retain(|(other, _)| *other != no);
        Some(slot.connection.core().export_state())
    }

    /// A connection's core and its clock, to tell it something; it is pumped in the next turn.
    pub fn core(&mut self, no: ConnNo) -> Option<(&mut Core, u64)> {
        let now = self.now();
        let slot = self.connections.get_mut(no)?.as_mut()?;
        if !std::mem::replace(&mut slot.is_dirty, true) {
            self.dirty.push_back(no);
        }
        Some((slot.connection.core_mut(), now))
    }

    /// Whether any connection has a session.
    pub fn is_any_online(&self) -> bool {
        self.connections.iter().flatten().any(|slot| slot.connection.core().is_online())
    }

    /// Why a connection ended or did not open, if the operating system said.
    pub fn last_error(&self, no: ConnNo) -> Option<String> {
        let slot = self.connections.get(no)?.as_ref()?;
        slot.connection.last_error().map(ToString::to_string)
    }

    /// The next event of any connection; `None` when `wait` is over.
    pub fn next_event(&mut self, wait: Duration) -> io::Result<Option<(ConnNo, Event)>> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            self.turn(deadline)?;
            if self.events.is_empty() && self.dirty.is_empty() && Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    fn now(&self) -> u64 {
        self.started_at.elapsed().as_millis() as u64
    }

    fn turn(&mut self, deadline: Instant) -> io::Result<()> {
        // Those that became dirty meanwhile wait for the next turn, so that a turn ends.
        for _ in 0..self.dirty.len() {
            let Some(no) = self.dirty.pop_front() else { break };
            self.pump(no)?;
        }
        let mut wait = deadline.saturating_duration_since(Instant::now());
        if !self.dirty.is_empty() || !self.events.is_empty() {
            wait = Duration::ZERO;
        } else if let Some(Reverse((at, _))) = self.timers.peek() {
            wait = wait.min(Duration::from_millis(at.saturating_sub(self.now()).max(1)));
        }
        match self.poll.poll(&mut self.ready, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for ready in &self.ready {
            let no = ready.token().0;
            if let Some(Some(slot)) = self.connections.get_mut(no) {
                slot.connection.handle_ready(ready);
                if !std::mem::replace(&mut slot.is_dirty, true) {
                    self.dirty.push_back(no);
                }
            }
        }
        self.expire();
        Ok(())
    }

    fn expire(&mut self) {
        let now = self.now();
        while let Some(&Reverse((at, no))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            if let Some(Some(slot)) = self.connections.get_mut(no)
                && slot.timer == Some(at)
            {
                slot.timer = None;
                if !std::mem::replace(&mut slot.is_dirty, true) {
                    self.dirty.push_back(no);
                }
            }
        }
    }

    fn pump(&mut self, no: ConnNo) -> io::Result<()> {
        let now = self.now();
        let Some(Some(slot)) = self.connections.get_mut(no) else { return Ok(()) };
        slot.is_dirty = false;
        let more = slot.connection.pump(self.poll.registry(), now, &mut self.scratch)?;
        while let Some(event) = slot.connection.core_mut().poll_event() {
            self.events.push_back((no, event));
        }
        if more {
            slot.is_dirty = true;
            self.dirty.push_back(no);
        }
        let at = slot.connection.core().poll_timeout();
        if at != slot.timer {
            slot.timer = at;
            self.timers.extend(at.map(|at| Reverse((at, no))));
        }
        Ok(())
    }
}
