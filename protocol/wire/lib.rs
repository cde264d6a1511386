//! The wire protocol as types: what both ends agree on. Knows no socket, no session, no store.
//!
//! PROTOCOL.md is its specification, NODE.md that of what nodes say to each other; where one of them
//! and this differ, one has a bug.

// What is on the wire says how long it is, and may lie: an index that is wrong would end the process.
#![deny(clippy::indexing_slicing)]

mod code;
mod command;
mod contract;
mod deliver;
mod frame;
mod ids;
mod kind;
pub mod limits;
pub mod name;
mod push;

pub use code::Code;
pub use command::Command;
pub use contract::{codes_of, is_allowed};
pub use deliver::Recipients;
pub use frame::{Frame, FrameError, HEADER_LEN, Header, MAGIC, OutFrame, VERSION, parse_frame};
pub use ids::{
    ClientMsgId, ConnId, ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, MsgId, MsgNo,
    RequestId, Seq, UserId,
};
pub use kind::{CLEARED, EDITED, RECALLED, SHORTENED};
pub use push::{PushTail, hint_frame};

/// The generated messages of client.proto (package `aldis`).
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/aldis.rs"));
}

/// The generated messages of node.proto (package `aldis.node`).
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod node_pb {
    include!(concat!(env!("OUT_DIR"), "/aldis.node.rs"));
}

/// The descriptors of client.proto and node.proto (a `google.protobuf.FileDescriptorSet`), for tools
/// that make or read messages without knowing them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub use prost::Message;
