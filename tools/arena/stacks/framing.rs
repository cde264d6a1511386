//! Messages in a byte stream: a length of four bytes, then the message. Knows no transport.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before each message.
pub const PREFIX_BYTES: usize = 4;

/// The prefix of a message.
pub fn prefix(message: &[u8]) -> [u8; PREFIX_BYTES] {
    u32::try_from(message.len()).expect("messages are below 4 GiB").to_le_bytes()
}

/// A stream that is cut into messages again.
#[derive(Debug, Default)]
pub struct Unframer {
    buffer: BytesMut,
}

impl Unframer {
    /// Takes what came next.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub fn poll(&mut self) -> Option<Bytes> {
        let length = u32::from_le_bytes(self.buffer.get(..PREFIX_BYTES)?.try_into().ok()?) as usize;
        if self.buffer.len() < PREFIX_BYTES + length {
            return None;
        }
        self.buffer.advance(PREFIX_BYTES);
        Some(self.buffer.split_to(length).freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::{Unframer, prefix};

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let messages = [b"one".to_vec(), Vec::new(), vec![7; 1_000]];
        let stream: Vec<u8> =
            messages.iter().flat_map(|one| [prefix(one).to_vec(), one.clone()].concat()).collect();
        for step in [1, 3, 700, 5_000] {
            let (mut unframer, mut found) = (Unframer::default(), Vec::new());
            for piece in stream.chunks(step) {
                unframer.extend(piece);
                found.extend(std::iter::from_fn(|| unframer.poll()).map(|one| one.to_vec()));
            }
            assert_eq!(found, messages);
        }
    }
}
