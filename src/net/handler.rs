//! What a reactor tells its owner, and the words both use. Knows no socket.

use std::net::SocketAddr;
use std::time::Instant;

use aldis_wire::{ConnId, Frame, FrameError};

use crate::Io;

/// What runs on a reactor. Every method is called by the reactor's thread and must not block.
pub trait Handler {
    /// What other threads post to this reactor.
    type Mail: Send;

    /// Whether a connection of this peer may come; if not it is closed before anything is said.
    fn admits(&mut self, _io: &Io, _peer: SocketAddr) -> bool {
        true
    }

    /// Whether the limits of what one connection may send hold for this peer.
    fn counts(&mut self, _peer: SocketAddr) -> bool {
        true
    }

    /// A connection was accepted.
    fn handle_open(&mut self, io: &mut Io, conn: ConnId, peer: SocketAddr);

    /// A complete frame arrived. With [`Admit::Wait`] the same frame comes again after
    /// [`Io::resume`], which must be called later, not from inside this method.
    fn handle_frame(&mut self, io: &mut Io, conn: ConnId, frame: Frame<'_>) -> Admit;

    /// The peer sent something that is no frame. An answer may be sent; afterwards the reactor
    /// closes the connection itself: at once after a wrong magic, else when the output is flushed.
    fn handle_frame_error(&mut self, io: &mut Io, conn: ConnId, error: FrameError);

    /// The peer will send nothing more but may still read; all its frames were handled before.
    /// A handler that owes answers closes when they are sent; the default owes none.
    fn handle_half_closed(&mut self, io: &mut Io, conn: ConnId) {
        io.close_after_flush(conn, CloseReason::Peer);
    }

    /// The connection is gone. Called exactly once for each `handle_open`, whoever closed it, and
    /// before its index is used again.
    fn handle_closed(&mut self, io: &mut Io, conn: ConnId, reason: CloseReason);

    /// Pushes were dropped on this connection and its queue is empty again: time for a hint.
    fn handle_drained(&mut self, io: &mut Io, conn: ConnId);

    /// A mail from another thread.
    fn handle_mail(&mut self, io: &mut Io, mail: Self::Mail);

    /// The time of `poll_timeout` was reached.
    fn handle_timeout(&mut self, io: &mut Io);

    /// When `handle_timeout` wants to be called next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Once per turn, after all input and before the flush.
    fn handle_turn_end(&mut self, io: &mut Io);

    /// Once per turn, after the flush: the counters say what the turn did.
    fn handle_flushed(&mut self, _io: &Io) {}
}

/// What the handler did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Consumed.
    Taken,
    /// Not consumed: keep it and everything behind it, read no more until [`Io::resume`].
    Wait,
}

/// How a frame may be treated when its reader is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Queued up to the hard limit.
    Reply,
    /// Dropped above the soft limit, and from then on until the queue is empty.
    Push,
}

/// What became of a frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a dropped push needs a hint later"]
pub enum Sent {
    /// Queued; written at the end of the turn or when the peer reads.
    Queued,
    /// A push that was dropped; `handle_drained` will follow unless the connection closes.
    Dropped,
    /// The connection is closed or closing.
    Gone,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// The peer closed its side.
    Peer,
    /// The connection broke: reset, timed out in the network, or another socket error.
    Reset,
    /// The peer sent something that is no frame.
    BadFrame,
    /// The peer speaks no TLS, or not ours.
    BadTls,
    /// No login in time.
    LoginDeadline,
    /// A frame was begun and not completed in time.
    FrameDeadline,
    /// Nothing received for too long.
    IdleDeadline,
    /// Output was queued and the peer read none of it for too long.
    WriteStall,
    /// More output was queued than the hard limit allows.
    OutputLimit,
    /// The handler's decision.
    Handler,
    /// The reactor stopped.
    Stopped,
}

impl CloseReason {
    /// Every reason; a reason's position is its number.
    pub const ALL: [CloseReason; 11] = [
        CloseReason::Peer,
        CloseReason::Reset,
        CloseReason::BadFrame,
        CloseReason::BadTls,
        CloseReason::LoginDeadline,
        CloseReason::FrameDeadline,
        CloseReason::IdleDeadline,
        CloseReason::WriteStall,
        CloseReason::OutputLimit,
        CloseReason::Handler,
        CloseReason::Stopped,
    ];

    /// Name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Peer => "peer",
            CloseReason::Reset => "reset",
            CloseReason::BadFrame => "bad_frame",
            CloseReason::BadTls => "bad_tls",
            CloseReason::LoginDeadline => "login_deadline",
            CloseReason::FrameDeadline => "frame_deadline",
            CloseReason::IdleDeadline => "idle_deadline",
            CloseReason::WriteStall => "write_stall",
            CloseReason::OutputLimit => "output_limit",
            CloseReason::Handler => "handler",
            CloseReason::Stopped => "stopped",
        }
    }
}
