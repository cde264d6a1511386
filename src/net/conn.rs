//! One connection: its state, its deadlines. Knows neither the poll nor the handler.

use aldis_wire::limits::{BODY_BEFORE_LOGIN_BYTES_MAX, BODY_BYTES_MAX};

use crate::output::OutQueue;
use crate::share::Allowance;
use crate::tail::Tail;
use crate::timer::{Tick, ticks_of};
use crate::transport::Transport;
use crate::{CloseReason, Config};

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Frames go both ways.
    Open,
    /// What is queued is written, what arrives is thrown away.
    Flushing,
    /// Everything was written and the peer knows; until it closes too, what arrives is thrown away.
    /// Closing with unread input would reset the connection and could destroy the last answer.
    Lingering,
    /// Waits to be removed.
    Closed,
}

/// A connection. An idle one owns nothing but this and its socket.
pub(crate) struct Conn {
    pub transport: Transport,
    /// Tells it from others that had or will have its index.
    pub generation: u32,
    /// Received bytes that could not be handled yet.
    pub tail: Option<Box<Tail>>,
    /// Output; present only while it is not empty.
    pub out: Option<Box<OutQueue>>,
    /// Before login: since when it is open. After: last received something.
    pub active_at: Tick,
    /// First byte of an incomplete frame, unless reading is paused by us.
    pub frame_since: Option<Tick>,
    /// Output waits and none was written since.
    pub stalled_since: Option<Tick>,
    /// Closing began.
    pub closing_since: Option<Tick>,
    /// Entry in the wheel that is not stale.
    pub timer_at: Option<Tick>,
    pub state: State,
    /// Why it closes; meaningful unless `Open`.
    pub reason: CloseReason,
    pub logged_in: bool,
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer's end was announced: read on until it is seen.
    pub end_announced: bool,
    /// The peer's end was read.
    pub end_seen: bool,
    /// A frame waits until the handler resumes.
    pub waiting: bool,
    /// A frame or bytes wait until output is below the soft limit.
    pub output_paused: bool,
    /// Pushes were dropped since the queue was last empty.
    pub behind: bool,
    /// Counts among those that are agreeing on keys.
    pub handshaking: bool,
    /// Stands in one of the lists of connections to read: at once, again, or after a pause.
    pub in_ready: bool,
    /// It has sent more than it may, and is not read until its pause is over.
    pub throttled: bool,
    /// How much it may still send, if its address is one that counts.
    pub allowance: Allowance,
    /// See `allowance`.
    pub counts: bool,
    /// Frames that are left for this visit.
    pub visit: u8,
    /// Stands in the list of connections to flush.
    pub in_dirty: bool,
}

impl Conn {
    /// A connection that was just accepted.
    pub fn new(transport: Transport, generation: u32, now: Tick, allowance: Allowance) -> Self {
        Self {
            handshaking: transport.is_handshaking(),
            transport,
            generation,
            tail: None,
            out: None,
            active_at: now,
            frame_since: None,
            stalled_since: None,
            closing_since: None,
            timer_at: None,
            state: State::Open,
            reason: CloseReason::Peer,
            logged_in: false,
            readable: false,
            writable: true,
            end_announced: false,
            end_seen: false,
            waiting: false,
            output_paused: false,
            behind: false,
            in_ready: false,
            throttled: false,
            allowance,
            counts: false,
            visit: 0,
            in_dirty: false,
        }
    }

    /// Bytes of output that wait.
    pub fn output_len(&self) -> usize {
        self.out.as_ref().map_or(0, |queue| queue.len())
    }

    /// Largest body that it may send now.
    pub fn body_bytes_max(&self) -> usize {
        if self.logged_in { BODY_BYTES_MAX } else { BODY_BEFORE_LOGIN_BYTES_MAX }
    }

    /// The earliest deadline that holds now, and what it closes with.
    pub fn deadline(&self, deadlines: &Deadlines) -> Option<(Tick, CloseReason)> {
        if self.state == State::Closed {
            return None;
        }
        if let Some(since) = self.closing_since {
            return Some((since.after(deadlines.linger), self.reason));
        }
        let alive = if !self.logged_in {
            Some((self.active_at.after(deadlines.login), CloseReason::LoginDeadline))
        } else if self.waiting || self.output_paused || self.throttled {
            // Nothing is received because we do not read: not the peer's silence.
            None
        } else {
            Some((self.active_at.after(deadlines.idle), CloseReason::IdleDeadline))
        };
        let frame = self
            .frame_since
            .map(|since| (since.after(deadlines.frame), CloseReason::FrameDeadline));
        let stall = self
            .stalled_since
            .map(|since| (since.after(deadlines.write_stall), CloseReason::WriteStall));
        [alive, frame, stall].into_iter().flatten().min_by_key(|(tick, _)| *tick)
    }

    /// Checks what must hold between two calls of the handler.
    pub fn invariants(&self) {
        debug_assert!(self.out.as_ref().is_none_or(|queue| queue.len() > 0));
        debug_assert!(self.tail.as_ref().is_none_or(|tail| !tail.is_empty()));
        debug_assert_eq!(
            self.closing_since.is_some(),
            matches!(self.state, State::Flushing | State::Lingering)
        );
        debug_assert!(self.state == State::Open || self.tail.is_none());
        debug_assert!(self.frame_since.is_none() || self.tail.is_some());
        debug_assert!(self.stalled_since.is_none() || self.out.is_some());
    }
}

/// Lengths of the deadlines in ticks.
pub(crate) struct Deadlines {
    pub login: u32,
    frame: u32,
    idle: u32,
    write_stall: u32,
    linger: u32,
}

impl Deadlines {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        Self {
            login: ticks_of(config.login_deadline),
            frame: ticks_of(config.frame_deadline),
            idle: ticks_of(config.idle_deadline),
            write_stall: ticks_of(config.write_stall_deadline),
            linger: ticks_of(config.linger_deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Conn>() <= 120, "{} bytes", size_of::<Conn>());
    }
}
