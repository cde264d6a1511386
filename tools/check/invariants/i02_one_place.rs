//! I2: one (conversation, sender, client_msg_id) gives one conv_seq; retries return it, through
//! any node.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{Ack, KIND_SYSTEM_GROUP, SendKey};

/// The place that a message has, as somebody saw it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    conv_seq: u64,
    msg_id: u64,
}

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut places: HashMap<SendKey, (Place, LineRef)> = HashMap::new();
    let mut note = |findings: &mut Findings, key: SendKey, place: Place, line: LineRef| {
        let (first, first_line) = *places.entry(key).or_insert((place, line));
        if first != place {
            findings.violation(Invariant::I2, &[first_line, line], || {
                format!(
                    "{key} is at position {} with id {} and at position {} with id {}",
                    first.conv_seq, first.msg_id, place.conv_seq, place.msg_id
                )
            });
        }
    };
    for (key, tries) in &facts.sends {
        let mut seq: Option<(u64, LineRef)> = None;
        for (attempt, Ack { msg_id, seq: own_seq, conv_seq }) in facts.acks(tries) {
            let line = attempt.span.completion;
            note(findings, *key, Place { conv_seq, msg_id }, line);
            // 0 says nothing: the entry comes by push.
            if own_seq == 0 {
                continue;
            }
            let (first, first_line) = *seq.get_or_insert((own_seq, line));
            if first != own_seq {
                findings.violation(Invariant::I2, &[first_line, line], || {
                    format!("{key} is acknowledged as entry {first} and as entry {own_seq}")
                });
            }
        }
    }
    for view in facts.views() {
        for value in view.entries.iter().map(|seen| facts.value(seen.value)) {
            if value.body.kind < KIND_SYSTEM_GROUP {
                let place = Place { conv_seq: value.conv_seq, msg_id: value.msg_id };
                note(findings, value.key, place, view.span.completion);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    #[test]
    fn a_resend_that_got_another_place_is_found() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.ack([1, 2], 1, 1, 1);
        assert!(!found(&lines.history()).contains(&Invariant::I2));
        lines.ack([1, 2], 1, 1, 2);
        assert!(found(&lines.history()).contains(&Invariant::I2));
    }

    #[test]
    fn a_message_read_at_two_places_is_found() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 1, 2)]);
        assert!(found(&lines.history()).contains(&Invariant::I2));
    }
}
