//! I5: whoever sees seq n can at that moment read all of 1..n: every head told later reaches n, and
//! no page that begins there is refused as above the head.
//! That pages have no holes below their head is I6. The same holds for positions in a conversation.

use std::collections::HashMap;
use std::hash::Hash;

use aldis_wire::{ConversationKey, UserId};

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{Conv, Seen};

/// Somebody saw this number at this time.
#[derive(Clone, Copy)]
struct Sighting {
    at_ns: u64,
    number: u64,
    line: LineRef,
}

/// An answer asked for at this time, whose highest number is this.
#[derive(Clone, Copy)]
struct Answer {
    asked_ns: u64,
    highest: u64,
    line: LineRef,
}

struct Timeline<K> {
    sightings: HashMap<K, Vec<Sighting>>,
    answers: HashMap<K, Vec<Answer>>,
}

impl<K: Eq + Hash + Copy> Timeline<K> {
    fn new() -> Self {
        Self { sightings: HashMap::new(), answers: HashMap::new() }
    }

    fn saw(&mut self, key: K, at_ns: u64, number: u64, line: LineRef) {
        self.sightings.entry(key).or_default().push(Sighting { at_ns, number, line });
    }

    fn was_told(&mut self, key: K, asked_ns: u64, highest: u64, line: LineRef) {
        self.answers.entry(key).or_default().push(Answer { asked_ns, highest, line });
    }

    /// Calls `fault` for every answer below what was seen before it was asked for.
    fn check(mut self, mut fault: impl FnMut(K, Sighting, Answer)) {
        for (key, mut answers) in self.answers {
            let Some(mut sightings) = self.sightings.remove(&key) else { continue };
            sightings.sort_by_key(|sighting| sighting.at_ns);
            answers.sort_by_key(|answer| answer.asked_ns);
            let mut sightings = sightings.into_iter().peekable();
            let mut highest: Option<Sighting> = None;
            for answer in answers {
                while let Some(next) = sightings.next_if(|next| next.at_ns < answer.asked_ns) {
                    highest = highest.filter(|seen| seen.number >= next.number).or(Some(next));
                }
                if let Some(seen) = highest.filter(|seen| seen.number > answer.highest) {
                    fault(key, seen, answer);
                }
            }
        }
    }
}

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    check_mailboxes(facts, findings);
    check_conversations(facts, findings);
}

fn check_mailboxes(facts: &Facts<'_>, findings: &mut Findings) {
    let history = facts.history;
    // By reader and stream; the mailbox is stream 0.
    let mut timeline: Timeline<(UserId, u64)> = Timeline::new();
    let highest = |entries: &[Seen]| entries.iter().map(|seen| seen.seq).max().unwrap_or(0);
    for attempts in facts.sends.values() {
        for (attempt, ack) in facts.acks(attempts) {
            let span = attempt.span;
            timeline.saw((attempt.key.sender, 0), span.end_ns, ack.seq, span.completion);
        }
    }
    for push in &history.pushes {
        let head = push.head.max(highest(&push.entries));
        let key = (push.user, push.stream);
        timeline.saw(key, push.span.end_ns, head, push.span.completion);
    }
    for sync in &history.syncs {
        let key = (sync.user, sync.stream);
        let head = sync.head.max(highest(&sync.entries));
        timeline.saw(key, sync.span.end_ns, head, sync.span.completion);
        timeline.was_told(key, sync.span.start_ns, sync.head, sync.span.completion);
    }
    for beyond in &history.beyond_heads {
        let highest = beyond.after.saturating_sub(1);
        let key = (beyond.user, beyond.stream);
        timeline.was_told(key, beyond.span.start_ns, highest, beyond.span.completion);
    }
    for login in &history.logins {
        let key = (login.user, 0);
        timeline.saw(key, login.span.end_ns, login.head, login.span.completion);
        timeline.was_told(key, login.span.start_ns, login.head, login.span.completion);
    }
    timeline.check(|(user, stream), seen, answer| {
        findings.violation(Invariant::I5, &[seen.line, answer.line], || {
            format!(
                "user {user} saw entry {} of stream {stream} and was told the head {} later",
                seen.number, answer.highest
            )
        });
    });
}

fn check_conversations(facts: &Facts<'_>, findings: &mut Findings) {
    let mut timeline: Timeline<(UserId, ConversationKey)> = Timeline::new();
    for view in facts.views() {
        for value in view.entries.iter().map(|seen| facts.value(seen.value)) {
            let key = (view.reader, value.key.conv);
            timeline.saw(key, view.span.end_ns, value.conv_seq, view.span.completion);
        }
    }
    for attempts in facts.sends.values() {
        for (attempt, ack) in facts.acks(attempts) {
            let key = (attempt.key.sender, attempt.key.conv);
            timeline.saw(key, attempt.span.end_ns, ack.conv_seq, attempt.span.completion);
        }
    }
    for read in &facts.history.histories {
        let key = (read.reader, read.conv);
        timeline.was_told(key, read.span.start_ns, read.max_conv_seq, read.span.completion);
    }
    timeline.check(|(user, conv), seen, answer| {
        findings.violation(Invariant::I5, &[seen.line, answer.line], || {
            format!(
                "user {user} saw position {} of {} and was told its end {} later",
                seen.number,
                Conv(conv),
                answer.highest
            )
        });
    });
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    #[test]
    fn a_head_below_what_was_seen_before_is_found() {
        let mut lines = Lines::default();
        lines.push(2, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 2, 2)]);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 2, 2)]);
        lines.login(2, 2);
        assert!(!found(&lines.history()).contains(&Invariant::I5));
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I5));
    }

    #[test]
    fn a_page_that_was_refused_as_above_the_head_is_found_if_it_is_not() {
        let mut lines = Lines::default();
        lines.push(2, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 2, 2)]);
        lines.sync_refused(2, 3, "RESYNC");
        lines.sync_refused(2, 2, "UNAVAILABLE");
        assert!(!found(&lines.history()).contains(&Invariant::I5));
        lines.sync_refused(2, 2, "RESYNC");
        assert!(found(&lines.history()).contains(&Invariant::I5));
    }

    #[test]
    fn an_acknowledged_seq_counts_as_seen_and_a_login_tells_a_head() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.login(1, 1);
        assert!(!found(&lines.history()).contains(&Invariant::I5));
        lines.login(1, 0);
        assert!(found(&lines.history()).contains(&Invariant::I5));
    }

    #[test]
    fn the_end_of_a_conversation_does_not_go_back() {
        let mut lines = Lines::default();
        lines.push(2, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 2, 2)]);
        lines.history_read(2, [1, 2], &[(1, 1, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I5));
    }
}
