//! Bytes of a datagram: header, acknowledgement, frames. Knows no session and no keys.

// A length in a datagram may lie: an index that is wrong would end the process.
#![deny(clippy::indexing_slicing)]

pub(crate) mod ack;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod hello;
pub(crate) mod varint;

/// A datagram that is not of this protocol, or is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed datagram")]
pub(crate) struct Malformed;
