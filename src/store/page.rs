//! Which entries make a page: what a reader may see, the direction, and the bounds in rows and
//! bytes. Knows no backend.

use aldis_logic::job::{HistoryRange, StoredMessage, SyncPage};
use aldis_wire::limits::{ENTRY_OVERHEAD_BYTES_MAX, PAGE_BYTES_MAX};
use aldis_wire::{CLEARED, GroupId, Message, Seq, pb};
use bytes::Bytes;

use crate::group::StreamState;
use crate::stays::StoredStay;

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

/// Leaves nothing of what an entry says, for a reader who has cleared the history up to there; but that a
/// stream begins or ends there, which no other entry says to a device that reads from the beginning.
pub(crate) fn blank(message: &mut StoredMessage) {
    message.content =
        stream_mark(message).map_or_else(Bytes::new, |event| event.encode_to_vec().into());
    (message.extra, message.refs) = (Bytes::new(), Bytes::new());
    message.flags |= CLEARED;
}

fn stream_mark(message: &StoredMessage) -> Option<pb::GroupEvent> {
    if message.kind != pb::MsgType::SystemGroup {
        return None;
    }
    let event = pb::GroupEvent::decode(message.content.clone()).ok()?;
    event.is_stream.then(|| pb::GroupEvent {
        kind: event.kind,
        is_stream: true,
        ..Default::default()
    })
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

/// A page of a stream, as far as rows decide it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StreamPlan {
    /// The highest position that is there for the reader.
    pub head: u64,
    /// Not 0: the page begins above this, because the reader was not there between.
    pub skipped_to: u64,
    /// What the page holds if bytes do not end it earlier.
    pub span: Option<Span>,
    /// The reader is no member any more.
    pub is_over: bool,
}

impl StreamPlan {
    /// The page with these entries of the span.
    pub(crate) fn page(&self, group: GroupId, entries: Vec<(Seq, StoredMessage)>) -> SyncPage {
        SyncPage {
            stream: Some(group),
            entries,
            head: Seq(self.head),
            skipped_to: Seq(self.skipped_to),
            is_over: self.is_over,
        }
    }
}

/// Asked for what is above it, a stream has no entries and says where it is.
pub(crate) const END: Seq = Seq(u64::MAX);

/// Where the stream of a page ended for its reader, who is a member no more. `None`: it goes on.
pub(crate) fn end_of(page: &SyncPage) -> Option<Seq> {
    page.is_over.then_some(page.head)
}

/// Picks what comes above `after` of a stream. `stays` of the reader, ascending. What says that somebody came or went is in that one's mailbox, so the
/// stream has what is between; the end of the group is in the stream. `None`: the reader was never
/// there while it was a stream.
pub(crate) fn plan_stream(
    stream: StreamState,
    stays: &[StoredStay],
    conversation_head: u64,
    after: u64,
    limit: usize,
) -> Option<StreamPlan> {
    let spans = stream_spans(stream, stays, conversation_head);
    let newest = spans.last()?;
    let head = newest.last.max(newest.first - 1);
    let is_over = stays.last().is_some_and(|stay| stay.leave_seq != 0);
    let next = spans.iter().find(|span| span.len() > 0 && span.last > after);
    let (skipped_to, span) = match next {
        Some(span) => {
            let asked = after.saturating_add(1);
            let first = span.first.max(asked);
            let skipped_to = if span.first > asked { span.first - 1 } else { 0 };
            let last = span.last.min(first.saturating_add(limit.max(1) as u64 - 1));
            (skipped_to, Some(Span { first, last }))
        }
        None => (if head > after { head } else { 0 }, None),
    };
    Some(StreamPlan { head, skipped_to, span, is_over })
}

/// What is in a stream for a reader with these stays, ascending; some may be empty.
pub(crate) fn stream_spans(
    stream: StreamState,
    stays: &[StoredStay],
    conversation_head: u64,
) -> Vec<Span> {
    let of_stay = |&StoredStay { join_seq, leave_seq, .. }: &StoredStay| {
        let last = match leave_seq {
            0 => conversation_head,
            left if left == stream.end_seq => left,
            left => left - 1,
        };
        Span { first: join_seq.max(stream.begin_seq) + 1, last }
    };
    let is_of_stream =
        |stay: &&StoredStay| stay.leave_seq == 0 || stay.leave_seq > stream.begin_seq;
    stays.iter().filter(is_of_stream).map(of_stay).collect()
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

    fn stored(stays: &[(u64, u64)]) -> Vec<StoredStay> {
        stays.iter().map(|&(join_seq, left)| StoredStay::of_row(join_seq, left, 0)).collect()
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
    fn a_stream_has_what_is_within_stays_and_says_what_it_leaves_out() {
        let stream = StreamState { begin_seq: 10, end_seq: 0, member_seq: 0 };
        let stays = stored(&[(1, 14), (20, 21), (30, 0)]);
        let page = |after| {
            let plan = plan_stream(stream, &stays, 33, after, 2).unwrap();
            (plan.skipped_to, plan.span, plan.head, plan.is_over)
        };
        assert_eq!(page(0), (10, Some(span(11, 12)), 33, false));
        assert_eq!(page(10), (0, Some(span(11, 12)), 33, false));
        assert_eq!(page(12), (0, Some(span(13, 13)), 33, false));
        assert_eq!(page(13), (30, Some(span(31, 32)), 33, false));
        assert_eq!(page(32), (0, Some(span(33, 33)), 33, false));
        assert_eq!(page(33), (0, None, 33, false));
        assert_eq!(page(40), (0, None, 33, false));
    }

    #[test]
    fn a_stream_ends_below_a_leave_and_with_the_groups_end() {
        let stream = StreamState { begin_seq: 10, end_seq: 15, member_seq: 0 };
        let of = |stays: &[(u64, u64)], after| {
            plan_stream(stream, &stored(stays), 15, after, 9)
                .map(|plan| (plan.skipped_to, plan.span, plan.head, plan.is_over))
        };
        assert_eq!(of(&[(1, 15)], 10), Some((0, Some(span(11, 15)), 15, true)));
        assert_eq!(of(&[(1, 14)], 10), Some((0, Some(span(11, 13)), 13, true)));
        assert_eq!(of(&[(12, 13)], 0), Some((12, None, 12, true)));
        assert_eq!(of(&[(12, 13)], 12), Some((0, None, 12, true)));
        assert_eq!(of(&[(1, 9)], 0), None, "it was no stream then");
        assert_eq!(of(&[], 0), None);
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
