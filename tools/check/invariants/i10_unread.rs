//! I10: unread equals messages above the mark. It is counted by msg_no, which every entry has: the
//! messages, not other events, at or below its position. So msg_no is checked wherever it is said,
//! and what users are told is unread against the messages that were there.

use std::collections::{BTreeMap, HashMap};

use aldis_wire::{ConversationKey, UserId};

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{Conv, KIND_SYSTEM_GROUP, MarkRead, Outcome, SendKey, Unread};

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    if facts.history.not_judged().contains(&Invariant::I10) {
        return;
    }
    let conversations = conversations(facts, findings);
    for (conv, positions) in &conversations {
        check_numbers(*conv, positions, findings);
    }
    if !facts.history.unreads.is_empty() {
        check_unread(facts, &conversations, findings);
        check_marks(facts, findings);
    }
}

/// What is known of a position of a conversation.
#[derive(Clone, Copy)]
struct Position {
    is_message: bool,
    /// The number it was said to have, and where.
    msg_no: Option<(u64, LineRef)>,
    /// From then on it was certainly stored.
    stored_ns: u64,
}

type Positions = BTreeMap<u64, Position>;

/// All positions that anyone saw or got acknowledged. Two numbers for one are a violation.
fn conversations(
    facts: &Facts<'_>,
    findings: &mut Findings,
) -> HashMap<ConversationKey, Positions> {
    let mut conversations: HashMap<ConversationKey, Positions> = HashMap::new();
    let mut note = |conv, conv_seq, is_message, msg_no: Option<(u64, LineRef)>, stored_ns| {
        let position = conversations.entry(conv).or_default().entry(conv_seq);
        let position = position.or_insert(Position { is_message, msg_no, stored_ns });
        position.stored_ns = position.stored_ns.min(stored_ns);
        let first = position.msg_no.or(msg_no);
        position.msg_no = first;
        if let (Some((first, line)), Some((second, here))) = (first, msg_no)
            && first != second
        {
            findings.violation(Invariant::I10, &[line, here], || {
                format!("position {conv_seq} of {} has msg_no {first} and {second}", Conv(conv))
            });
        }
    };
    for view in facts.views() {
        for seen in view.entries {
            let value = facts.value(seen.value);
            let is_message = value.body.kind < KIND_SYSTEM_GROUP;
            let msg_no = seen.msg_no.number().map(|number| (number, view.span.completion));
            note(value.key.conv, value.conv_seq, is_message, msg_no, view.span.end_ns);
        }
    }
    for (key, tries) in &facts.sends {
        for (attempt, ack) in facts.acks(tries) {
            note(key.conv, ack.conv_seq, true, None, attempt.span.end_ns);
        }
    }
    for row in &facts.history.stored {
        let is_message = row.kind < KIND_SYSTEM_GROUP;
        note(row.conv, row.conv_seq, is_message, Some((row.msg_no, row.line)), u64::MAX);
    }
    conversations
}

/// From each position to the next one known, msg_no grows by the messages between them: by one for
/// each that is known, by one at most for each that is not.
fn check_numbers(conv: ConversationKey, positions: &Positions, findings: &mut Findings) {
    let (mut last_seq, mut lowest, mut highest) = (0, 0, 0);
    let mut last_line = None;
    for (conv_seq, position) in positions {
        highest += conv_seq - last_seq - 1 + u64::from(position.is_message);
        lowest += u64::from(position.is_message);
        last_seq = *conv_seq;
        let Some((msg_no, line)) = position.msg_no else { continue };
        if !(lowest..=highest).contains(&msg_no) {
            let lines: Vec<LineRef> = last_line.into_iter().chain([line]).collect();
            findings.violation(Invariant::I10, &lines, || {
                format!(
                    "position {conv_seq} of {} has msg_no {msg_no}, where {lowest} to {highest} \
                     messages are",
                    Conv(conv)
                )
            });
        }
        (lowest, highest, last_line) = (msg_no, msg_no, Some(line));
    }
}

/// What was told lies between the messages that were there before the question, and those that may
/// have been there before the answer.
fn check_unread(
    facts: &Facts<'_>,
    conversations: &HashMap<ConversationKey, Positions>,
    findings: &mut Findings,
) {
    let none = Positions::new();
    let begun = begun(facts);
    for told in &facts.history.unreads {
        let positions = conversations.get(&told.conv).unwrap_or(&none);
        // Positions are stored in their order: with one, all below it.
        let end = positions.iter().rev().find(|(_, at)| at.stored_ns < told.span.start_ns);
        let end = end.map_or(0, |(conv_seq, _)| *conv_seq);
        let above = |up_to: u64| {
            let range = told.mark.saturating_add(1)..=up_to.max(told.mark);
            let is_empty = range.is_empty();
            let found = if is_empty { None } else { Some(positions.range(range)) };
            found.into_iter().flatten().filter(|(_, at)| at.is_message).count() as u64
        };
        let lowest = above(end);
        let starts = begun.get(&told.conv).map_or(&[][..], Vec::as_slice);
        let begun = starts.iter().take_while(|(start_ns, _)| *start_ns < told.span.end_ns);
        // A message without a known place may be anywhere.
        let highest = begun.filter(|(_, place)| place.is_none_or(|at| at > told.mark)).count();
        let highest = (highest as u64).max(lowest);
        if !(lowest..=highest).contains(&told.unread) {
            report(told, lowest, highest, findings);
        }
    }
}

fn report(told: &Unread, lowest: u64, highest: u64, findings: &mut Findings) {
    findings.violation(Invariant::I10, &[told.span.completion], || {
        let Unread { user, conv, mark, unread, .. } = told;
        format!(
            "user {user} was told of {unread} unread above {mark} in {}, where {lowest} to \
             {highest} messages were",
            Conv(*conv)
        )
    });
}

/// When the messages of each conversation were begun to be sent, of those that were not refused,
/// and where they stand, if anybody knows.
fn begun(facts: &Facts<'_>) -> HashMap<ConversationKey, Vec<(u64, Option<u64>)>> {
    let places: HashMap<SendKey, u64> =
        facts.history.values.iter().map(|value| (value.key, value.conv_seq)).collect();
    let mut begun: HashMap<ConversationKey, Vec<(u64, Option<u64>)>> = HashMap::new();
    for (key, tries) in &facts.sends {
        let attempts = tries.attempts.iter().map(|index| &facts.history.attempts[*index]);
        let accepted = attempts.filter(|attempt| attempt.outcome != Outcome::Fail);
        if let Some(start_ns) = accepted.map(|attempt| attempt.span.start_ns).min() {
            let acked = facts.acks(tries).map(|(_, ack)| ack.conv_seq).next();
            let place = acked.or_else(|| places.get(key).copied());
            begun.entry(key.conv).or_default().push((start_ns, place));
        }
    }
    begun.values_mut().for_each(|starts| starts.sort_unstable());
    begun
}

/// A mark that was acknowledged before a question is at or below the mark of its answer.
fn check_marks(facts: &Facts<'_>, findings: &mut Findings) {
    let mut marks: HashMap<(UserId, ConversationKey), Vec<&MarkRead>> = HashMap::new();
    for mark in facts.history.marks.iter().filter(|mark| mark.outcome == Outcome::Ok(())) {
        marks.entry((mark.user, mark.conv)).or_default().push(mark);
    }
    for told in &facts.history.unreads {
        let Some(marks) = marks.get(&(told.user, told.conv)) else { continue };
        let before = marks.iter().filter(|mark| mark.span.end_ns < told.span.start_ns);
        let highest = before.max_by_key(|mark| mark.conv_seq);
        if let Some(mark) = highest.filter(|mark| mark.conv_seq > told.mark) {
            let lines = [mark.span.completion, told.span.completion];
            findings.violation(Invariant::I10, &lines, || {
                format!(
                    "user {} had read up to {} of {}, and the mark is {} later",
                    told.user,
                    mark.conv_seq,
                    Conv(told.conv),
                    told.mark
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    /// A group with its creation and messages of user 1 at 2, 3 and so on.
    fn group(messages: u64) -> Lines {
        let mut lines = Lines::default();
        lines.create_group(7, 1, &[2]);
        (2..2 + messages).for_each(|at| lines.ack([0, 7], 1, at, at));
        lines
    }

    fn is_found(lines: &Lines) -> bool {
        found(&lines.history()).contains(&Invariant::I10)
    }

    #[test]
    fn without_numbers_nothing_is_judged() {
        let mut lines = group(2);
        lines.push(2, &[(1, [0, 7], 0, 0, 1), (2, [0, 7], 1, 2, 2)]);
        assert_eq!(lines.history().not_judged(), [Invariant::I10]);
        lines.msg_nos = true;
        lines.push(2, &[(1, [0, 7], 0, 0, 1), (2, [0, 7], 1, 2, 2)]);
        assert_eq!(lines.history().not_judged(), []);
        assert!(!is_found(&lines));
    }

    #[test]
    fn numbers_count_the_messages_and_nothing_else() {
        // The creation is no message: (position, msg_no) of what the database holds.
        let faulty = |rows: &[(u64, u64)]| {
            let mut lines = group(4);
            lines.push(2, &[(1, [0, 7], 0, 0, 1)]);
            lines.stored([0, 7], rows);
            is_found(&lines)
        };
        assert!(!faulty(&[(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]));
        assert!(!faulty(&[(5, 4)]));
        assert!(!faulty(&[(2, 1), (5, 4), (9, 8)]));
        assert!(!faulty(&[(2, 1), (5, 4), (9, 6)]), "events may lie between");
        assert!(faulty(&[(1, 1)]), "an event counts as a message");
        assert!(faulty(&[(2, 1), (3, 1)]), "a message that does not count");
        assert!(faulty(&[(2, 1), (3, 3)]), "a message that counts twice");
        assert!(faulty(&[(3, 2), (4, 1)]), "back again");
        assert!(faulty(&[(5, 4), (9, 9)]), "more messages than positions");
        assert!(faulty(&[(2, 1), (2, 2)]), "two numbers for one position");
    }

    #[test]
    fn unread_is_what_lies_above_the_mark() {
        let faulty = |mark, unread| {
            let mut lines = group(4);
            lines.push(2, &[(1, [0, 7], 0, 0, 1)]);
            lines.unread(2, [0, 7], mark, unread);
            is_found(&lines)
        };
        assert!(!faulty(1, 4) && !faulty(0, 4) && !faulty(3, 2) && !faulty(5, 0));
        assert!(faulty(1, 5) && faulty(1, 3) && faulty(3, 3) && faulty(5, 1));
    }

    #[test]
    fn what_may_have_come_meanwhile_may_count_and_refused_sends_do_not() {
        let told = |unread| {
            let mut lines = group(2);
            lines.unanswered([0, 7], 1, 9);
            lines.refused([0, 7], 1, 10);
            lines.unread(2, [0, 7], 1, unread);
            is_found(&lines)
        };
        assert!(told(1) && !told(2) && !told(3) && told(4));
    }

    #[test]
    fn a_mark_does_not_fall_behind_what_was_acknowledged() {
        let mut lines = group(4);
        lines.mark_read(2, [0, 7], 3);
        lines.unread(2, [0, 7], 3, 2);
        assert!(!is_found(&lines));
        lines.unread(2, [0, 7], 2, 3);
        assert!(is_found(&lines));
    }
}
