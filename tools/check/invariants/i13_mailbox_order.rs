//! I13: a mailbox holds each conversation in conv_seq order.

use std::collections::HashMap;

use aldis_wire::ConversationKey;

use crate::facts::{Facts, Observed};
use crate::findings::{Findings, Invariant};
use crate::model::Value;

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for (owner, mailbox) in &facts.mailboxes {
        let mut last: HashMap<ConversationKey, (&Value, &Observed)> = HashMap::new();
        for observed in mailbox.values() {
            let value = facts.value(observed.value);
            let earlier = last.insert(value.key.conv, (value, observed));
            let Some((before, at)) = earlier else { continue };
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
