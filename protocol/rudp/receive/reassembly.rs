//! Messages that came in parts. Knows no flows and no windows.

use bytes::Bytes;

use crate::config::MESSAGE_BYTES_MAX;
use crate::hash::NumberMap;
use crate::receive::inbox::Violation;
use crate::spans::{Span, Spans};
use crate::wire::frame::{Order, Part};

#[derive(Debug)]
struct Partial {
    order: Order,
    data: Vec<u8>,
    known: Spans,
}

/// What a part did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first of its message.
    Begun,
    /// One more.
    Continued,
    /// Nothing of it was new.
    Known,
    /// The last one.
    Complete(Bytes),
}

/// Messages that miss a part.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    partial: NumberMap<u64, Partial>,
}

impl Reassembly {
    /// Takes a part of a message that is not complete yet. A part that makes up the whole message
    /// must not come as a part.
    pub fn insert(
        &mut self,
        id: u64,
        order: Order,
        part: Part,
        bytes: &[u8],
    ) -> Result<Step, Violation> {
        let end = part.offset as usize + bytes.len();
        let total = part.total as usize;
        if total > MESSAGE_BYTES_MAX || end > total || bytes.is_empty() || bytes.len() == total {
            return Err(Violation);
        }
        let is_first = !self.partial.contains_key(&id);
        let partial = self.partial.entry(id).or_insert_with(|| Partial {
            order,
            data: vec![0; total],
            known: Spans::default(),
        });
        if partial.data.len() != total || partial.order != order {
            return Err(Violation);
        }
        let new = partial.known.insert(Span { start: part.offset, end: end as u32 });
        if new == 0 {
            return Ok(Step::Known);
        }
        partial.data[part.offset as usize..end].copy_from_slice(bytes);
        if partial.known.is_whole(part.total) {
            let partial = self.partial.remove(&id).expect("it was just there");
            return Ok(Step::Complete(Bytes::from(partial.data)));
        }
        Ok(if is_first { Step::Begun } else { Step::Continued })
    }

    /// Bytes that are held.
    pub fn memory_bytes(&self) -> usize {
        self.partial.values().map(|partial| partial.data.capacity()).sum()
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.partial.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn insert(reassembly: &mut Reassembly, data: &[u8], span: Span) -> Result<Step, Violation> {
        let part = Part { total: data.len() as u32, offset: span.start };
        let bytes = &data[span.start as usize..span.end as usize];
        reassembly.insert(7, Order::Unordered, part, bytes)
    }

    #[test]
    fn parts_that_contradict_the_message_are_a_violation() {
        let mut reassembly = Reassembly::default();
        let part = Part { total: 10, offset: 4 };
        assert_eq!(reassembly.insert(7, Order::Unordered, part, b"abc"), Ok(Step::Begun));
        for (total, offset, bytes) in
            [(11, 4, &b"abc"[..]), (10, 8, b"abc"), (10, 3, b""), (10, 0, b"0123456789")]
        {
            let part = Part { total, offset };
            assert_eq!(reassembly.insert(7, Order::Unordered, part, bytes), Err(Violation));
        }
        let order = Order::InFlow { flow: 1, predecessor: 0 };
        assert_eq!(reassembly.insert(7, order, part, b"abc"), Err(Violation));
        let part = Part { total: MESSAGE_BYTES_MAX as u32 + 1, offset: 0 };
        assert_eq!(reassembly.insert(8, Order::Unordered, part, b"abc"), Err(Violation));
    }

    proptest! {
        #[test]
        fn parts_in_any_order_make_the_message_once(
            len in 2usize..300, cuts in proptest::collection::vec((0u32..300, 1u32..60), 1..40),
        ) {
            let data: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            let mut reassembly = Reassembly::default();
            let rest = (0..len as u32).map(|start| (start, 1));
            let mut complete = 0;
            for (start, len) in cuts.into_iter().chain(rest) {
                let end = (start + len).min(data.len() as u32);
                if start >= end || end - start == data.len() as u32 || complete > 0 {
                    continue;
                }
                match insert(&mut reassembly, &data, Span { start, end }).unwrap() {
                    Step::Complete(bytes) => {
                        prop_assert_eq!(&bytes[..], &data[..]);
                        complete += 1;
                    }
                    Step::Begun | Step::Continued | Step::Known => {}
                }
            }
            prop_assert_eq!(complete, 1);
            prop_assert_eq!(reassembly.memory_bytes(), 0);
        }
    }
}
