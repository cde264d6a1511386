//! Sets of bytes as sorted spans that do not touch. Knows nothing of what the bytes are.

/// A span of byte offsets, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte.
    pub start: u32,
    /// One more than the last.
    pub end: u32,
}

/// The set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    spans: Vec<Span>,
}

impl Spans {
    /// In order, apart by at least one byte.
    pub fn as_slice(&self) -> &[Span] {
        &self.spans
    }

    /// Whether all bytes from 0 to `total` are in it.
    pub fn is_whole(&self, total: u32) -> bool {
        self.spans.first() == Some(&Span { start: 0, end: total })
    }

    /// Adds a span; gives the number of bytes that were not in the set.
    pub fn insert(&mut self, span: Span) -> u32 {
        if span.start >= span.end {
            return 0;
        }
        // Most often a span continues the last one.
        if let Some(last) = self.spans.last_mut()
            && last.end == span.start
        {
            last.end = span.end;
            return span.end - span.start;
        }
        let from = self.spans.partition_point(|other| other.end < span.start);
        let to = from + self.spans[from..].partition_point(|other| other.start <= span.end);
        let mut merged = span;
        let mut known = 0;
        for other in &self.spans[from..to] {
            merged.start = merged.start.min(other.start);
            merged.end = merged.end.max(other.end);
            known += other.end - other.start;
        }
        self.spans.splice(from..to, [merged]);
        (merged.end - merged.start) - known
    }

    /// Takes up to `len` bytes from the front.
    pub fn take_front(&mut self, len: u32) -> Option<Span> {
        let first = self.spans.first_mut()?;
        let end = first.end.min(first.start.saturating_add(len));
        let taken = Span { start: first.start, end };
        first.start = end;
        if first.start == first.end {
            self.spans.remove(0);
        }
        Some(taken)
    }

    /// The parts of `span` that are not in the set, in order.
    pub fn missing_in(&self, span: Span) -> impl Iterator<Item = Span> {
        let from = self.spans.partition_point(|other| other.end <= span.start);
        let mut start = span.start;
        let mut rest = self.spans[from..].iter();
        std::iter::from_fn(move || {
            while start < span.end {
                let other = rest.next().filter(|other| other.start < span.end);
                let gap = Span { start, end: other.map_or(span.end, |other| other.start) };
                start = other.map_or(span.end, |other| other.end);
                if gap.start < gap.end {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// Removes a span.
    pub fn remove(&mut self, span: Span) {
        let is_touching = |other: &Span| other.start < span.end && span.start < other.end;
        if span.start >= span.end || !self.spans.iter().any(is_touching) {
            return;
        }
        let mut kept = Vec::with_capacity(self.spans.len() + 1);
        for other in &self.spans {
            let (before, after) = (other.end.min(span.start), other.start.max(span.end));
            if other.start < before {
                kept.push(Span { start: other.start, end: before });
            }
            if after < other.end {
                kept.push(Span { start: after, end: other.end });
            }
        }
        self.spans = kept;
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bytes(spans: &[Span]) -> BTreeSet<u32> {
        spans.iter().flat_map(|span| span.start..span.end).collect()
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(
            steps in proptest::collection::vec((any::<bool>(), 0u32..60, 0u32..12), 1..40),
            query in (0u32..60, 0u32..20),
        ) {
            let (mut spans, mut model) = (Spans::default(), BTreeSet::new());
            for (is_insert, start, len) in steps {
                let span = Span { start, end: start + len };
                if is_insert {
                    let new = (start..start + len).filter(|byte| model.insert(*byte)).count();
                    prop_assert_eq!(spans.insert(span) as usize, new);
                } else {
                    spans.remove(span);
                    model.retain(|byte| !(start..start + len).contains(byte));
                }
                prop_assert_eq!(bytes(spans.as_slice()), model.clone());
                prop_assert!(spans.as_slice().windows(2).all(|pair| pair[0].end < pair[1].start));
            }
            let span = Span { start: query.0, end: query.0 + query.1 };
            let missing: Vec<Span> = spans.missing_in(span).collect();
            let expected: BTreeSet<u32> =
                (span.start..span.end).filter(|byte| !model.contains(byte)).collect();
            prop_assert_eq!(bytes(&missing), expected);
            if let Some(taken) = spans.take_front(5) {
                prop_assert_eq!(Some(&taken.start), model.first());
                prop_assert!(taken.end - taken.start <= 5 && taken.start < taken.end);
            }
        }
    }
}
