//! What an endpoint may be told, with bounds and reasons. Knows no mechanism.

use std::time::Duration;

use crate::crypto::ClusterKeys;
use crate::ids::{BootId, NodeId};

/// Bytes of the largest message. Larger things belong into a bulk protocol.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a datagram that every path of today's internet carries (RFC 8899, 9000 14.1).
pub const DATAGRAM_BYTES_BASE: usize = 1_200;

/// How datagrams are protected.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Encrypted and authenticated with keys that are fresh for each session.
    Sealed(ClusterKeys),
    /// A checksum only: for loopback, or a network that nobody else can write to.
    Plain,
}

/// Which congestion controller sessions use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerKind {
    /// Follows delivery rate and delay, and does not take random loss for congestion.
    Model,
    /// CUBIC (RFC 9438), for links that are shared with loss-based flows.
    Cubic,
}

/// Settings of an endpoint.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// This life of it: random bits, new with every start of the process.
    pub boot: BootId,
    /// Protection; both ends must have the same.
    pub mode: Mode,
    /// The congestion controller.
    pub controller: ControllerKind,
    /// Whether repair datagrams are sent while datagrams are being lost.
    pub redundancy: bool,
    /// Whether datagrams are sent as ECN-capable (RFC 3168).
    pub ecn: bool,
    /// Sessions at a time, those that are being set up included.
    pub peers_max: usize,
    /// Bytes of unacknowledged messages of a peer past which `send` answers `WouldBlock`; each
    /// message counts some more than its length.
    pub send_bytes_max: usize,
    /// Bytes of messages that a peer may have under way to us: those that miss a part or a
    /// predecessor, and those that the driver did not take yet. At least two largest messages.
    pub receive_bytes_max: usize,
    /// UDP payload of the largest datagram that path MTU discovery tries. 1,472 fills an
    /// Ethernet frame over IPv4.
    pub datagram_bytes_max: usize,
    /// Datagrams of the same size that one `poll_transmit` may return for a segmenting socket.
    pub segments_max: usize,
    /// Silence after which a ping is sent.
    pub keepalive: Duration,
    /// Silence under load after which a peer is `Suspect`.
    pub suspect_after: Duration,
    /// Silence after which a peer is `Lost`, and the time a handshake may take.
    pub lost_after: Duration,
}

impl Config {
    /// Sensible settings for this node in this mode.
    pub fn new(node: NodeId, boot: BootId, mode: Mode) -> Self {
        Self {
            node,
            boot,
            mode,
            controller: ControllerKind::Model,
            redundancy: false,
            ecn: true,
            peers_max: 1_024,
            send_bytes_max: 32 << 20,
            receive_bytes_max: 32 << 20,
            datagram_bytes_max: 1_472,
            segments_max: 1,
            keepalive: Duration::from_secs(1),
            suspect_after: Duration::from_millis(500),
            lost_after: Duration::from_secs(10),
        }
    }

    /// The same with every value inside what the mechanisms allow.
    pub(crate) fn bounded(&self) -> Self {
        let two_messages = 2 * (MESSAGE_BYTES_MAX + 1_024);
        let mut config = self.clone();
        config.peers_max = config.peers_max.clamp(1, 1 << 20);
        config.send_bytes_max = config.send_bytes_max.clamp(two_messages, 1 << 30);
        config.receive_bytes_max = config.receive_bytes_max.clamp(two_messages, 1 << 30);
        config.datagram_bytes_max = config.datagram_bytes_max.clamp(DATAGRAM_BYTES_BASE, 65_000);
        config.segments_max = config.segments_max.clamp(1, 64);
        config.keepalive = config.keepalive.max(Duration::from_millis(10));
        config.suspect_after = config.suspect_after.max(Duration::from_millis(10));
        config.lost_after = config.lost_after.max(config.suspect_after);
        config
    }
}
