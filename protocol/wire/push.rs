//! MSG_PUSH_NOTIFY with a body that is encoded once for all recipients.
//!
//! Protobuf fields may be concatenated. What differs per recipient (head and seq) is written first
//! by hand, everything else is encoded once and shared: see `field numbers` in the tests, which
//! hold this file against client.proto.

use bytes::Bytes;
use prost::Message;

use crate::frame::HEAD_BYTES_MAX;
use crate::{Command, HEADER_LEN, Header, OutFrame, Seq, pb};

/// Key of MsgPushNotify.stream: field 1, varint.
const KEY_STREAM: u8 = 1 << 3;
/// Key of MsgPushNotify.head: field 2, varint.
const KEY_HEAD: u8 = 2 << 3;
/// Key of MsgPushNotify.entries: field 3, length-delimited.
const KEY_ENTRIES: u8 = (3 << 3) | 2;
/// Key of MessageData.seq: field 1, varint.
const KEY_SEQ: u8 = 1 << 3;
/// Longest encoding of a u64.
const VARINT_BYTES_MAX: usize = 10;

const _: () =
    assert!(HEADER_LEN + 4 + 4 * VARINT_BYTES_MAX <= HEAD_BYTES_MAX, "a push's head fits inline");

/// The part of a pushed entry that all its readers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTail(Bytes);

impl PushTail {
    /// Encodes an entry; its `seq` must be 0, because each reader has another.
    pub fn new(entry: &pb::MessageData) -> Self {
        debug_assert_eq!(entry.seq, 0, "seq is written per recipient");
        Self(Bytes::from(entry.encode_to_vec()))
    }

    /// The same from its encoded form, as another node sends it. It is not looked into: nodes trust
    /// each other's bytes as far as clients' decoders do.
    pub fn from_encoded(entry: Bytes) -> Self {
        Self(entry)
    }

    /// The encoded form, for another node.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// The notification for one reader's mailbox (stream 0).
    pub fn frame(&self, seq: Seq, head: Seq) -> OutFrame {
        self.frame_in(0, seq, head)
    }

    /// The notification for a stream.
    pub fn frame_in(&self, stream: u64, seq: Seq, head: Seq) -> OutFrame {
        let entry_len = 1 + varint_len(seq.0) + self.0.len();
        let stream_len = if stream == 0 { 0 } else { 1 + varint_len(stream) };
        let body_len =
            stream_len + 1 + varint_len(head.0) + 1 + varint_len(entry_len as u64) + entry_len;
        let mut out = HeadWriter::new(Command::MsgPushNotify, body_len);
        if stream != 0 {
            out.byte(KEY_STREAM);
            out.varint(stream);
        }
        out.byte(KEY_HEAD);
        out.varint(head.0);
        out.byte(KEY_ENTRIES);
        out.varint(entry_len as u64);
        out.byte(KEY_SEQ);
        out.varint(seq.0);
        OutFrame::new(out.bytes.get(..out.len).unwrap_or_default(), self.0.clone())
    }

    /// Bytes of the shared part.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to share.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A notification without entries: the stream's head is `head`, sync to it.
pub fn hint_frame(stream: u64, head: Seq) -> OutFrame {
    let body = pb::MsgPushNotify { stream, head: head.0, entries: vec![] };
    OutFrame::notification(Command::MsgPushNotify, &body)
}

fn varint_len(value: u64) -> usize {
    prost::encoding::encoded_len_varint(value)
}

struct HeadWriter {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
}

impl HeadWriter {
    fn new(command: Command, body_len: usize) -> Self {
        let header = Header { cmd: command.id(), code: 0, seq: 0, len: body_len as u32 };
        let mut bytes = [0; HEAD_BYTES_MAX];
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        Self { bytes, len: HEADER_LEN }
    }

    fn byte(&mut self, byte: u8) {
        *self.bytes.get_mut(self.len).expect("a head holds the longest of these") = byte;
        self.len += 1;
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_frame;

    #[test]
    fn a_push_assembled_by_hand_decodes_as_the_message() {
        for (seq, stream) in [(1, 0), (127, 5), (128, 0), (1 << 20, 1 << 30), (u64::MAX, u64::MAX)]
        {
            let mut entry = pb::MessageData {
                msg_id: 1 << 60,
                conv_seq: 9,
                sender_id: 10_001,
                content: Bytes::from("héllo"),
                ..Default::default()
            };
            let tail = PushTail::new(&entry);
            let bytes = tail.frame_in(stream, Seq(seq), Seq(u64::MAX)).to_vec();
            let frame = parse_frame(&bytes, 1000).unwrap().unwrap();
            assert_eq!(bytes.len(), HEADER_LEN + frame.body.len());
            entry.seq = seq;
            let want = pb::MsgPushNotify { stream, head: u64::MAX, entries: vec![entry] };
            assert_eq!(pb::MsgPushNotify::decode(frame.body).unwrap(), want);
        }
    }
}
