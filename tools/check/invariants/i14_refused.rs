//! I14: what may not be sent any more is refused. A message whose first try began after a block, a
//! leave, a removal or the end of the group was acknowledged is neither acknowledged nor read, as
//! long as nobody began to let its sender in again.

use std::collections::HashMap;

use aldis_wire::{ConversationKey, UserId};

use crate::facts::Facts;
use crate::findings::{Findings, Invariant};
use crate::history::{History, LineRef};
use crate::model::{GroupChange, Outcome, SendKey, Span};

/// A time in which somebody may not write.
#[derive(Clone, Copy, Debug)]
struct Ban {
    from_ns: u64,
    until_ns: u64,
    line: LineRef,
    why: &'static str,
}

/// Bans by conversation and sender.
type Bans = HashMap<(ConversationKey, UserId), Vec<Ban>>;

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let history = facts.history;
    let mut bans = Bans::new();
    add_blocks(history, &mut bans);
    add_departures(history, &mut bans);
    let ends = ends(history);
    if bans.is_empty() && ends.is_empty() {
        return;
    }
    let read = first_reads(facts);
    for (key, tries) in &facts.sends {
        let first = tries.attempts.first().map(|index| history.attempts[*index].span.start_ns);
        let begun_ns = first.unwrap_or(0);
        let of_sender = bans.get(&(key.conv, key.sender)).map_or(&[][..], Vec::as_slice);
        let known = of_sender.iter().chain(ends.get(&key.conv));
        for ban in known.filter(|ban| ban.from_ns < begun_ns) {
            let acks = facts.acks(tries).map(|(attempt, _)| attempt.span);
            let acks = acks.map(|span| (span.end_ns, span.completion));
            let mut taken = acks.chain(read.get(key).copied());
            if let Some((_, line)) = taken.find(|(at_ns, _)| *at_ns < ban.until_ns) {
                findings.violation(Invariant::I14, &[ban.line, line], || {
                    format!("{key} was accepted after {}", ban.why)
                });
            }
        }
    }
}

/// When somebody first read each message.
fn first_reads(facts: &Facts<'_>) -> HashMap<SendKey, (u64, LineRef)> {
    let mut reads: HashMap<SendKey, (u64, LineRef)> = HashMap::new();
    for view in facts.views() {
        for seen in view.entries {
            let here = (view.span.end_ns, view.span.completion);
            let first = reads.entry(facts.value(seen.value).key).or_insert(here);
            *first = here.min(*first);
        }
    }
    reads
}

/// A block holds both ways.
fn add_blocks(history: &History, bans: &mut Bans) {
    for block in history.blocks.iter().filter(|one| !one.is_lifted) {
        let lifts = history
            .blocks
            .iter()
            .filter(|one| one.is_lifted && (one.user, one.peer) == (block.user, block.peer));
        let lifts = lifts.map(|lift| (lift.span, lift.outcome));
        let Some(ban) = ban((block.span, block.outcome), lifts, "a block") else { continue };
        let conv = ConversationKey::direct(block.user, block.peer);
        for sender in [block.user, block.peer] {
            bans.entry((conv, sender)).or_default().push(ban);
        }
    }
}

/// Who left a group or was put out.
fn add_departures(history: &History, bans: &mut Bans) {
    for op in &history.group_ops {
        let (group, users, why) = match &op.change {
            GroupChange::Leave { group } => (*group, vec![op.actor], "its sender had left"),
            GroupChange::Remove { group, members } => {
                (*group, members.clone(), "its sender was put out")
            }
            _ => continue,
        };
        for user in users {
            let lifts = history.group_ops.iter().filter_map(|op| match &op.change {
                GroupChange::Invite { group: to, members }
                    if *to == group && members.contains(&user) =>
                {
                    Some((op.span, done(&op.outcome)))
                }
                _ => None,
            });
            let Some(ban) = ban((op.span, done(&op.outcome)), lifts, why) else { continue };
            bans.entry((ConversationKey::group(group), user)).or_default().push(ban);
        }
    }
}

/// Groups that are over.
fn ends(history: &History) -> HashMap<ConversationKey, Ban> {
    let mut ends = HashMap::new();
    for op in &history.group_ops {
        let GroupChange::Dissolve { group } = op.change else { continue };
        let ended = (op.span, done(&op.outcome));
        let Some(ban) = ban(ended, std::iter::empty(), "the end of the group") else { continue };
        let first: &mut Ban = ends.entry(ConversationKey::group(group)).or_insert(ban);
        if ban.from_ns < first.from_ns {
            *first = ban;
        }
    }
    ends
}

fn done<T>(outcome: &Outcome<T>) -> Outcome<()> {
    match outcome {
        Outcome::Ok(_) => Outcome::Ok(()),
        Outcome::Fail => Outcome::Fail,
        Outcome::Info => Outcome::Info,
    }
}

/// From the acknowledgement until the first of what ends it may have begun. `None`: it is not known
/// which of them came first, or whether it was done at all.
fn ban(
    (made, outcome): (Span, Outcome<()>),
    lifts: impl Iterator<Item = (Span, Outcome<()>)>,
    why: &'static str,
) -> Option<Ban> {
    if outcome != Outcome::Ok(()) {
        return None;
    }
    let (from_ns, line) = (made.end_ns, made.completion);
    let mut ban = Ban { from_ns, until_ns: u64::MAX, line, why };
    for (span, outcome) in lifts {
        // One without an answer may take effect at any time later.
        let is_before = outcome == Outcome::Ok(()) && span.end_ns < made.start_ns;
        if outcome == Outcome::Fail || is_before {
            continue;
        }
        if span.start_ns < made.end_ns {
            return None;
        }
        ban.until_ns = ban.until_ns.min(span.start_ns);
    }
    Some(ban)
}

#[cfg(test)]
mod tests {
    use crate::Invariant;
    use crate::invariants::testing::{Lines, found};

    fn is_found(lines: &Lines) -> bool {
        found(&lines.history()).contains(&Invariant::I14)
    }

    #[test]
    fn a_send_begun_after_a_block_is_refused_until_it_is_lifted() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.block(2, 1, "block", "ok");
        lines.refused([1, 2], 1, 2);
        assert!(!is_found(&lines));
        for sender in [1, 2] {
            let mut other = lines.clone();
            other.ack([1, 2], sender, 3, 2);
            assert!(is_found(&other), "a block holds both ways");
        }
        // The resend of what was there before.
        lines.ack([1, 2], 1, 1, 1);
        lines.block(2, 1, "unblock", "ok");
        lines.ack([1, 2], 1, 4, 2);
        assert!(!is_found(&lines));
    }

    #[test]
    fn what_was_not_answered_and_is_read_counts_too_and_a_lost_unblock_may_come_late() {
        let mut lines = Lines::default();
        lines.block(2, 1, "block", "ok");
        lines.unanswered([1, 2], 1, 3);
        assert!(!is_found(&lines));
        lines.push(2, &[(1, [1, 2], 1, 3, 1)]);
        assert!(is_found(&lines));
        let mut lines = Lines::default();
        lines.block(2, 1, "unblock", "info");
        lines.block(2, 1, "block", "ok");
        lines.ack([1, 2], 1, 1, 1);
        assert!(!is_found(&lines));
        let mut lines = Lines::default();
        lines.block(2, 1, "block", "info");
        lines.ack([1, 2], 1, 1, 1);
        assert!(!is_found(&lines), "it may not have been done");
    }

    #[test]
    fn who_is_put_out_may_not_send_until_invited_and_nobody_may_when_the_group_is_over() {
        let mut lines = Lines::default();
        lines.create_group(7, 1, &[2]);
        lines.ack([0, 7], 2, 1, 2);
        lines.change_group("group_remove", 1, 7, &[2]);
        let mut other = lines.clone();
        other.ack([0, 7], 2, 2, 4);
        assert!(is_found(&other));
        lines.change_group("group_invite", 1, 7, &[2]);
        lines.ack([0, 7], 2, 2, 5);
        lines.ack([0, 7], 1, 3, 6);
        assert!(!is_found(&lines));
        lines.change_group("group_dissolve", 1, 7, &[]);
        lines.ack([0, 7], 1, 4, 8);
        assert!(is_found(&lines));
    }

    #[test]
    fn who_left_may_not_send() {
        let mut lines = Lines::default();
        lines.create_group(7, 1, &[2]);
        lines.change_group("group_leave", 2, 7, &[]);
        lines.ack([0, 7], 1, 1, 3);
        assert!(!is_found(&lines));
        lines.ack([0, 7], 2, 2, 4);
        assert!(is_found(&lines));
    }
}
