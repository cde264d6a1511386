//! I8: nobody reads outside their membership: 1:1 conversations of others, groups before joining
//! and after leaving. Positions of groups whose events are not all known are not judged.

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for view in facts.views() {
        for value in view.entries.iter().map(|seen| facts.value(seen.value)) {
            if facts.membership.is_outsider(value.key.conv, view.reader, value.conv_seq) {
                findings.violation(Invariant::I8, &[view.span.completion], || {
                    format!(
                        "user {} read {} at position {}",
                        view.reader, value.key, value.conv_seq
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
    fn readers_outside_a_conversation_are_found() {
        let mut lines = Lines::default();
        lines.push(2, &[(1, [1, 2], 1, 1, 1)]);
        lines.create_group(7, 1, &[2]);
        lines.push(2, &[(2, [0, 7], 0, 0, 1)]);
        assert!(!found(&lines.history()).contains(&Invariant::I8));
        let mut other = lines.clone();
        other.push(3, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&other.history()).contains(&Invariant::I8));
        lines.push(3, &[(1, [0, 7], 0, 0, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I8));
    }
}
