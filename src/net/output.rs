//! Frames that wait to be written. Knows bytes and their order, no socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use aldis_wire::OutFrame;
use bytes::{Buf as _, Bytes};

/// Tails up to this length are copied, bytes: that is cheaper than counting a reference and two
/// more pieces in the system call (they break even between 2 and 4 KiB), and a slow reader holds
/// little more than it would by reference.
const COPIED_TAIL_BYTES_MAX: usize = 1024;
/// Pieces of one system call; more are written by another one. It bounds the array on the stack.
pub(crate) const PIECES_MAX: usize = 64;
/// Memory of one queue that the pool may keep, bytes: more than most turns produce.
const POOLED_QUEUE_BYTES_MAX: usize = 4 << 10;
/// Memory of all queues in the pool, bytes: those of a turn with a small answer on every event.
const POOLED_BYTES_MAX: usize = 1 << 20;

/// The output of one connection.
#[derive(Default)]
pub(crate) struct OutQueue {
    /// Heads and short tails, in order.
    copied: Vec<u8>,
    /// Bytes of `copied` that were written.
    start: usize,
    /// Long tails, in order.
    shared: VecDeque<SharedTail>,
    /// Bytes to write in all.
    len: usize,
}

/// A tail that other connections may send too.
struct SharedTail {
    /// It follows after so many bytes of `copied`.
    after: usize,
    bytes: Bytes,
}

impl OutQueue {
    /// Bytes to write.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a frame.
    pub fn push(&mut self, frame: &OutFrame) {
        self.len += frame.len();
        if self.copied.len() + frame.head().len() > self.copied.capacity() {
            self.compact();
        }
        self.copied.extend_from_slice(frame.head());
        let tail = frame.tail();
        if tail.len() <= COPIED_TAIL_BYTES_MAX {
            self.copied.extend_from_slice(tail);
        } else {
            self.shared.push_back(SharedTail { after: self.copied.len(), bytes: tail.clone() });
        }
    }

    /// Fills `pieces` from the front; returns how many and how many bytes they are.
    pub fn gather<'a>(&'a self, pieces: &mut [IoSlice<'a>; PIECES_MAX]) -> (usize, usize) {
        let mut count = 0;
        let mut total = 0;
        let mut from = self.start;
        let mut add = |bytes: &'a [u8], count: &mut usize| {
            if !bytes.is_empty() {
                pieces[*count] = IoSlice::new(bytes);
                *count += 1;
                total += bytes.len();
            }
        };
        for tail in &self.shared {
            // A tail, the bytes before it and those after the last one must have room.
            if count + 3 > PIECES_MAX {
                return (count, total);
            }
            add(&self.copied[from..tail.after], &mut count);
            add(&tail.bytes, &mut count);
            from = tail.after;
        }
        add(&self.copied[from..], &mut count);
        (count, total)
    }

    /// Forgets `written` bytes at the front.
    pub fn advance(&mut self, mut written: usize) {
        self.len -= written;
        loop {
            let until = self.shared.front().map_or(self.copied.len(), |tail| tail.after);
            let step = written.min(until - self.start);
            self.start += step;
            written -= step;
            let Some(tail) = self.shared.front_mut().filter(|_| written > 0) else { break };
            let step = written.min(tail.bytes.len());
            tail.bytes.advance(step);
            written -= step;
            if tail.bytes.is_empty() {
                self.shared.pop_front();
            }
        }
        debug_assert_eq!(written, 0, "no more is written than was there");
        if self.len == 0 {
            self.copied.clear();
            self.start = 0;
        }
    }

    /// Bytes of memory it holds, shared tails not counted.
    pub fn memory(&self) -> usize {
        let shared = self.shared.capacity() * size_of::<SharedTail>();
        size_of::<Self>() + self.copied.capacity() + shared
    }

    /// Moves the bytes to the front if at least half were written, so that the total work stays
    /// linear.
    fn compact(&mut self) {
        if self.start == 0 || self.start * 2 < self.copied.len() {
            return;
        }
        self.copied.drain(..self.start);
        for tail in &mut self.shared {
            tail.after -= self.start;
        }
        self.start = 0;
    }
}

/// Empty queues for connections that are about to answer.
// The boxes are what is kept: they move between connections and the pool.
#[allow(clippy::vec_box)]
#[derive(Default)]
pub(crate) struct OutPool {
    free: Vec<Box<OutQueue>>,
    /// Memory of all in `free`.
    memory: usize,
}

impl OutPool {
    /// An empty queue.
    pub fn take(&mut self) -> Box<OutQueue> {
        let queue = self.free.pop().unwrap_or_default();
        self.memory = self.memory.saturating_sub(queue.memory());
        queue
    }

    /// Gives a queue back; it need not be empty.
    pub fn put(&mut self, mut queue: Box<OutQueue>) {
        let memory = queue.memory();
        if memory <= POOLED_QUEUE_BYTES_MAX && self.memory + memory <= POOLED_BYTES_MAX {
            let rest = queue.len();
            queue.advance(rest);
            self.memory += memory;
            self.free.push(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(head: usize, tail: usize, fill: u8) -> OutFrame {
        OutFrame::new(&vec![fill; head], Bytes::from(vec![fill.wrapping_add(1); tail]))
    }

    fn front(queue: &OutQueue, limit: usize) -> Vec<u8> {
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        let (count, total) = queue.gather(&mut pieces);
        let mut bytes: Vec<u8> = pieces[..count].iter().flat_map(|piece| piece.to_vec()).collect();
        assert_eq!(bytes.len(), total);
        assert_eq!(total == 0, queue.len() == 0);
        bytes.truncate(limit);
        bytes
    }

    #[test]
    fn small_frames_are_one_piece() {
        let mut queue = OutQueue::default();
        for fill in 0..50 {
            queue.push(&frame(20, 100, fill));
        }
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        assert_eq!(queue.gather(&mut pieces), (1, 50 * 120));
    }

    #[test]
    fn a_pooled_queue_is_empty() {
        let mut pool = OutPool::default();
        let mut queue = pool.take();
        queue.push(&frame(20, 2000, 1));
        pool.put(queue);
        assert_eq!(pool.take().len(), 0);
    }

    #[test]
    fn a_pool_keeps_little_and_counts_it() {
        let mut pool = OutPool::default();
        let mut queues: Vec<Box<OutQueue>> = (0..2000).map(|_| pool.take()).collect();
        for queue in &mut queues {
            for _ in 0..20 {
                queue.push(&frame(64, 0, 1));
            }
        }
        queues.into_iter().for_each(|queue| pool.put(queue));
        assert!(pool.memory <= POOLED_BYTES_MAX && pool.free.len() > 100);
        while !pool.free.is_empty() {
            pool.take();
        }
        assert_eq!(pool.memory, 0);
    }

    proptest! {
        #[test]
        fn bytes_come_out_in_order_however_they_are_written(
            steps in proptest::collection::vec((0usize..65, 0usize..4000, 1usize..9000), 1..150),
        ) {
            let mut queue = OutQueue::default();
            let (mut want, mut got) = (Vec::new(), Vec::new());
            for (at, (head, tail, write)) in steps.into_iter().enumerate() {
                let frame = frame(head.max(1), tail, at as u8);
                want.extend(frame.to_vec());
                queue.push(&frame);
                let bytes = front(&queue, write);
                queue.advance(bytes.len());
                got.extend(bytes);
            }
            while queue.len() > 0 {
                let bytes = front(&queue, usize::MAX);
                queue.advance(bytes.len());
                got.extend(bytes);
            }
            prop_assert_eq!(got, want);
        }
    }
}
