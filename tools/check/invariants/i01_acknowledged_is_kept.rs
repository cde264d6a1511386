//! I1: every acknowledged send is in every entitled member's final sync. A member without a final
//! sync begun after the acknowledgement leaves the question open. What anybody has seen was stored
//! as well, so it must be there too, a group's own entries among it; but a final sync that was over
//! before says nothing of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aldis_wire::{ConversationKey, UserId};

use crate::facts::{Facts, FinalSync};
use crate::findings::{Findings, Invariant};
use crate::history::LineRef;
use crate::model::{SendKey, Value, is_message};

/// An entry that was stored, as an acknowledgement or the first reader says.
#[derive(Clone, Copy)]
struct Kept {
    key: SendKey,
    conv_seq: u64,
    identity: Identity,
    is_acknowledged: bool,
    /// Start of the first try, if it is a message.
    since_ns: u64,
    /// When it was certainly stored.
    known_ns: u64,
    line: LineRef,
}

/// See the file's head.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let by_conversation = kept_by_conversation(facts);
    for (user, conversations) in conversations_by_user(facts, &by_conversation) {
        let check = UserCheck::new(facts, user);
        for conv in conversations {
            for kept in by_conversation.get(&conv).into_iter().flatten() {
                let stored_ns = (kept.since_ns, kept.known_ns);
                if facts.membership.is_entitled(conv, user, kept.conv_seq, stored_ns) {
                    check.expect(kept, findings);
                }
            }
        }
    }
}

/// What identifies an entry: the message, or the position of an entry that nobody sent.
type Identity = (SendKey, u64);

fn identity(value: &Value) -> Identity {
    let is_message = is_message(value.body.kind);
    (value.key, if is_message { 0 } else { value.conv_seq })
}

/// Every entry once, by its first acknowledgement, or else by who saw it first.
fn kept_by_conversation(facts: &Facts<'_>) -> BTreeMap<ConversationKey, Vec<Kept>> {
    let mut kept: HashMap<Identity, Kept> = HashMap::new();
    for (key, tries) in &facts.sends {
        let first = tries.attempts.first().map(|index| facts.history.attempts[*index].span);
        let since_ns = first.map_or(0, |span| span.start_ns);
        for (attempt, ack) in facts.acks(tries) {
            let (known_ns, line) = (attempt.span.end_ns, attempt.span.completion);
            let (key, conv_seq) = (*key, ack.conv_seq);
            let new = Kept {
                key,
                conv_seq,
                identity: (key, 0),
                is_acknowledged: true,
                since_ns,
                known_ns,
                line,
            };
            let place = kept.entry((key, 0)).or_insert(new);
            if known_ns < place.known_ns {
                *place = new;
            }
        }
    }
    for view in facts.views() {
        let (known_ns, line) = (view.span.end_ns, view.span.completion);
        for value in view.entries.iter().map(|seen| facts.value(seen.value)) {
            let tries = facts.sends.get(&value.key).and_then(|tries| tries.attempts.first());
            let since_ns = tries.map_or(0, |index| facts.history.attempts[*index].span.start_ns);
            let (key, conv_seq) = (value.key, value.conv_seq);
            let new = Kept {
                key,
                conv_seq,
                identity: identity(value),
                is_acknowledged: false,
                since_ns,
                known_ns,
                line,
            };
            let place = kept.entry(identity(value)).or_insert(new);
            if !place.is_acknowledged && known_ns < place.known_ns {
                *place = new;
            }
        }
    }
    let mut by_conversation: BTreeMap<ConversationKey, Vec<Kept>> = BTreeMap::new();
    for kept in kept.into_values() {
        by_conversation.entry(kept.key.conv).or_default().push(kept);
    }
    by_conversation.values_mut().for_each(|kept| kept.sort_by_key(|kept| kept.conv_seq));
    by_conversation
}

/// Which conversations each user was ever in, of those with entries.
fn conversations_by_user(
    facts: &Facts<'_>,
    kept: &BTreeMap<ConversationKey, Vec<Kept>>,
) -> BTreeMap<UserId, BTreeSet<ConversationKey>> {
    let mut of_user: BTreeMap<UserId, BTreeSet<ConversationKey>> = BTreeMap::new();
    for conv in kept.keys().filter(|conv| conv.as_group().is_none()) {
        of_user.entry(UserId(conv.lo)).or_default().insert(*conv);
        if !conv.is_own() {
            of_user.entry(UserId(conv.hi)).or_default().insert(*conv);
        }
    }
    for (group, user) in facts.membership.members() {
        let conv = ConversationKey::group(group);
        if kept.contains_key(&conv) {
            of_user.entry(user).or_default().insert(conv);
        }
    }
    of_user
}

struct UserCheck<'a> {
    user: UserId,
    last_word: Option<&'a FinalSync>,
    seen: HashSet<Identity>,
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
            check.seen.extend(page.entries.iter().map(|seen| identity(facts.value(seen.value))));
        }
        let mut below = 0;
        if let Some(mailbox) = facts.mailboxes.get(&user) {
            for observed in mailbox.range(..=chain.after).map(|(_, observed)| observed) {
                below += 1;
                check.seen.insert(identity(facts.value(observed.value)));
            }
        }
        check.has_unseen = below < chain.after;
        // What is in streams is read after the mailbox, which names them.
        let streams = facts.history.syncs.iter().filter(|page| {
            let is_later = page.span.start_ns >= chain.start_ns;
            page.is_final && page.stream != 0 && page.user == user && is_later
        });
        for page in streams {
            check.seen.extend(page.entries.iter().map(|seen| identity(facts.value(seen.value))));
        }
        check
    }

    fn expect(&self, kept: &Kept, findings: &mut Findings) {
        let user = self.user;
        match self.last_word {
            None => findings.doubt(|| format!("user {user} has no complete final sync")),
            Some(_) if self.seen.contains(&kept.identity) => {}
            Some(chain) if chain.start_ns < kept.known_ns && !kept.is_acknowledged => {}
            Some(chain) if chain.start_ns < kept.known_ns => findings.doubt(|| {
                format!("user {user}: sends were acknowledged after its final sync began")
            }),
            Some(chain) if self.has_unseen => findings.doubt(|| {
                let after = chain.after;
                format!("user {user}: its final sync begins after {after}, not all below was read")
            }),
            Some(_) => findings.violation(Invariant::I1, &[kept.line, self.line], || {
                let (key, conv_seq) = (kept.key, kept.conv_seq);
                let how = if kept.is_acknowledged { "acknowledged" } else { "seen" };
                format!("{key}, {how} at {conv_seq}, is not in the final sync of user {user}")
            }),
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

    #[test]
    fn what_one_reader_saw_is_owed_to_the_others_even_without_an_acknowledgement() {
        let mut lines = Lines::default();
        lines.unanswered([1, 2], 1, 1);
        lines.final_sync(1, &[]);
        lines.history_read(2, [1, 2], &[(1, 1, 1)]);
        lines.final_sync(2, &[(1, [1, 2], 1, 1, 1)]);
        assert_eq!(check(&lines.history()), Verdict::Valid, "it may have come meanwhile");
        lines.final_sync(1, &[]);
        assert!(found(&lines.history()).contains(&Invariant::I1));
    }

    #[test]
    fn what_concerns_one_user_alone_is_owed_to_nobody_else() {
        let mut lines = Lines::default();
        // `MsgType::SystemSelf`.
        lines.kind = 102;
        lines.final_sync(1, &[(1, [1, 0], 1, 0, 1)]);
        assert_eq!(check(&lines.history()), Verdict::Valid);
    }

    #[test]
    fn the_entries_of_a_group_itself_are_owed_to_its_members() {
        let mut lines = Lines::default();
        lines.create_group(7, 1, &[2]);
        lines.push(1, &[(1, [0, 7], 0, 0, 1)]);
        lines.final_sync(1, &[(1, [0, 7], 0, 0, 1)]);
        lines.final_sync(2, &[]);
        assert!(found(&lines.history()).contains(&Invariant::I1));
    }
}
