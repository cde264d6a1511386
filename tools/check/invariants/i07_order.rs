//! I7: an acknowledgement before another send's start means a smaller conv_seq; each sender's own
//! order holds. Messages whose place nobody saw take no part.
//!
//! A sender's order is that of the first tries of one process, because clients send again in order
//! and a server that refused one for now refuses those behind it. Left out are messages that another
//! process of the sender tried to send too before they were acknowledged: the other's try may have
//! overtaken what went before them here. In groups, and where one of the two blocked the other at some
//! time, a message that was sent again is left out: it may have been refused while its sender was no
//! member, or behind the block, and that answer lost.

use std::collections::{BTreeMap, HashMap, HashSet};

use aldis_wire::{ConversationKey, UserId};

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::SendKey;

/// A message with a place.
#[derive(Clone, Copy)]
struct Placed {
    key: SendKey,
    conv_seq: u64,
    /// Of the first try.
    start_ns: u64,
    start_line: LineRef,
    process: u32,
    was_repeated: bool,
    /// Tried by several processes before its place was known.
    is_shared: bool,
    /// Of the first acknowledgement.
    ack: Option<(u64, LineRef)>,
}

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let blocks = facts.history.blocks.iter().filter(|block| !block.is_lifted);
    let blocked: HashSet<ConversationKey> =
        blocks.map(|block| ConversationKey::direct(block.user, block.peer)).collect();
    for (conv, sends) in placed_by_conversation(facts) {
        check_acknowledged_before(&sends, findings);
        let may_be_refused = conv.as_group().is_some() || blocked.contains(&conv);
        check_own_order(&sends, may_be_refused, findings);
    }
}

/// By the start of the first try, in each conversation.
fn placed_by_conversation(facts: &Facts<'_>) -> BTreeMap<ConversationKey, Vec<Placed>> {
    let mut seen: HashMap<SendKey, u64> = HashMap::new();
    for value in &facts.history.values {
        seen.entry(value.key).or_insert(value.conv_seq);
    }
    let mut placed: BTreeMap<ConversationKey, Vec<Placed>> = BTreeMap::new();
    for (key, tries) in &facts.sends {
        let ack = facts.acks(tries).min_by_key(|(attempt, _)| attempt.span.end_ns);
        let conv_seq = ack.map(|(_, ack)| ack.conv_seq).or_else(|| seen.get(key).copied());
        let (Some(conv_seq), Some(first)) = (conv_seq, tries.attempts.first()) else { continue };
        let attempts = tries.attempts.iter().map(|index| facts.history.attempts[*index].span);
        let acked_ns = ack.map_or(u64::MAX, |(attempt, _)| attempt.span.end_ns);
        let first = facts.history.attempts[*first].span;
        let is_shared = attempts
            .filter(|span| span.start_ns <= acked_ns)
            .any(|span| span.process != first.process);
        placed.entry(key.conv).or_default().push(Placed {
            key: *key,
            conv_seq,
            start_ns: first.start_ns,
            start_line: first.invoke,
            process: first.process,
            was_repeated: tries.attempts.len() > 1,
            is_shared,
            ack: ack.map(|(attempt, _)| (attempt.span.end_ns, attempt.span.completion)),
        });
    }
    for sends in placed.values_mut() {
        // Lines of a process are in the order of its actions, also at the same instant.
        sends.sort_by_key(|send| (send.start_ns, send.start_line));
    }
    placed
}

fn check_acknowledged_before(sends: &[Placed], findings: &mut Findings) {
    let mut acks: Vec<(u64, LineRef, Placed)> = sends
        .iter()
        .filter_map(|send| send.ack.map(|(at_ns, line)| (at_ns, line, *send)))
        .collect();
    acks.sort_by_key(|(at_ns, ..)| *at_ns);
    let mut acks = acks.into_iter().peekable();
    let mut highest: Option<(LineRef, Placed)> = None;
    for send in sends {
        while let Some((_, line, acked)) = acks.next_if(|(at_ns, ..)| *at_ns < send.start_ns) {
            if highest.is_none_or(|(_, highest)| highest.conv_seq < acked.conv_seq) {
                highest = Some((line, acked));
            }
        }
        let Some((line, earlier)) = highest else { continue };
        if earlier.conv_seq >= send.conv_seq && earlier.key != send.key {
            findings.violation(Invariant::I7, &[line, send.start_line], || {
                format!(
                    "{} was acknowledged at position {} before {} was sent, which got position {}",
                    earlier.key, earlier.conv_seq, send.key, send.conv_seq
                )
            });
        }
    }
}

fn check_own_order(sends: &[Placed], may_be_refused: bool, findings: &mut Findings) {
    let mut last: HashMap<(u32, UserId), Placed> = HashMap::new();
    let counts = |send: &&Placed| {
        let is_doubtful = send.was_repeated && may_be_refused;
        !send.is_shared && !is_doubtful
    };
    for send in sends.iter().filter(counts) {
        let earlier = last.insert((send.process, send.key.sender), *send);
        if let Some(earlier) = earlier.filter(|earlier| earlier.conv_seq >= send.conv_seq) {
            findings.violation(Invariant::I7, &[earlier.start_line, send.start_line], || {
                format!(
                    "{} at position {} was sent before {} at position {}",
                    earlier.key, earlier.conv_seq, send.key, send.conv_seq
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    #[test]
    fn an_acknowledged_send_stays_before_later_ones() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.ack([1, 2], 2, 2, 2);
        assert!(!found(&lines.history()).contains(&Invariant::I7));
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 2);
        lines.ack([1, 2], 2, 2, 1);
        assert!(found(&lines.history()).contains(&Invariant::I7));
    }

    #[test]
    fn an_unanswered_send_has_its_place_from_what_is_read() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 2);
        lines.unanswered([1, 2], 2, 2);
        lines.push(1, &[(1, [1, 2], 2, 2, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I7));
    }

    #[test]
    fn pipelined_sends_keep_their_order() {
        let mut lines = Lines::default();
        lines.unanswered([1, 2], 1, 1);
        lines.unanswered([1, 2], 1, 2);
        lines.push(2, &[(1, [1, 2], 1, 2, 1), (2, [1, 2], 1, 1, 2)]);
        assert!(found(&lines.history()).contains(&Invariant::I7));
    }

    #[test]
    fn what_two_devices_send_at_once_may_overtake_but_not_what_one_sends_again_later() {
        let mut lines = Lines::default();
        lines.unanswered([1, 2], 1, 1);
        lines.unanswered([1, 2], 1, 2);
        lines.process = "other device";
        let mut at_once = lines.clone();
        at_once.ack([1, 2], 1, 2, 1);
        at_once.push(2, &[(1, [1, 2], 1, 2, 1), (2, [1, 2], 1, 1, 2)]);
        assert!(!found(&at_once.history()).contains(&Invariant::I7));
        lines.process = "p";
        lines.ack([1, 2], 1, 2, 1);
        lines.process = "other device";
        lines.ack([1, 2], 1, 2, 1);
        lines.push(2, &[(1, [1, 2], 1, 2, 1), (2, [1, 2], 1, 1, 2)]);
        assert!(found(&lines.history()).contains(&Invariant::I7));
    }
}
