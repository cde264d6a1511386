//! Received bytes that cannot be handled yet: an incomplete frame, or frames behind one that
//! waits. Knows lengths, not commands.

use aldis_wire::{HEADER_LEN, Header};

/// Bytes that stay with their connection.
#[derive(Default)]
pub(crate) struct Tail {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were handled already.
    start: usize,
}

impl Tail {
    /// What has not been handled.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Whether everything was handled.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Bytes of memory it holds.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Length of the first frame, bytes, as far as it is known: of its header while that is
    /// incomplete. The header was checked when it became complete.
    pub fn frame_len(&self) -> usize {
        let header = self.bytes().first_chunk::<HEADER_LEN>();
        let header = header.and_then(|bytes| Header::decode(bytes, usize::MAX).ok());
        HEADER_LEN + header.map_or(0, |header| header.len as usize)
    }

    /// Appends `bytes`. `expected` is the length that the tail is known to reach: memory doubles
    /// with the bytes received but never passes it for their sake.
    pub fn append(&mut self, bytes: &[u8], expected: usize) {
        let len = self.buffer.len() - self.start + bytes.len();
        if self.start + len > self.buffer.capacity() {
            self.compact();
            let wanted = (2 * len).min(expected).max(len);
            self.buffer.reserve_exact(wanted - self.buffer.len());
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Marks the first `count` bytes as handled.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.buffer.len());
        // Moving only when at most half remains keeps the total work linear.
        if self.start * 2 >= self.buffer.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_the_bytes_received_and_ends_at_the_frame() {
        let total = 1 << 20;
        let mut tail = Tail::default();
        tail.append(&[1; 16], total);
        assert!(tail.capacity() <= 32);
        while tail.bytes().len() < total {
            let step = 1000.min(total - tail.bytes().len());
            tail.append(&vec![1; step], total);
            assert!(tail.capacity() <= (2 * tail.bytes().len()).min(total));
        }
        assert_eq!(tail.capacity(), total);
    }

    #[test]
    fn consumed_bytes_make_room() {
        let mut tail = Tail::default();
        for round in 0..100u8 {
            tail.append(&[round; 100], 100);
            tail.consume(99);
            assert_eq!(tail.bytes(), vec![round; tail.bytes().len()]);
            tail.consume(1);
            assert!(tail.is_empty());
        }
        assert!(tail.capacity() <= 200);
    }
}
