//! What an endpoint hands out: events, datagrams, figures, errors. Knows no mechanism.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::ids::{BootId, Flow, MessageId, NodeId, PeerId};

/// Something that happened, in the order it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session is up in both directions. Sessions that the other side began show first here.
    Connected {
        /// The session.
        peer: PeerId,
        /// The node at its other end.
        node: NodeId,
        /// That node's life.
        boot: BootId,
    },
    /// A message arrived; each one shows exactly once.
    Message {
        /// From this session.
        peer: PeerId,
        /// As it was sent.
        flow: Flow,
        /// Its bytes.
        message: Bytes,
    },
    /// After a `WouldBlock`, `send` takes messages again.
    Writable {
        /// For this session.
        peer: PeerId,
    },
    /// Nothing came for a while although something was due.
    Suspect {
        /// The session.
        peer: PeerId,
    },
    /// A suspect was heard again.
    Recovered {
        /// The session.
        peer: PeerId,
    },
    /// The node came back with another boot id; the session is over.
    Restarted {
        /// The session that ended.
        peer: PeerId,
        /// Messages that may or may not have arrived.
        unknown: Vec<MessageId>,
    },
    /// Nothing came for too long, or the peer broke the protocol; the session is over.
    Lost {
        /// The session that ended.
        peer: PeerId,
        /// Messages that may or may not have arrived.
        unknown: Vec<MessageId>,
    },
    /// One of the two sides closed; the session is over.
    Closed {
        /// The session that ended.
        peer: PeerId,
        /// Messages that may or may not have arrived.
        unknown: Vec<MessageId>,
    },
}

/// Explicit congestion notification, the two bits of the IP header (RFC 3168 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// Capable, codepoint 1.
    Ect1,
    /// Capable, codepoint 0.
    Ect0,
    /// Congestion was experienced.
    Ce,
}

/// Datagrams to send now: the content of the buffer given to `poll_transmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub destination: SocketAddr,
    /// Length of every datagram but the last one, which may be shorter; `None` for a single one.
    pub segment_size: Option<usize>,
    /// The mark to send with.
    pub ecn: Option<Ecn>,
}

/// Figures of a session since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages given to `send`.
    pub messages_sent: u64,
    /// Messages delivered as events.
    pub messages_received: u64,
    /// Messages not acknowledged yet.
    pub messages_unacknowledged: usize,
    /// Datagrams sent, of all kinds.
    pub datagrams_sent: u64,
    /// Authentic datagrams received.
    pub datagrams_received: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received in authentic datagrams.
    pub bytes_received: u64,
    /// Datagrams taken for lost.
    pub datagrams_lost: u64,
    /// Of those, the ones that were acknowledged after all.
    pub losses_spurious: u64,
    /// Probe timeouts.
    pub probes: u64,
    /// Datagrams sent that held acknowledgements only.
    pub acks_only_sent: u64,
    /// Repair datagrams sent.
    pub repairs_sent: u64,
    /// Datagrams that a repair brought back here.
    pub recovered: u64,
    /// Messages that arrived again and were dropped.
    pub duplicates: u64,
    /// Smoothed round trip time.
    pub rtt: Duration,
    /// Smallest round trip time of late.
    pub rtt_min: Duration,
    /// Time that a reordered datagram is waited for.
    pub reordering_window: Duration,
    /// Bytes that may be in flight.
    pub congestion_window: u64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Bytes per second that are let out.
    pub pacing_rate: u64,
    /// UDP payload of the largest datagram that the path is known to carry.
    pub datagram_bytes: usize,
    /// Bytes of memory that the session holds, messages that wait included.
    pub memory_bytes: usize,
}

/// Datagrams that an endpoint dropped since it began, by reason. Nothing changed by them, and nothing
/// was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Of a handshake, but not under a key of this cluster, of the other mode, or damaged.
    pub handshakes: u64,
    /// Where the last of those came from, as far as that can be believed.
    pub handshake_from: Option<SocketAddr>,
    /// Of a session, but not under its keys, or damaged.
    pub forged: u64,
    /// Authentic, and seen before, or so old that it cannot be told. The network doubles datagrams, too.
    pub replayed: u64,
    /// Of no session, or not from where its peer is.
    pub strangers: u64,
}

/// Why `connect` refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// There is a session with that node, or one is being set up.
    #[error("session {0} with that node exists")]
    Exists(PeerId),
    /// As many sessions as the configuration allows.
    #[error("too many sessions")]
    Full,
    /// A node does not talk to itself.
    #[error("that is this node")]
    Myself,
}

/// Why `send` refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much is unacknowledged; `Event::Writable` will tell.
    #[error("the send buffer is full")]
    WouldBlock,
    /// No such session, or it is over.
    #[error("no such session")]
    NoPeer,
    /// Longer than `MESSAGE_BYTES_MAX`.
    #[error("message of {0} bytes is too large")]
    TooLarge(usize),
}
