//! Deliver of node.proto, written by hand: it is made for every entry that crosses from node to node,
//! and one with a single reader should cost little more than its bytes. The tests hold this file
//! against node.proto. Reading goes through the generated messages.

use bytes::Bytes;
use prost::Message;

use crate::node_pb;

/// Key of NodeMessage.deliver: field 2, length-delimited.
const KEY_DELIVER: u8 = (2 << 3) | 2;
/// Key of Deliver.entry: field 1, length-delimited.
const KEY_ENTRY: u8 = (1 << 3) | 2;
/// Key of Deliver.recipients: field 2, length-delimited.
const KEY_RECIPIENT: u8 = (2 << 3) | 2;
/// Key of Deliver.is_second: field 3, varint.
const KEY_IS_SECOND: u8 = 3 << 3;
/// Key of Recipient.user_id: field 1, varint.
const KEY_USER: u8 = 1 << 3;
/// Key of Recipient.seq: field 2, varint.
const KEY_SEQ: u8 = 2 << 3;
/// Key of Recipient.sessions: field 3, packed.
const KEY_SESSIONS: u8 = (3 << 3) | 2;
/// Key of Deliver.stream: field 4, length-delimited.
const KEY_STREAM: u8 = (4 << 3) | 2;
/// Bytes of a recipient with one session, usually: most lists hold one.
const RECIPIENT_BYTES: usize = 24;

/// The recipients of one delivery.
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    bytes: Vec<u8>,
}

impl Recipients {
    /// Adds a reader with the entry's place in its mailbox, and the sessions that it is thought to
    /// have there, as (class, epoch).
    pub fn push(
        &mut self,
        user: u64,
        seq: u64,
        sessions: impl Iterator<Item = (u64, u64)> + Clone,
    ) {
        self.bytes.reserve(RECIPIENT_BYTES);
        let len_of = |(class, epoch): (u64, u64)| varint_len(class) + varint_len(epoch);
        let sessions_len: usize = sessions.clone().map(len_of).sum();
        let mut len = 2 + varint_len(user) + varint_len(seq);
        if sessions_len > 0 {
            len += 1 + varint_len(sessions_len as u64) + sessions_len;
        }
        self.bytes.push(KEY_RECIPIENT);
        put(&mut self.bytes, len as u64);
        self.bytes.push(KEY_USER);
        put(&mut self.bytes, user);
        self.bytes.push(KEY_SEQ);
        put(&mut self.bytes, seq);
        if sessions_len > 0 {
            self.bytes.push(KEY_SESSIONS);
            put(&mut self.bytes, sessions_len as u64);
            for (class, epoch) in sessions {
                put(&mut self.bytes, class);
                put(&mut self.bytes, epoch);
            }
        }
    }

    /// The whole message: a NodeMessage with a Deliver.
    pub fn message(
        &self,
        entry: &[u8],
        is_second: bool,
        stream: Option<&node_pb::StreamPlace>,
    ) -> Bytes {
        let entry_len = entry.len() as u64;
        let len = 1 + varint_len(entry_len) + entry.len() + self.bytes.len();
        let len = len + if is_second { 2 } else { 0 };
        let stream = stream.map(Message::encode_to_vec);
        let stream_len =
            stream.as_ref().map_or(0, |stream| 1 + varint_len(stream.len() as u64) + stream.len());
        let len = len + stream_len;
        let mut out = Vec::with_capacity(1 + varint_len(len as u64) + len);
        out.push(KEY_DELIVER);
        put(&mut out, len as u64);
        out.push(KEY_ENTRY);
        put(&mut out, entry_len);
        out.extend_from_slice(entry);
        out.extend_from_slice(&self.bytes);
        if is_second {
            out.extend_from_slice(&[KEY_IS_SECOND, 1]);
        }
        if let Some(stream) = stream {
            out.push(KEY_STREAM);
            put(&mut out, stream.len() as u64);
            out.extend_from_slice(&stream);
        }
        Bytes::from(out)
    }
}

fn varint_len(value: u64) -> usize {
    prost::encoding::encoded_len_varint(value)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_pb::node_message::Body;

    #[test]
    fn a_delivery_written_by_hand_decodes_as_the_message() {
        let numbers = [0, 1, 127, 128, 1 << 20, u64::MAX];
        for (index, is_second) in [false, true, false, true, false, true].into_iter().enumerate() {
            let entry = vec![7; index * 60];
            let mut recipients = Recipients::default();
            let mut expected = Vec::new();
            for (count, user_id) in numbers.into_iter().enumerate() {
                let seq = numbers[(index + count) % numbers.len()];
                let sessions: Vec<(u64, u64)> =
                    (0..count).map(|n| (n as u64, numbers[n])).collect();
                recipients.push(user_id, seq, sessions.iter().copied());
                let sessions =
                    sessions.iter().flat_map(|(class, epoch)| [*class, *epoch]).collect();
                expected.push(node_pb::Recipient { user_id, seq, sessions });
            }
            let stream = is_second.then(|| node_pb::StreamPlace {
                group_id: numbers[index],
                member_seq: 3,
                ..Default::default()
            });
            let bytes = recipients.message(&entry, is_second, stream.as_ref());
            let (entry, recipients) = (entry.into(), expected);
            let deliver = node_pb::Deliver { entry, recipients, is_second, stream };
            let want = node_pb::NodeMessage { body: Some(Body::Deliver(deliver)) };
            assert_eq!(node_pb::NodeMessage::decode(bytes).unwrap(), want);
        }
    }
}
