//! A large message on its way out: which bytes were sent, lost, acknowledged. Knows no queues.

use crate::send::sent::Chunk;
use crate::spans::{Span, Spans};

/// A part shorter than this is not worth its frame, unless it is the last.
const PART_BYTES_MIN: u32 = 128;

/// The state of a message that is sent in parts.
#[derive(Debug)]
pub(crate) struct Parts {
    id: u64,
    total: u32,
    /// Where the bytes begin that were never sent.
    next: u32,
    lost: Spans,
    acknowledged: Spans,
    /// Whether it is in the round of large messages; the queue's own mark.
    pub is_queued: bool,
}

impl Parts {
    /// Of a message of so many bytes.
    pub fn new(id: u64, total: u32) -> Self {
        Self {
            id,
            total,
            next: 0,
            lost: Spans::default(),
            acknowledged: Spans::default(),
            is_queued: false,
        }
    }

    /// Whether there is anything to send.
    pub fn has_more(&self) -> bool {
        self.next < self.total || !self.lost.is_empty()
    }

    /// Whether everything was acknowledged.
    pub fn is_done(&self) -> bool {
        self.acknowledged.is_whole(self.total)
    }

    /// Where the next part begins; what was lost goes first.
    pub fn next_offset(&self) -> u32 {
        self.lost.as_slice().first().map_or(self.next, |span| span.start)
    }

    /// The next part, of up to `room` bytes.
    pub fn take(&mut self, room: usize) -> Option<Chunk> {
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let span = self.lost.as_slice().first();
        let wanted = span.map_or(self.total - self.next, |span| span.end - span.start);
        // A message that would fit as a whole goes in two parts: a part is never all of it.
        let wanted = wanted.min(self.total - 1);
        if wanted == 0 || room < PART_BYTES_MIN.min(wanted) {
            return None;
        }
        let len = wanted.min(room);
        if let Some(span) = self.lost.take_front(len) {
            return Some(self.chunk(span));
        }
        let start = self.next;
        self.next += len;
        Some(self.chunk(Span { start, end: self.next }))
    }

    /// What is missing of a part that is under way, up to `room` bytes, to be sent once more.
    pub fn copy(&self, chunk: Chunk, room: usize) -> Option<Chunk> {
        let span = self.acknowledged.missing_in(span(chunk)).next()?;
        let end = span.end.min(span.start.saturating_add(u32::try_from(room).ok()?));
        (span.start < end).then(|| self.chunk(Span { start: span.start, end }))
    }

    /// A part was acknowledged.
    pub fn handle_acknowledged(&mut self, chunk: Chunk) {
        self.acknowledged.insert(span(chunk));
        self.lost.remove(span(chunk));
    }

    /// A part was lost.
    pub fn handle_lost(&mut self, chunk: Chunk) {
        for missing in self.acknowledged.missing_in(span(chunk)) {
            self.lost.insert(missing);
        }
    }

    fn chunk(&self, span: Span) -> Chunk {
        Chunk { message: self.id, offset: span.start, len: span.end - span.start }
    }
}

fn span(chunk: Chunk) -> Span {
    Span { start: chunk.offset, end: chunk.offset + chunk.len }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1_000;

    fn spans(parts: &mut Parts) -> Vec<(u32, u32)> {
        let mut spans = Vec::new();
        while let Some(chunk) = parts.take(ROOM) {
            spans.push((chunk.offset, chunk.offset + chunk.len));
        }
        spans
    }

    #[test]
    fn a_message_goes_in_parts_and_what_was_lost_goes_again() {
        let mut parts = Parts::new(7, 2_500);
        assert_eq!(spans(&mut parts), [(0, 1_000), (1_000, 2_000), (2_000, 2_500)]);
        assert!(!parts.has_more());
        let chunk = |offset, len| Chunk { message: 7, offset, len };
        parts.handle_acknowledged(chunk(500, 200));
        parts.handle_lost(chunk(0, 1_000));
        assert_eq!(spans(&mut parts), [(0, 500), (700, 1_000)]);
        parts.handle_lost(chunk(0, 500));
        parts.handle_acknowledged(chunk(0, 1_000));
        assert!(!parts.has_more() && !parts.is_done());
        parts.handle_acknowledged(chunk(1_000, 1_500));
        assert!(parts.is_done());
    }

    #[test]
    fn a_part_is_never_the_whole_message_and_never_tiny() {
        let mut parts = Parts::new(7, 900);
        assert!(parts.take(100).is_none());
        assert_eq!(spans(&mut parts), [(0, 899), (899, 900)]);
    }

    #[test]
    fn a_copy_holds_only_what_is_missing() {
        let mut parts = Parts::new(7, 2_500);
        let chunk = parts.take(ROOM).unwrap();
        parts.handle_acknowledged(Chunk { message: 7, offset: 0, len: 300 });
        let copy = parts.copy(chunk, ROOM).unwrap();
        assert_eq!((copy.offset, copy.len), (300, 700));
        parts.handle_acknowledged(chunk);
        assert_eq!(parts.copy(chunk, ROOM), None);
    }
}
