//! Which entries make a page: what a reader may see, the direction, and the bounds in rows and
//! bytes. Knows no backend.

use aldis_logic::job::{HistoryRange, StoredMessage};
use aldis_wire::CLEARED;
use aldis_wire::limits::{ENTRY_OVERHEAD_BYTES_MAX, PAGE_BYTES_MAX};
use bytes::Bytes;

/// A closed interval of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    fn len(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

/// What of the spans is above a position.
pub(crate) fn above(spans: &[Span], position: u64) -> Vec<Span> {
    let trim = |span: &Span| Span { first: span.first.max(position.saturating_add(1)), ..*span };
    spans.iter().map(trim).filter(|span| span.first <= span.last).collect()
}

/// Leaves nothing of what an entry says, for a reader who has cleared the history up to there.
pub(crate) fn blank(message: &mut StoredMessage) {
    (message.content, message.extra, message.refs) = (Bytes::new(), Bytes::new(), Bytes::new());
    message.flags |= CLEARED;
}

/// The positions that a page holds if bytes do not end it earlier.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Ascending and not empty.
    pub spans: Vec<Span>,
    /// Whether more is visible in the direction asked.
    pub more: bool,
    /// Whether it is filled from the highest one down.
    pub is_descending: bool,
}

/// Picks at most `limit` positions of what is `visible` (ascending, apart from each other).
pub(crate) fn plan(visible: &[Span], range: HistoryRange, limit: usize) -> Plan {
    let (above, below, is_descending) = match range {
        HistoryRange::Newest => (0, u64::MAX, true),
        HistoryRange::Before(seq) => (0, seq.0, true),
        HistoryRange::After(seq) => (seq.0, u64::MAX, false),
    };
    let mut spans: Vec<Span> = visible
        .iter()
        .map(|span| Span {
            first: span.first.max(above.saturating_add(1)),
            last: span.last.min(below.saturating_sub(1)),
        })
        .filter(|span| span.first <= span.last)
        .collect();
    if is_descending {
        spans.reverse();
    }
    let mut left = limit as u64;
    let mut more = false;
    for span in &mut spans {
        if span.len() > left {
            more = true;
            if is_descending {
                span.first = span.last + 1 - left;
            } else {
                span.last = span.first + left - 1;
            }
        }
        left -= span.len();
    }
    spans.retain(|span| span.first <= span.last);
    if is_descending {
        spans.reverse();
    }
    Plan { spans, more, is_descending }
}

/// Counts the bytes of a page.
#[derive(Debug, Default)]
pub(crate) struct PageBytes {
    byte_count: usize,
}

impl PageBytes {
    /// Whether the entry still fits; the first one always does. One that does not ends the page.
    pub(crate) fn take(&mut self, message: &StoredMessage) -> bool {
        self.take_bytes(message.content.len() + message.extra.len())
    }

    /// The same for an entry with so many bytes of content and extra.
    pub(crate) fn take_bytes(&mut self, bytes: usize) -> bool {
        let bytes = bytes.saturating_add(ENTRY_OVERHEAD_BYTES_MAX);
        let is_first = self.byte_count == 0;
        self.byte_count = self.byte_count.saturating_add(bytes);
        is_first || self.byte_count <= PAGE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::ConvSeq;

    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first, last }
    }

    #[test]
    fn the_newest_page_is_filled_from_above() {
        let visible = [span(3, 5), span(9, 12)];
        let page = plan(&visible, HistoryRange::Newest, 5);
        assert_eq!((page.spans, page.more), (vec![span(5, 5), span(9, 12)], true));
        let page = plan(&visible, HistoryRange::Newest, 7);
        assert_eq!((page.spans, page.more), (visible.to_vec(), false));
    }

    #[test]
    fn before_and_after_exclude_their_position() {
        let visible = [span(3, 5), span(9, 12)];
        let page = plan(&visible, HistoryRange::Before(ConvSeq(10)), 2);
        assert_eq!((page.spans, page.more), (vec![span(5, 5), span(9, 9)], true));
        let page = plan(&visible, HistoryRange::After(ConvSeq(4)), 2);
        assert_eq!((page.spans, page.more), (vec![span(5, 5), span(9, 9)], true));
        let page = plan(&visible, HistoryRange::After(ConvSeq(10)), 2);
        assert_eq!((page.spans, page.more), (vec![span(11, 12)], false));
    }

    #[test]
    fn the_ends_are_empty_pages() {
        let visible = [span(1, 3)];
        for range in [
            HistoryRange::Before(ConvSeq(0)),
            HistoryRange::Before(ConvSeq(1)),
            HistoryRange::After(ConvSeq(3)),
            HistoryRange::After(ConvSeq(u64::MAX)),
        ] {
            let page = plan(&visible, range, 5);
            assert_eq!((page.spans, page.more), (vec![], false), "{range:?}");
        }
        let page = plan(&visible, HistoryRange::Newest, 0);
        assert_eq!((page.spans, page.more), (vec![], true));
        assert_eq!(plan(&[], HistoryRange::Newest, 5).spans, vec![]);
    }
}
