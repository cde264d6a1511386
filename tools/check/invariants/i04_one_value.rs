//! I4: (conversation, conv_seq) and (owner, seq) map to one value for all readers, nodes and paths:
//! acknowledgement, push, sync, history. A mailbox holds a position of a conversation once.

use std::collections::HashMap;

use aldis_wire::{ConversationKey, UserId};

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{Conv, SendKey, ValueId};

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    check_conversations(facts, findings);
    check_mailboxes(facts, findings);
}

fn check_conversations(facts: &Facts<'_>, findings: &mut Findings) {
    let mut values: HashMap<(ConversationKey, u64), (ValueId, LineRef)> = HashMap::new();
    for view in facts.views() {
        for seen in view.entries {
            let value = facts.value(seen.value);
            let place = (value.key.conv, value.conv_seq);
            let here = (seen.value, view.span.completion);
            let (first, line) = *values.entry(place).or_insert(here);
            if first != seen.value {
                findings.violation(Invariant::I4, &[line, here.1], || {
                    let other = facts.value(first);
                    format!("{} at {}: {} and {}", place.1, Conv(place.0), other.key, value.key)
                });
            }
        }
    }
    check_stored(facts, &values, findings);
    let mut acknowledged: HashMap<(ConversationKey, u64), (SendKey, LineRef)> = HashMap::new();
    for (key, tries) in &facts.sends {
        for (attempt, ack) in facts.acks(tries) {
            let place = (key.conv, ack.conv_seq);
            let line = attempt.span.completion;
            let (first, first_line) = *acknowledged.entry(place).or_insert((*key, line));
            if first != *key {
                findings.violation(Invariant::I4, &[first_line, line], || {
                    format!("{first} and {key} were both acknowledged at position {}", place.1)
                });
            }
            let Some((value, seen_line)) = values.get(&place) else { continue };
            let value = facts.value(*value);
            if value.key != *key || value.msg_id != ack.msg_id {
                findings.violation(Invariant::I4, &[line, *seen_line], || {
                    format!(
                        "{key} was acknowledged at {} with id {}, where {} with id {} is read",
                        place.1, ack.msg_id, value.key, value.msg_id
                    )
                });
            }
        }
    }
}

/// What the store holds is what was seen.
fn check_stored(
    facts: &Facts<'_>,
    values: &HashMap<(ConversationKey, u64), (ValueId, LineRef)>,
    findings: &mut Findings,
) {
    for row in &facts.history.stored {
        let Some((value, line)) = values.get(&(row.conv, row.conv_seq)) else { continue };
        let value = facts.value(*value);
        if (value.msg_id, value.body.kind) != (row.msg_id, row.kind) {
            findings.violation(Invariant::I4, &[*line, row.line], || {
                let (conv_seq, msg_id) = (row.conv_seq, row.msg_id);
                let conv = Conv(row.conv);
                format!(
                    "{conv_seq} of {conv} is stored with id {msg_id}, where {} is read",
                    value.key
                )
            });
        }
    }
}

fn check_mailboxes(facts: &Facts<'_>, findings: &mut Findings) {
    let mut seqs: HashMap<(UserId, ConversationKey, u64), (u64, LineRef)> = HashMap::new();
    for view in facts.views().filter(|view| view.is_mailbox) {
        let (owner, line) = (view.reader, view.span.completion);
        let Some(mailbox) = facts.mailboxes.get(&owner) else { continue };
        for seen in view.entries {
            if let Some(first) = mailbox.get(&seen.seq).filter(|first| first.value != seen.value) {
                findings.violation(Invariant::I4, &[first.line, line], || {
                    let (first, second) = (facts.value(first.value), facts.value(seen.value));
                    format!("entry {} of user {owner}: {} and {}", seen.seq, first.key, second.key)
                });
            }
            let value = facts.value(seen.value);
            let place = (owner, value.key.conv, value.conv_seq);
            let (first, first_line) = *seqs.entry(place).or_insert((seen.seq, line));
            if first != seen.seq {
                findings.violation(Invariant::I4, &[first_line, line], || {
                    format!("{} is entry {first} and entry {} of user {owner}", value.key, seen.seq)
                });
            }
        }
    }
    for (key, tries) in &facts.sends {
        for (attempt, ack) in facts.acks(tries) {
            let mailbox = facts.mailboxes.get(&key.sender);
            let Some(observed) = mailbox.and_then(|mailbox| mailbox.get(&ack.seq)) else {
                continue;
            };
            let value = facts.value(observed.value);
            if value.key != *key {
                findings.violation(
                    Invariant::I4,
                    &[attempt.span.completion, observed.line],
                    || {
                        format!(
                            "{key} was acknowledged as entry {}, which is {}",
                            ack.seq, value.key
                        )
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    #[test]
    fn two_values_at_one_position_of_a_conversation_are_found() {
        let mut lines = Lines::default();
        lines.push(1, &[(1, [1, 2], 1, 1, 1)]);
        lines.push(2, &[(5, [1, 2], 1, 1, 1)]);
        assert!(!found(&lines.history()).contains(&Invariant::I4));
        lines.history_read(2, [1, 2], &[(1, 2, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I4));
    }

    #[test]
    fn two_values_at_one_seq_and_two_seqs_of_one_value_are_found() {
        let mut lines = Lines::default();
        lines.push(1, &[(1, [1, 2], 1, 1, 1)]);
        lines.final_sync(1, &[(1, [1, 2], 1, 2, 2)]);
        assert!(found(&lines.history()).contains(&Invariant::I4));
        let mut lines = Lines::default();
        lines.final_sync(1, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I4));
    }

    #[test]
    fn a_row_of_the_store_that_is_not_what_was_read_is_found() {
        let mut lines = Lines::default();
        lines.push(2, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 2, 2)]);
        let mut right = lines.clone();
        right.stored([1, 2], &[(2, 2)]);
        assert!(!found(&right.history()).contains(&Invariant::I4));
        lines.msg_id_offset = 1;
        lines.stored([1, 2], &[(2, 2)]);
        assert!(found(&lines.history()).contains(&Invariant::I4));
    }

    #[test]
    fn an_acknowledgement_must_name_what_is_read_there() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.push(2, &[(1, [1, 2], 1, 2, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I4));
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.ack([1, 2], 2, 2, 1);
        assert!(found(&lines.history()).contains(&Invariant::I4));
    }
}
