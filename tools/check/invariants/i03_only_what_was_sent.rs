//! I3: nothing is read that nobody sent, and no refused send appears. A message may be read from
//! the moment it was begun to be sent, if not every try was refused.

use crate::facts::{Facts, View};
use crate::findings::{Findings, Invariant};
use crate::model::{
    EVENT_CREATED, EVENT_DISSOLVED, EVENT_JOINED, EVENT_LEFT, EVENT_REMOVED, GroupChange, GroupOp,
    KIND_SYSTEM_GROUP, Outcome, Value, is_message,
};
use aldis_wire::UserId;

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    // One judgement per different entry and the earliest time it was seen.
    let mut first_seen: Vec<Option<View<'_>>> = vec![None; facts.history.values.len()];
    for view in facts.views() {
        for seen in view.entries {
            let first = &mut first_seen[seen.value.0 as usize];
            if first.is_none_or(|first| view.span.end_ns < first.span.end_ns) {
                *first = Some(view);
            }
        }
    }
    check_contents(facts, findings);
    for (value, view) in facts.history.values.iter().zip(first_seen) {
        let Some(view) = view else { continue };
        let fault = match value.body.kind {
            KIND_SYSTEM_GROUP => group_fault(facts, value, view.span.end_ns),
            kind if is_message(kind) => send_fault(facts, value, view.span.end_ns),
            // What causes the server's other entries is not in histories.
            _ => None,
        };
        if let Some(fault) = fault {
            findings.violation(Invariant::I3, &[view.span.completion], || {
                format!("{} was read by user {}: {fault}", value.key, view.reader)
            });
        }
    }
}

/// A message says what was sent, or what somebody began to make it say.
fn check_contents(facts: &Facts<'_>, findings: &mut Findings) {
    for view in facts.views() {
        for seen in view.entries.iter().filter(|seen| seen.shows_content) {
            let (value, said) = (facts.value(seen.value), facts.history.content_hash(seen.said));
            if !is_message(value.body.kind) || said == value.body.hash {
                continue;
            }
            let versions = facts.edits.at(value.key.conv, value.conv_seq).iter();
            let mut begun = versions.filter(|version| version.start_ns <= view.span.end_ns);
            if !begun.any(|version| version.hash == said) {
                findings.violation(Invariant::I3, &[view.span.completion], || {
                    format!("{} said to user {} what nobody wrote", value.key, view.reader)
                });
            }
        }
    }
}

fn send_fault(facts: &Facts<'_>, value: &Value, seen_ns: u64) -> Option<&'static str> {
    let Some(tries) = facts.sends.get(&value.key) else { return Some("nobody sent it") };
    let tries = || tries.attempts.iter().map(|index| &facts.history.attempts[*index]);
    let same = || tries().filter(|attempt| attempt.body == value.body);
    if same().next().is_none() {
        return Some("it was sent with another content");
    }
    let begun = || same().filter(|attempt| attempt.span.start_ns <= seen_ns);
    if begun().next().is_none() {
        return Some("it was read before it was sent");
    }
    let accepted = begun().any(|attempt| attempt.outcome != Outcome::Fail);
    (!accepted).then_some("it was refused")
}

fn group_fault(facts: &Facts<'_>, value: &Value, seen_ns: u64) -> Option<&'static str> {
    let Some(group) = value.key.conv.as_group() else { return Some("a group's event in a 1:1") };
    let event = value.event.as_ref()?;
    if event.kind > EVENT_REMOVED && event.kind != EVENT_DISSOLVED {
        // What causes these is not in histories.
        return None;
    }
    let users: Vec<UserId> = event.user_ids.iter().copied().map(UserId).collect();
    let could_make = |op: &GroupOp| match (&op.change, &op.outcome) {
        (_, Outcome::Fail) => false,
        (GroupChange::Create { .. }, Outcome::Ok(outcome)) if outcome.group != group => false,
        (GroupChange::Create { members, .. }, _) => {
            event.kind == EVENT_CREATED
                && users.iter().all(|user| *user == op.actor || members.contains(user))
        }
        (GroupChange::Invite { group: to, members }, _) => {
            event.kind == EVENT_JOINED
                && *to == group
                && users.iter().all(|user| members.contains(user))
        }
        (GroupChange::Leave { group: of }, _) => {
            event.kind == EVENT_LEFT && *of == group && users == [op.actor]
        }
        (GroupChange::Remove { group: of, members }, _) => {
            event.kind == EVENT_REMOVED
                && *of == group
                && users.iter().all(|user| members.contains(user))
        }
        (GroupChange::Dissolve { group: of }, _) => event.kind == EVENT_DISSOLVED && *of == group,
    };
    let made =
        facts.history.group_ops.iter().any(|op| {
            op.actor == value.key.sender && op.span.start_ns <= seen_ns && could_make(op)
        });
    (!made).then_some("nobody changed the group like this")
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    #[test]
    fn what_nobody_sent_is_found() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(!found(&lines.history()).contains(&Invariant::I3));
        lines.push(2, &[(2, [1, 2], 1, 9, 2)]);
        assert!(found(&lines.history()).contains(&Invariant::I3));
    }

    #[test]
    fn a_refused_send_that_appears_is_found_unless_a_retry_was_not_refused() {
        let mut lines = Lines::default();
        lines.refused([1, 2], 1, 1);
        lines.push(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I3));
        let mut lines = Lines::default();
        lines.refused([1, 2], 1, 1);
        lines.unanswered([1, 2], 1, 1);
        lines.push(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(!found(&lines.history()).contains(&Invariant::I3));
    }

    #[test]
    fn what_is_read_before_it_is_sent_or_with_another_content_is_found() {
        let mut lines = Lines::default();
        lines.push(2, &[(1, [1, 2], 1, 1, 1)]);
        lines.ack([1, 2], 1, 1, 1);
        assert!(found(&lines.history()).contains(&Invariant::I3));
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.hash = 77;
        lines.push(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I3));
    }

    #[test]
    fn a_group_event_needs_someone_who_caused_it() {
        let mut lines = Lines::default();
        lines.create_group(7, 1, &[2]);
        lines.push(2, &[(1, [0, 7], 0, 0, 1)]);
        assert!(!found(&lines.history()).contains(&Invariant::I3));
        lines.push(2, &[(2, [0, 8], 0, 0, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I3));
    }
}
