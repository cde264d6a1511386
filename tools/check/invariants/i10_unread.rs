//! I10: unread equals messages above the mark, and above one's own newest message. It is counted by msg_no, which every entry has: the
//! messages, not other events, at or below its position. So msg_no is checked wherever it is said,
//! and what users are told is unread against the messages that were there.

use std::collections::{BTreeMap, HashMap};

use aldis_wire::limits::OWN_MARK_ENTRIES_MAX;
use aldis_wire::{ClientMsgId, ConversationKey};

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{Conv, Outcome, SendKey, Unread, is_message};

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
            let is_message = is_message(value.body.kind);
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
        let is_message = is_message(row.kind);
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
/// have been there before the answer. Only those count that the user can see, and none up to the user's
/// own newest one.
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
        let top = positions.keys().next_back().copied().unwrap_or(0);
        let (certain, possible) = own_marks(facts, told, top);
        let Unread { conv, user, .. } = *told;
        // Of a group, only what is known of its events says who certainly sees a position.
        let sees = |at: u64| facts.membership.is_entitled(conv, user, at, (u64::MAX, u64::MAX));
        let may_see = |at: u64| !facts.membership.is_outsider(conv, user, at);
        let above = possible.saturating_add(1)..=end.max(possible);
        let found = if above.is_empty() { None } else { Some(positions.range(above)) };
        let found = found.into_iter().flatten().filter(|(_, at)| at.is_message);
        let lowest = found.filter(|(at, _)| sees(**at)).count() as u64;
        let starts = begun.get(&told.conv).map_or(&[][..], Vec::as_slice);
        let begun = starts.iter().take_while(|(start_ns, _)| *start_ns < told.span.end_ns);
        // A message without a known place may be anywhere.
        let counts = |place: Option<u64>| place.is_none_or(|at| at > certain && may_see(at));
        let highest = begun.filter(|(_, place)| counts(*place)).count();
        let highest = (highest as u64).max(lowest);
        if !(lowest..=highest).contains(&told.unread) {
            report(told, lowest, highest, findings);
        }
    }
}

/// Up to where the user has certainly read, and up to where at most: the mark, or an own message, which is
/// a mark as long as it is near the newest entry, at most `top`.
fn own_marks(facts: &Facts<'_>, told: &Unread, top: u64) -> (u64, u64) {
    let first = SendKey { conv: told.conv, sender: told.user, client_msg_id: ClientMsgId([0; 16]) };
    let last = SendKey { client_msg_id: ClientMsgId([0xFF; 16]), ..first };
    let (mut certain, mut possible) = (told.mark, told.mark);
    for tries in facts.sends.range(first..=last).map(|(_, tries)| tries) {
        let attempts = tries.attempts.iter().map(|index| &facts.history.attempts[*index]);
        for attempt in attempts.filter(|attempt| attempt.span.start_ns < told.span.end_ns) {
            possible = match attempt.outcome {
                Outcome::Ok(ack) => possible.max(ack.conv_seq),
                Outcome::Fail => possible,
                // It may be the last word.
                Outcome::Info => u64::MAX,
            };
        }
        for (attempt, ack) in facts.acks(tries) {
            let is_near = ack.conv_seq + OWN_MARK_ENTRIES_MAX as u64 > top;
            if attempt.span.end_ns < told.span.start_ns && is_near {
                certain = certain.max(ack.conv_seq);
            }
        }
    }
    (certain, possible)
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
            lines.push(2, &[(1, [0, 7], 0, 0, 1)]);
            lines.unanswered([0, 7], 1, 9);
            lines.refused([0, 7], 1, 10);
            lines.unread(2, [0, 7], 1, unread);
            is_found(&lines)
        };
        assert!(told(1) && !told(2) && !told(3) && told(4));
    }

    #[test]
    fn ones_own_newest_message_is_a_mark_and_what_one_cannot_see_does_not_count() {
        let told = |user, unread| {
            let mut lines = group(3);
            lines.ack([0, 7], 2, 9, 5);
            lines.ack([0, 7], 1, 10, 6);
            lines.push(2, &[(1, [0, 7], 0, 0, 1)]);
            lines.unread(user, [0, 7], 1, unread);
            is_found(&lines)
        };
        assert!(!told(2, 1) && told(2, 5) && told(2, 0));
        assert!(!told(1, 0) && told(1, 1), "the last word is user 1's own");
    }
}
