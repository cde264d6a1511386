//! I9: no request begun after a recall's acknowledgement returns the content, none begun after an
//! edit's an older one; read marks never go back. A push may have been under way for long, so pushes are not judged.

use std::collections::HashMap;

use aldis_wire::{ConversationKey, UserId};

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{Conv, Outcome, Seen, Span};

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    check_recalls(facts, findings);
    check_edits(facts, findings);
    check_marks(facts, findings);
}

fn check_recalls(facts: &Facts<'_>, findings: &mut Findings) {
    let mut recalled: HashMap<(ConversationKey, u64), Span> = HashMap::new();
    for recall in facts.history.recalls.iter().filter(|one| one.outcome == Outcome::Ok(())) {
        let first = recalled.entry((recall.conv, recall.conv_seq)).or_insert(recall.span);
        if recall.span.end_ns < first.end_ns {
            *first = recall.span;
        }
    }
    if recalled.is_empty() {
        return;
    }
    for (reader, span, entries) in pages(facts) {
        for seen in entries.iter().filter(|seen| seen.shows_content) {
            let Seen { value, .. } = *seen;
            let value = facts.value(value);
            let Some(recall) = recalled.get(&(value.key.conv, value.conv_seq)) else { continue };
            if recall.end_ns < span.start_ns {
                findings.violation(Invariant::I9, &[recall.completion, span.completion], || {
                    format!("user {reader} read {} after it was recalled", value.key)
                });
            }
        }
    }
}

/// What is read is not older than an edit that was acknowledged before: neither as sent nor by an edit
/// that was over before that one began.
fn check_edits(facts: &Facts<'_>, findings: &mut Findings) {
    if facts.edits.is_empty() {
        return;
    }
    for (reader, span, entries) in pages(facts) {
        for seen in entries.iter().filter(|seen| seen.shows_content) {
            let value = facts.value(seen.value);
            let said = facts.history.content_hash(seen.said);
            let versions = facts.edits.at(value.key.conv, value.conv_seq);
            // Every edit comes after the message.
            let sent = (said == value.body.hash).then_some(0);
            let same = versions.iter().filter(|version| version.hash == said);
            let Some(end_ns) = same.map(|version| version.end_ns).chain(sent).max() else {
                continue;
            };
            let newer = versions.iter().find(|version| {
                version.start_ns > end_ns && version.end_ns < span.start_ns && version.hash != said
            });
            if let Some(newer) = newer {
                findings.violation(Invariant::I9, &[newer.line, span.completion], || {
                    format!("user {reader} read {} as it was before an edit", value.key)
                });
            }
        }
    }
}

/// All pages of mailboxes, streams and conversations: who read, when, what.
fn pages<'a>(facts: &Facts<'a>) -> impl Iterator<Item = (UserId, Span, &'a [Seen])> + use<'a> {
    let syncs = facts.history.syncs.iter().map(|sync| (sync.user, sync.span, &sync.entries[..]));
    let reads = facts.history.histories.iter();
    syncs.chain(reads.map(|read| (read.reader, read.span, &read.entries[..])))
}

/// A mark that somebody knew: since when, where it was, and where that is written.
type KnownMark = (u64, u64, LineRef);

/// A mark that was acknowledged or told is not above one that is told later.
fn check_marks(facts: &Facts<'_>, findings: &mut Findings) {
    let mut known: HashMap<(UserId, ConversationKey), Vec<KnownMark>> = HashMap::new();
    for mark in facts.history.marks.iter().filter(|mark| mark.outcome == Outcome::Ok(())) {
        let (end_ns, line) = (mark.span.end_ns, mark.span.completion);
        known.entry((mark.user, mark.conv)).or_default().push((end_ns, mark.conv_seq, line));
    }
    for told in &facts.history.unreads {
        let (end_ns, line) = (told.span.end_ns, told.span.completion);
        known.entry((told.user, told.conv)).or_default().push((end_ns, told.mark, line));
    }
    for told in &facts.history.unreads {
        let known = known.get(&(told.user, told.conv)).map_or(&[][..], Vec::as_slice);
        let before = known.iter().filter(|(end_ns, _, _)| *end_ns < told.span.start_ns);
        let highest = before.max_by_key(|(_, mark, _)| *mark);
        let Some((_, mark, line)) = highest.filter(|(_, mark, _)| *mark > told.mark) else {
            continue;
        };
        findings.violation(Invariant::I9, &[*line, told.span.completion], || {
            let (user, conv, later) = (told.user, Conv(told.conv), told.mark);
            format!("user {user} had read up to {mark} of {conv}, and the mark is {later} later")
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    /// FNV-1a of nothing.
    const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

    fn is_found(lines: &Lines) -> bool {
        found(&lines.history()).contains(&Invariant::I9)
    }

    #[test]
    fn what_was_said_is_gone_for_whoever_asks_after_a_recall() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        lines.recall(1, [1, 2], 1);
        // A push may be late.
        lines.push(2, &[(1, [1, 2], 1, 1, 1)]);
        let mut late = lines.clone();
        (lines.hash, lines.flags) = (EMPTY, 1);
        lines.final_sync(1, &[(1, [1, 2], 1, 1, 1)]);
        lines.history_read(2, [1, 2], &[(1, 1, 1)]);
        assert!(found(&lines.history()).is_empty(), "all versions are one value");
        late.history_read(2, [1, 2], &[(1, 1, 1)]);
        assert!(is_found(&late));
        (late.hash, late.flags) = (7, 1);
        late.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(is_found(&late), "a flag alone takes nothing away");
    }

    #[test]
    fn a_recalled_message_whose_content_nobody_saw_was_sent_all_the_same() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.recall(1, [1, 2], 1);
        (lines.hash, lines.flags) = (EMPTY, 1);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        lines.final_sync(1, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).is_empty());
    }

    #[test]
    fn what_was_said_before_an_edit_is_gone_for_whoever_asks_after_it() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        lines.edit(1, [1, 2], 1, (1, 21), "ok");
        let mut late = lines.clone();
        late.history_read(2, [1, 2], &[(1, 1, 1)]);
        assert!(is_found(&late), "as sent");
        (lines.hash, lines.flags) = (21, 2);
        lines.history_read(2, [1, 2], &[(1, 1, 1)]);
        lines.edit(1, [1, 2], 1, (2, 22), "info");
        lines.history_read(2, [1, 2], &[(1, 1, 1)]);
        lines.hash = 22;
        lines.history_read(2, [1, 2], &[(1, 1, 1)]);
        assert!(found(&lines.history()).is_empty(), "what was not answered may come at any time");
        lines.edit(1, [1, 2], 1, (3, 23), "ok");
        lines.hash = 21;
        lines.history_read(2, [1, 2], &[(1, 1, 1)]);
        assert!(is_found(&lines), "by an edit that was over before");
    }

    #[test]
    fn what_nobody_wrote_is_found() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.edit(1, [1, 2], 1, (1, 21), "ok");
        (lines.hash, lines.flags) = (29, 2);
        lines.push(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I3));
    }

    #[test]
    fn what_was_edited_before_anybody_saw_it_was_sent_as_it_was_accepted() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.hash = 2;
        lines.refused([1, 2], 1, 1);
        lines.edit(1, [1, 2], 1, (1, 21), "ok");
        (lines.hash, lines.flags) = (21, 2);
        lines.final_sync(1, &[(1, [1, 2], 1, 1, 1)]);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).is_empty());
    }

    #[test]
    fn a_mark_does_not_fall_behind_what_was_acknowledged_or_told() {
        let mut lines = Lines::default();
        lines.create_group(7, 1, &[2]);
        (2..6).for_each(|at| lines.ack([0, 7], 1, at, at));
        lines.mark_read(2, [0, 7], 3);
        lines.unread(2, [0, 7], 4, 1);
        assert!(!is_found(&lines));
        lines.unread(2, [0, 7], 3, 2);
        assert!(is_found(&lines), "it was told to be higher");
    }
}
