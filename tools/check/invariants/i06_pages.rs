//! I6: sync(c) returns every entry above c, ascending, and paging ends; so does history within a
//! conversation, as far as the reader may see it.

use crate::facts::{Facts, page_end};
use crate::findings::{Findings, Invariant};
use crate::model::{Conv, HistoryRead, Sync};

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for sync in &facts.history.syncs {
        if let Some(fault) = sync_fault(sync) {
            findings.violation(Invariant::I6, &[sync.span.completion], || {
                let (user, stream, after) = (sync.user, sync.stream, sync.after);
                format!("sync of stream {stream} of user {user} after {after}: {fault}")
            });
        }
    }
    for read in &facts.history.histories {
        if let Some(fault) = history_fault(facts, read) {
            findings.violation(Invariant::I6, &[read.span.completion], || {
                format!("history of {} for user {}: {fault}", Conv(read.conv), read.reader)
            });
        }
    }
}

fn sync_fault(sync: &Sync) -> Option<String> {
    if sync.skipped_to > 0 && (sync.stream == 0 || sync.skipped_to <= sync.after) {
        return Some(format!("it skips to {}", sync.skipped_to));
    }
    let mut last = sync.after.max(sync.skipped_to);
    for seen in &sync.entries {
        if seen.seq != last + 1 {
            return Some(format!("entry {} follows entry {last}", seen.seq));
        }
        last = seen.seq;
    }
    if sync.limit > 0 && sync.entries.len() as u64 > sync.limit {
        return Some(format!("{} entries, {} were asked for", sync.entries.len(), sync.limit));
    }
    if sync.more && sync.entries.is_empty() {
        return Some("an empty page that says more: paging never ends".to_owned());
    }
    if !sync.more && page_end(sync) < sync.head {
        return Some(format!("the last page ends at {last} below the head {}", sync.head));
    }
    if !sync.entries.is_empty() && last > sync.head {
        return Some(format!("entry {last} is above the head {}", sync.head));
    }
    None
}

/// A page of history as positions.
fn history_fault(facts: &Facts<'_>, read: &HistoryRead) -> Option<String> {
    let positions: Vec<u64> =
        read.entries.iter().map(|seen| facts.value(seen.value).conv_seq).collect();
    if let Some(seen) = read.entries.iter().find(|s| facts.value(s.value).key.conv != read.conv) {
        return Some(format!("it holds {}", facts.value(seen.value).key));
    }
    if let Some(pair) = positions.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Some(format!("position {} follows position {}", pair[1], pair[0]));
    }
    if read.limit > 0 && positions.len() as u64 > read.limit {
        return Some(format!("{} entries, {} were asked for", positions.len(), read.limit));
    }
    let outside = |position: &&u64| {
        (read.after > 0 && **position <= read.after)
            || (read.before > 0 && **position >= read.before)
            || **position > read.max_conv_seq
    };
    if let Some(position) = positions.iter().find(outside) {
        return Some(format!("position {position} was not asked for, or is above the end"));
    }
    let (Some(first), Some(last)) = (positions.first(), positions.last()) else {
        return empty_history_fault(read);
    };
    // Both bounds at once have no specified direction.
    let (from, to) = match (read.after, read.before) {
        (0, 0) => (*first, read.max_conv_seq),
        (after, 0) if read.more => (after + 1, *last),
        (after, 0) => (after + 1, read.max_conv_seq),
        (0, before) => (*first, (before - 1).min(read.max_conv_seq)),
        _ => (*first, *last),
    };
    let from = if read.after == 0 && !read.more { 1 } else { from };
    let is_direct = read.conv.as_group().is_none();
    // Between the stays of a member of a group there is nothing to see.
    let is_owed = |position: u64| {
        is_direct || facts.membership.is_entitled(read.conv, read.reader, position, (0, 0))
    };
    let mut expected = positions.iter().copied().peekable();
    let missing = (from..=to)
        .filter(|position| expected.next_if_eq(position).is_none())
        .find(|position| is_owed(*position));
    missing
        .map(|position| format!("position {position} is missing in the page of {first} to {last}"))
}

fn empty_history_fault(read: &HistoryRead) -> Option<String> {
    if read.more {
        return Some("an empty page that says more: paging never ends".to_owned());
    }
    let owed = match (read.after, read.before) {
        (0, 0) => read.max_conv_seq > 0,
        (after, 0) => read.max_conv_seq > after,
        _ => false,
    };
    owed.then(|| format!("nothing, though it ends at {}", read.max_conv_seq))
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    const A: (u64, [u64; 2], u64, u64, u64) = (1, [1, 2], 1, 1, 1);
    const C: (u64, [u64; 2], u64, u64, u64) = (3, [1, 2], 1, 3, 3);

    fn sync_is_faulty(
        after: u64,
        entries: &[(u64, [u64; 2], u64, u64, u64)],
        head: u64,
        more: bool,
    ) -> bool {
        let mut lines = Lines::default();
        lines.sync(2, after, entries, head, more);
        found(&lines.history()).contains(&Invariant::I6)
    }

    #[test]
    fn holes_disorder_and_pages_without_end_are_found() {
        assert!(!sync_is_faulty(0, &[A], 1, false));
        assert!(!sync_is_faulty(0, &[A], 3, true));
        assert!(!sync_is_faulty(3, &[], 3, false));
        assert!(sync_is_faulty(0, &[A, C], 3, false));
        assert!(sync_is_faulty(2, &[C, A], 3, false));
        assert!(sync_is_faulty(0, &[C], 3, false));
        assert!(sync_is_faulty(0, &[], 3, true));
        assert!(sync_is_faulty(0, &[], 3, false));
        assert!(sync_is_faulty(0, &[A], 3, false));
        assert!(sync_is_faulty(2, &[C], 2, true));
    }

    #[test]
    fn history_of_a_direct_conversation_has_no_holes() {
        let faulty = |entries: &[(u64, u64, u64)]| {
            let mut lines = Lines::default();
            lines.history_read(2, [1, 2], entries);
            found(&lines.history()).contains(&Invariant::I6)
        };
        assert!(!faulty(&[]));
        assert!(!faulty(&[(1, 1, 1), (1, 2, 2)]));
        assert!(faulty(&[(1, 1, 1), (1, 3, 3)]));
        assert!(faulty(&[(1, 2, 2), (1, 1, 1)]));
        assert!(faulty(&[(1, 2, 2)]));
    }

    #[test]
    fn history_of_a_group_has_what_the_readers_stay_covers() {
        let faulty = |entries: &[(u64, u64, u64)]| {
            let mut lines = Lines::default();
            lines.create_group(7, 1, &[2]);
            lines.final_sync(2, &[(1, [0, 7], 0, 0, 1)]);
            lines.history_read(2, [0, 7], entries);
            found(&lines.history()).contains(&Invariant::I6)
        };
        assert!(!faulty(&[(0, 0, 1), (1, 2, 2)]));
        assert!(faulty(&[(0, 0, 1), (1, 3, 3)]));
    }
}
