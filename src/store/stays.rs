//! What of a group's conversation somebody may read: the stays, and what came before them where the group
//! lets newcomers read it. Knows no backend.

use crate::page::Span;

/// A reader's stay in a group, as stored. Of several, `from_seq` never falls from one to the next: where
/// the group began to let newcomers read only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredStay {
    /// The entry that says that it begins.
    pub join_seq: u64,
    /// The one that says that it is over; 0: it is not.
    pub leave_seq: u64,
    /// The first entry that can be read; at most `join_seq`.
    pub from_seq: u64,
}

impl StoredStay {
    /// Of a row, in which `from_seq` is 0 where nothing earlier can be read.
    pub(crate) fn of_row(join_seq: u64, leave_seq: u64, from_seq: u64) -> Self {
        let from_seq = if from_seq == 0 { join_seq } else { from_seq.min(join_seq) };
        Self { join_seq, leave_seq, from_seq }
    }

    fn last(&self, head: u64) -> u64 {
        if self.leave_seq == 0 { head } else { self.leave_seq }
    }
}

/// Where the reader was a member, up to `head`; ascending like the stays.
pub(crate) fn member_spans(stays: &[StoredStay], head: u64) -> Vec<Span> {
    stays.iter().map(|stay| Span { first: stay.join_seq, last: stay.last(head) }).collect()
}

/// What the reader may read, ascending and apart from each other.
pub(crate) fn readable(stays: &[StoredStay], head: u64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::with_capacity(stays.len());
    for stay in stays {
        let span = Span { first: stay.from_seq, last: stay.last(head) };
        match spans.last_mut() {
            Some(before) if before.last.saturating_add(1) >= span.first => before.last = span.last,
            _ => spans.push(span),
        }
    }
    spans
}

/// What of that was said while the reader was no member, ascending.
pub(crate) fn earlier(stays: &[StoredStay]) -> Vec<Span> {
    let mut left = 0;
    let mut spans = Vec::new();
    for stay in stays {
        let span = Span { first: stay.from_seq.max(left + 1), last: stay.join_seq - 1 };
        spans.extend((span.first <= span.last).then_some(span));
        left = stay.leave_seq;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first, last }
    }

    #[test]
    fn nothing_earlier_is_read_unless_the_stay_says_so() {
        let stays = [StoredStay::of_row(3, 5, 0), StoredStay::of_row(9, 0, 0)];
        assert_eq!(readable(&stays, 12), [span(3, 5), span(9, 12)]);
        assert_eq!(member_spans(&stays, 12), readable(&stays, 12));
        assert_eq!(earlier(&stays), []);
    }

    #[test]
    fn what_was_said_before_and_between_stays_is_read_from_where_each_may() {
        // Twice while it was on, from 4: the gap between is readable too.
        let stays = [StoredStay::of_row(6, 8, 4), StoredStay::of_row(12, 0, 4)];
        assert_eq!(readable(&stays, 15), [span(4, 15)]);
        assert_eq!(earlier(&stays), [span(4, 5), span(9, 11)]);
        assert_eq!(member_spans(&stays, 15), [span(6, 8), span(12, 15)]);
        // It was turned on while the reader was away.
        let stays = [StoredStay::of_row(1, 3, 0), StoredStay::of_row(9, 10, 6)];
        assert_eq!(readable(&stays, 15), [span(1, 3), span(6, 10)]);
        assert_eq!(earlier(&stays), [span(6, 8)]);
        // And while it was a member.
        let stays = [StoredStay::of_row(1, 5, 0), StoredStay::of_row(9, 0, 4)];
        assert_eq!(readable(&stays, 9), [span(1, 9)]);
        assert_eq!(earlier(&stays), [span(6, 8)]);
    }
}
