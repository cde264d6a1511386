//! Reliable UDP without I/O: messages, each delivered exactly once, whose latency keeps its tail
//! under loss. It is handed datagrams and the time, and hands out datagrams, deadlines and events;
//! it knows no socket, no clock, no thread, and nothing of who uses it.
//!
//! - `endpoint`: all sessions of a node, and how they come to be. `peer`: one session.
//! - `send`, `receive`: the halves of a session, a file for each mechanism.
//! - `congestion`: how much may be in flight. `session`, `crypto`: protection and keys.
//! - `wire`: bytes.

mod config;
mod congestion;
mod crypto;
mod endpoint;
mod event;
mod hash;
mod ids;
mod loss_runs;
mod peer;
pub mod planted;
mod receive;
mod recent_max;
mod redundancy;
mod send;
mod session;
mod spans;
mod time;
mod wire;

pub use config::{Config, ControllerKind, DATAGRAM_BYTES_BASE, MESSAGE_BYTES_MAX, Mode};
pub use crypto::{ClusterKey, ClusterKeys};
pub use endpoint::Endpoint;
pub use event::{ConnectError, Ecn, Event, Rejected, SendError, Stats, Transmit};
pub use ids::{BootId, Flow, MessageId, NodeId, PeerId};
pub use time::Time;
