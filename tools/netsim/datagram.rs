//! One datagram on its way. Knows how many bytes it takes on the wire, not what they mean.

use std::net::SocketAddr;

/// Bytes of an IPv4 and a UDP header.
pub const UDP_HEADERS: u16 = 28;

/// Congestion notification of a packet that is capable of it (RFC 3168); no value is Not-ECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// Capable, codepoint 0.
    Ect0,
    /// Capable, codepoint 1.
    Ect1,
    /// A queue on the way was congested.
    Ce,
}

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source, as the receiver sees it.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Congestion notification; `None` is Not-ECT.
    pub ecn: Option<Ecn>,
    /// Bytes of lower layers' headers that are not in `bytes` but take room on the wire.
    pub headers: u16,
    /// Payload of the lower layers.
    pub bytes: Vec<u8>,
}

impl Datagram {
    /// Over UDP and IPv4, not capable of congestion notification.
    pub fn udp(from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> Self {
        Self { from, to, ecn: None, headers: UDP_HEADERS, bytes }
    }

    /// Bytes that a link carries for it.
    pub fn wire_bytes(&self) -> u64 {
        u64::from(self.headers) + self.bytes.len() as u64
    }
}
