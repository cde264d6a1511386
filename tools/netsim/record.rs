//! What happened to each datagram. Knows times and sizes, no contents.

use std::net::SocketAddr;

/// Why a datagram never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Random loss, alone or in bursts.
    Loss,
    /// A queue was full.
    Queue,
    /// The way was cut.
    Partition,
    /// It was larger than the link carries.
    Mtu,
    /// No link leads to its destination.
    NoRoute,
}

/// How a datagram ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not yet.
    UnderWay,
    /// At its destination.
    Arrived {
        /// When, ns.
        at_ns: u64,
    },
    /// Nowhere.
    Dropped(Cause),
}

/// One datagram's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When a host sent it, or a link made it.
    pub sent_ns: u64,
    /// Source as written on it when it was sent.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Bytes on the wire, lower headers included.
    pub wire_bytes: u32,
    /// A link made it (a duplicate, a replay, a forgery); no host sent it.
    pub is_copy: bool,
    /// Its bytes, source or length were changed on the way.
    pub is_altered: bool,
    /// A queue marked it as having met congestion.
    pub is_marked: bool,
    /// Time spent waiting in queues, ns, its own transmission not included.
    pub queued_ns: u64,
    /// How it ended.
    pub fate: Fate,
}
