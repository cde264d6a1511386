//! The generator's event loop: one poll, many connections, a timer with better resolution than
//! the poll's milliseconds. Knows frames, not what they mean: a `Handler` does.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aldis_client::shell::Tls;
use aldis_wire::limits::BODY_BYTES_MAX;
use aldis_wire::{Command, Frame, HEADER_LEN, parse_frame, pb};
use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token};

use super::codec::{SEQ_KEEP_ALIVE, request_frame};
use super::connection::{Connection, ReadOutcome, scratch_len};
use crate::alarm::Alarm;

/// Events taken per turn: few enough that answers written at its end are not late.
const EVENTS_PER_TURN_MAX: usize = 256;
/// Sessions that sent nothing for so long send a heartbeat: below the server's idle deadline.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// The timer's token; connections count from 0.
const TIMER: Token = Token(usize::MAX);

/// A connection of one `Net`, counted from 0.
pub type ConnIndex = usize;

/// What is done with what arrives. `now_ns` counts from the start of the process.
pub trait Handler {
    /// A frame arrived.
    fn handle_frame(&mut self, out: &mut Outbox, conn: ConnIndex, frame: Frame<'_>, now_ns: u64);
    /// A connection ended; it takes no more frames.
    fn handle_closed(&mut self, out: &mut Outbox, conn: ConnIndex, why: &str);
}

/// The connections, as far as handlers see them.
pub struct Outbox {
    connections: Vec<Option<Connection>>,
    dirty: Vec<ConnIndex>,
}

impl Outbox {
    /// Where to append frames for a connection; they are written at the end of the turn. Frames
    /// for a closed connection go nowhere.
    pub fn frames_for(&mut self, conn: ConnIndex) -> Option<&mut Vec<u8>> {
        let out = self.connections.get_mut(conn)?.as_mut()?.out();
        if out.is_empty() {
            self.dirty.push(conn);
        }
        Some(out)
    }

    /// Queues one frame.
    pub fn send(&mut self, conn: ConnIndex, frame: &[u8]) {
        if let Some(out) = self.frames_for(conn) {
            out.extend_from_slice(frame);
        }
    }
}

/// The event loop of one thread.
pub struct Net {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    epoch: Instant,
    scratch: Vec<u8>,
    /// Connections that were not read to the end: edge-triggered, so no event comes again.
    unread: Vec<ConnIndex>,
    keep_alive_ns: u64,
    outbox: Outbox,
    /// What connections are encrypted with.
    tls: Option<Tls>,
}

impl Net {
    /// A loop without connections, which will be over TLS if that is given; `epoch` is the zero of
    /// its clock.
    pub fn new(epoch: Instant, tls: Option<Tls>) -> Result<Self> {
        let poll = Poll::new().context("cannot create a poll")?;
        let alarm = Alarm::new(poll.registry(), TIMER).context("cannot create a timer")?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN_MAX),
            alarm,
            epoch,
            scratch: vec![0; scratch_len(BODY_BYTES_MAX)],
            unread: Vec::new(),
            keep_alive_ns: KEEP_ALIVE_EVERY.as_nanos() as u64,
            outbox: Outbox { connections: Vec::new(), dirty: Vec::new() },
            tls,
        })
    }

    /// Nanoseconds since the epoch.
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// The connections.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Begins to connect; `number` counts the connections of the process.
    pub fn connect(&mut self, server: SocketAddr, number: usize) -> Result<ConnIndex> {
        let tls = self.tls.as_ref().map(|tls| tls.session(&server.to_string())).transpose()?;
        let mut connection = Connection::start(server, number, tls)
            .with_context(|| format!("connecting to {server}"))?;
        let index = self.outbox.connections.len();
        self.poll.registry().register(
            connection.stream_mut(),
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.outbox.connections.push(Some(connection));
        Ok(index)
    }

    /// Writes what is queued, waits until something happens or `wake_ns` is reached, reads.
    pub fn turn(&mut self, handler: &mut impl Handler, wake_ns: u64) -> Result<()> {
        self.flush(handler);
        let now_ns = self.now_ns();
        if now_ns >= self.keep_alive_ns {
            self.keep_alive(now_ns);
            self.flush(handler);
        }
        let wake_ns = wake_ns.min(self.keep_alive_ns);
        let timeout = if self.unread.is_empty() && self.outbox.dirty.is_empty() {
            self.alarm.set(now_ns, wake_ns).context("timer")?
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error).context("poll"),
        }
        for conn in std::mem::take(&mut self.unread) {
            self.read(handler, conn);
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            if event.token() == TIMER {
                self.alarm.handle_event();
                continue;
            }
            let conn = event.token().0;
            if event.is_writable() || event.is_error() {
                self.handle_writable(handler, conn);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(handler, conn);
            }
            // The end comes with the last data in one event; it is read in the next turn.
            if event.is_read_closed() {
                self.unread.push(conn);
            }
        }
        self.events = events;
        Ok(())
    }

    fn keep_alive(&mut self, now_ns: u64) {
        self.keep_alive_ns = now_ns + KEEP_ALIVE_EVERY.as_nanos() as u64;
        let frame =
            request_frame(Command::Heartbeat, SEQ_KEEP_ALIVE, &pb::HeartbeatReq { local_seq: 0 });
        for conn in 0..self.outbox.connections.len() {
            let Some(connection) = &mut self.outbox.connections[conn] else { continue };
            if !std::mem::take(&mut connection.was_active) {
                self.outbox.send(conn, &frame);
            }
        }
    }

    fn flush(&mut self, handler: &mut impl Handler) {
        let mut dirty = std::mem::take(&mut self.outbox.dirty);
        for conn in dirty.drain(..) {
            let Some(connection) = &mut self.outbox.connections[conn] else { continue };
            if let Err(error) = connection.flush() {
                self.close(handler, conn, &error.to_string());
            }
        }
        // Keep the allocation, unless closing made handlers queue more.
        if self.outbox.dirty.is_empty() {
            self.outbox.dirty = dirty;
        }
    }

    fn handle_writable(&mut self, handler: &mut impl Handler, conn: ConnIndex) {
        let Some(connection) = &mut self.outbox.connections[conn] else { return };
        match connection.handle_writable() {
            Ok(()) if connection.wants_write() => self.outbox.dirty.push(conn),
            Ok(()) => {}
            Err(error) => self.close(handler, conn, &error.to_string()),
        }
    }

    fn read(&mut self, handler: &mut impl Handler, conn: ConnIndex) {
        let Some(connection) = &mut self.outbox.connections[conn] else { return };
        let len = match connection.read(&mut self.scratch) {
            Ok(ReadOutcome::Empty) => return,
            Ok(ReadOutcome::Eof) => return self.close(handler, conn, "closed by the server"),
            Ok(ReadOutcome::Data { len, more }) => {
                if more {
                    self.unread.push(conn);
                }
                len
            }
            Err(error) => return self.close(handler, conn, &error.to_string()),
        };
        let now_ns = self.epoch.elapsed().as_nanos() as u64;
        let mut used = 0;
        let broken = loop {
            match parse_frame(&self.scratch[used..len], BODY_BYTES_MAX) {
                Ok(Some(frame)) => {
                    used += HEADER_LEN + frame.body.len();
                    handler.handle_frame(&mut self.outbox, conn, frame, now_ns);
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = broken {
            return self.close(handler, conn, &error.to_string());
        }
        if let Some(connection) = &mut self.outbox.connections[conn] {
            connection.keep_tail(&self.scratch[used..len]);
        }
    }

    fn close(&mut self, handler: &mut impl Handler, conn: ConnIndex, why: &str) {
        if let Some(mut connection) = self.outbox.connections[conn].take() {
            // The socket closes with the connection whatever the poll says to this.
            let _ = self.poll.registry().deregister(connection.stream_mut());
            handler.handle_closed(&mut self.outbox, conn, why);
        }
    }
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
