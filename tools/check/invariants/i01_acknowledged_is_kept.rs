//! I1: every acknowledged send is in every entitled member's final sync. A member without a final
//! sync begun after the acknowledgement leaves the question open.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use aldis_wire::{ConversationKey, UserId};

use crate::facts::{Facts, FinalSync, Tries};
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{Ack, Attempt, SendKey, Span};

/// A message that was acknowledged, by the first acknowledgement.
#[derive(Clone, Copy)]
struct Kept {
    key: SendKey,
    ack: Ack,
    span: Span,
    /// Start of the first try.
    since_ns: u64,
}

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut by_conversation: BTreeMap<ConversationKey, Vec<Kept>> = BTreeMap::new();
    for (key, tries) in &facts.sends {
        if let Some(kept) = first_ack(facts, *key, tries) {
            by_conversation.entry(key.conv).or_default().push(kept);
        }
    }
    for (user, conversations) in conversations_by_user(facts, &by_conversation) {
        let check = UserCheck::new(facts, user);
        for conv in conversations {
            for kept in by_conversation.get(&conv).into_iter().flatten() {
                let stored_ns = (kept.since_ns, kept.span.end_ns);
                let (membership, conv_seq) = (&facts.membership, kept.ack.conv_seq);
                if membership.is_entitled(conv, user, conv_seq, stored_ns) {
                    check.expect(kept, findings);
                }
            }
        }
    }
}

fn first_ack(facts: &Facts<'_>, key: SendKey, tries: &Tries) -> Option<Kept> {
    let (attempt, ack): (&Attempt, Ack) =
        facts.acks(tries).min_by_key(|(attempt, _)| attempt.span.end_ns)?;
    let first = *tries.attempts.first()?;
    let since_ns = facts.history.attempts[first].span.start_ns;
    Some(Kept { key, ack, span: attempt.span, since_ns })
}

/// Which conversations each user was ever in, of those with acknowledged messages.
fn conversations_by_user(
    facts: &Facts<'_>,
    acknowledged: &BTreeMap<ConversationKey, Vec<Kept>>,
) -> BTreeMap<UserId, BTreeSet<ConversationKey>> {
    let mut of_user: BTreeMap<UserId, BTreeSet<ConversationKey>> = BTreeMap::new();
    for conv in acknowledged.keys().filter(|conv| conv.as_group().is_none()) {
        of_user.entry(UserId(conv.lo)).or_default().insert(*conv);
        of_user.entry(UserId(conv.hi)).or_default().insert(*conv);
    }
    for (group, user) in facts.membership.members() {
        let conv = ConversationKey::group(group);
        if acknowledged.contains_key(&conv) {
            of_user.entry(user).or_default().insert(conv);
        }
    }
    of_user
}

struct UserCheck<'a> {
    user: UserId,
    last_word: Option<&'a FinalSync>,
    seen: HashSet<SendKey>,
    /// Below its start the final sync says nothing, and others did not see all of that.
    has_unseen: bool,
    line: LineRef,
}

impl<'a> UserCheck<'a> {
    fn new(facts: &'a Facts<'_>, user: UserId) -> Self {
        let last_word = facts.final_syncs.get(&user);
        let mut check = Self {
            user,
            last_word,
            seen: HashSet::new(),
            has_unseen: false,
            line: LineRef::default(),
        };
        let Some(chain) = last_word else { return check };
        for page in chain.pages.iter().map(|index| &facts.history.syncs[*index]) {
            check.line = page.span.completion;
            check.seen.extend(page.entries.iter().map(|seen| facts.value(seen.value).key));
        }
        let mut below = 0;
        if let Some(mailbox) = facts.mailboxes.get(&user) {
            for observed in mailbox.range(..=chain.after).map(|(_, observed)| observed) {
                below += 1;
                check.seen.insert(facts.value(observed.value).key);
            }
        }
        check.has_unseen = below < chain.after;
        check
    }

    fn expect(&self, kept: &Kept, findings: &mut Findings) {
        let user = self.user;
        match self.last_word {
            None => findings.doubt(|| format!("user {user} has no complete final sync")),
            Some(_) if self.seen.contains(&kept.key) => {}
            Some(chain) if chain.start_ns < kept.span.end_ns => findings.doubt(|| {
                format!("user {user}: sends were acknowledged after its final sync began")
            }),
            Some(chain) if self.has_unseen => findings.doubt(|| {
                let after = chain.after;
                format!("user {user}: its final sync begins after {after}, not all below was read")
            }),
            Some(_) => {
                findings.violation(Invariant::I1, &[kept.span.completion, self.line], || {
                    let (key, conv_seq) = (kept.key, kept.ack.conv_seq);
                    format!(
                        "{key}, acknowledged at {conv_seq}, is not in the final sync of user {user}"
                    )
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::invariants::testing::{Lines, found};
    use crate::{Invariant, Verdict, check};

    #[test]
    fn an_acknowledged_send_missing_in_a_final_sync_is_found() {
        let mut lines = Lines::default();
        lines.ack([1, 2], 1, 1, 1);
        lines.ack([1, 2], 1, 2, 2);
        lines.final_sync(1, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 2, 2)]);
        assert!(matches!(check(&lines.history()), Verdict::Unknown(_)));
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1), (2, [1, 2], 1, 2, 2)]);
        assert_eq!(check(&lines.history()), Verdict::Valid);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I1));
    }

    #[test]
    fn a_group_message_is_owed_to_its_members_only() {
        let mut lines = Lines::default();
        lines.create_group(7, 1, &[2]);
        lines.ack([0, 7], 1, 5, 2);
        lines.final_sync(1, &[(1, [0, 7], 0, 0, 1), (2, [0, 7], 1, 5, 2)]);
        lines.final_sync(2, &[(1, [0, 7], 0, 0, 1), (2, [0, 7], 1, 5, 2)]);
        lines.final_sync(3, &[]);
        assert_eq!(check(&lines.history()), Verdict::Valid);
        lines.final_sync(2, &[(1, [0, 7], 0, 0, 1)]);
        assert!(found(&lines.history()).contains(&Invariant::I1));
    }
}
