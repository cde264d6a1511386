//! I13: a mailbox holds each conversation in conv_seq order.

use std::collections::HashMap;

use aldis_wire::{ConversationKey, UserId};

use crate::facts::{Facts, Observed};
use crate::findings::{Findings, Invariant};

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for (owner, mailbox) in &facts.mailboxes {
        check_in_order(facts, *owner, mailbox.values().copied(), findings);
    }
    // What one page shows counts also where another view showed another value.
    for view in facts.views().filter(|view| view.is_mailbox) {
        let line = view.span.completion;
        let entries = view.entries.iter().map(|seen| Observed { value: seen.value, line });
        check_in_order(facts, view.reader, entries, findings);
    }
}

fn check_in_order(
    facts: &Facts<'_>,
    owner: UserId,
    entries: impl Iterator<Item = Observed>,
    findings: &mut Findings,
) {
    let mut last: HashMap<ConversationKey, Observed> = HashMap::new();
    for observed in entries {
        let value = facts.value(observed.value);
        let Some(at) = last.insert(value.key.conv, observed) else { continue };
        let before = facts.value(at.value);
        if before.conv_seq >= value.conv_seq {
            findings.violation(Invariant::I13, &[at.line, observed.line], || {
                format!(
                    "user {owner} has {} at position {} before {} at position {}",
                    before.key, before.conv_seq, value.key, value.conv_seq
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
    fn a_mailbox_with_a_conversation_out_of_order_is_found() {
        let mut lines = Lines::default();
        lines.push(2, &[(1, [1, 2], 1, 1, 1), (2, [2, 3], 3, 1, 1), (3, [1, 2], 1, 2, 2)]);
        assert!(!found(&lines.history()).contains(&Invariant::I13));
        lines.push(2, &[(4, [2, 3], 3, 2, 3), (5, [2, 3], 3, 3, 2)]);
        assert!(found(&lines.history()).contains(&Invariant::I13));
    }
}
