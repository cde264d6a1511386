//! I12: ids are unique: of messages, of groups, of the sessions of a user and device class.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use aldis_wire::ConversationKey;

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{GroupChange, Outcome};

/// Whose an id is: the first owner and where that is written.
struct Owners<I, O>(HashMap<I, (O, LineRef)>);

impl<I: Eq + Hash + Copy + Display, O: PartialEq + Copy> Owners<I, O> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn note(&mut self, findings: &mut Findings, what: &str, id: I, owner: O, line: LineRef) {
        let (first, first_line) = *self.0.entry(id).or_insert((owner, line));
        if first != owner {
            findings.violation(Invariant::I12, &[first_line, line], || {
                format!("{what} {id} was given twice")
            });
        }
    }
}

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut messages: Owners<u64, (ConversationKey, u64)> = Owners::new();
    for (key, tries) in &facts.sends {
        for (attempt, ack) in facts.acks(tries) {
            let place = (key.conv, ack.conv_seq);
            messages.note(findings, "message id", ack.msg_id, place, attempt.span.completion);
        }
    }
    for view in facts.views() {
        for value in view.entries.iter().map(|seen| facts.value(seen.value)) {
            let place = (value.key.conv, value.conv_seq);
            messages.note(findings, "message id", value.msg_id, place, view.span.completion);
        }
    }
    let mut sessions: HashMap<(u64, i64), Owners<u64, LineRef>> = HashMap::new();
    for login in &facts.history.logins {
        let of_class = sessions.entry((login.user.0, login.class)).or_insert_with(Owners::new);
        let line = login.span.completion;
        of_class.note(findings, "session id", login.session_id, line, line);
    }
    let mut groups: Owners<u64, (u64, &str)> = Owners::new();
    for op in &facts.history.group_ops {
        let (GroupChange::Create { request_id, .. }, Outcome::Ok(outcome)) =
            (&op.change, &op.outcome)
        else {
            continue;
        };
        let owner = (op.actor.0, request_id.as_str());
        groups.note(findings, "group id", outcome.group.0, owner, op.span.completion);
    }
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    #[test]
    fn an_id_given_twice_is_found() {
        let mut lines = Lines::default();
        lines.login(1, 0);
        lines.login(1, 0);
        lines.create_group(7, 1, &[2]);
        lines.create_group(8, 1, &[2]);
        lines.ack([1, 2], 1, 1, 1);
        assert!(!found(&lines.history()).contains(&Invariant::I12));
        let mut twice = lines.clone();
        twice.next_session = 1;
        twice.login(1, 0);
        assert!(found(&twice.history()).contains(&Invariant::I12));
        let mut twice = lines.clone();
        twice.create_group(7, 2, &[1]);
        assert!(found(&twice.history()).contains(&Invariant::I12));
        lines.msg_id_offset = u64::MAX;
        lines.ack([1, 2], 1, 2, 2);
        assert!(found(&lines.history()).contains(&Invariant::I12));
    }
}
