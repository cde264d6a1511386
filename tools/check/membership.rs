//! Who was a member of a group when, as far as the history tells. Knows no invariant.

use std::collections::{BTreeMap, HashMap, HashSet};

use aldis_wire::{ConversationKey, GroupId, UserId};

use crate::history::History;
use crate::model::{
    EVENT_CREATED, EVENT_DISSOLVED, EVENT_JOINED, EVENT_LEFT, EVENT_REMOVED, GroupChange,
    KIND_SYSTEM_GROUP, Outcome, Value,
};

/// One stay of a member in a group: the positions it may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stay {
    joined: u64,
    /// The position of leaving, which the leaver still gets.
    left: u64,
}

/// A member that an acknowledged change made, from then on until a leave may have begun.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    /// When the change was asked for; it may have been made long before it was acknowledged.
    begun_ns: u64,
    from_ns: u64,
    until_ns: u64,
}

/// Memberships of all groups.
#[derive(Debug, Default)]
pub struct Membership {
    stays: HashMap<(GroupId, UserId), Vec<Stay>>,
    acknowledged: HashMap<(GroupId, UserId), Vec<Acknowledged>>,
    /// Who was put out by others at some time: what was acknowledged to them says nothing of when.
    put_out: HashSet<(GroupId, UserId)>,
    /// Highest position up to which every entry of the group was seen by somebody.
    known_up_to: HashMap<GroupId, u64>,
}

impl Membership {
    /// From the events that anyone saw and from what was acknowledged.
    pub fn of(history: &History) -> Self {
        let mut membership = Self::default();
        membership.add_events(history);
        membership.add_acknowledged(history);
        membership
    }

    fn add_events(&mut self, history: &History) {
        let mut entries: BTreeMap<(GroupId, u64), &Value> = BTreeMap::new();
        for value in &history.values {
            if let Some(group) = value.key.conv.as_group() {
                entries.insert((group, value.conv_seq), value);
            }
        }
        for ((group, conv_seq), value) in entries {
            let known = self.known_up_to.entry(group).or_default();
            if conv_seq == *known + 1 {
                *known = conv_seq;
            }
            let Some(event) = value.event.as_ref().filter(|_| value.body.kind == KIND_SYSTEM_GROUP)
            else {
                continue;
            };
            if event.kind == EVENT_DISSOLVED {
                for ((of, user), stays) in &mut self.stays {
                    if *of == group
                        && let Some(stay) = stays.last_mut().filter(|stay| stay.left == u64::MAX)
                    {
                        stay.left = conv_seq;
                        self.put_out.insert((group, *user));
                    }
                }
            }
            for user in event.user_ids.iter().copied().map(UserId) {
                let stays = self.stays.entry((group, user)).or_default();
                match event.kind {
                    EVENT_CREATED | EVENT_JOINED => {
                        stays.push(Stay { joined: conv_seq, left: u64::MAX });
                    }
                    EVENT_LEFT | EVENT_REMOVED => {
                        if event.kind == EVENT_REMOVED {
                            self.put_out.insert((group, user));
                        }
                        if let Some(stay) = stays.last_mut() {
                            stay.left = conv_seq;
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn add_acknowledged(&mut self, history: &History) {
        for op in &history.group_ops {
            let Outcome::Ok(outcome) = &op.outcome else { continue };
            for user in &outcome.joined {
                let (begun_ns, from_ns) = (op.span.start_ns, op.span.end_ns);
                let entry = self.acknowledged.entry((outcome.group, *user)).or_default();
                entry.push(Acknowledged { begun_ns, from_ns, until_ns: u64::MAX });
            }
        }
        for op in &history.group_ops {
            let GroupChange::Leave { group } = op.change else { continue };
            if op.outcome == Outcome::Fail {
                continue;
            }
            let is_answered = matches!(op.outcome, Outcome::Ok(_));
            for stay in self.acknowledged.entry((group, op.actor)).or_default() {
                // One without an answer may take effect at any time later.
                if !is_answered || op.span.end_ns >= stay.begun_ns {
                    stay.until_ns = stay.until_ns.min(op.span.start_ns);
                }
            }
        }
    }

    /// Whether `user` is entitled to the entry at this position of the conversation, which was
    /// being stored during [`start_ns`, `end_ns`].
    pub fn is_entitled(
        &self,
        conv: ConversationKey,
        user: UserId,
        conv_seq: u64,
        (start_ns, end_ns): (u64, u64),
    ) -> bool {
        let Some(group) = conv.as_group() else { return conv.lo == user.0 || conv.hi == user.0 };
        self.is_member_at(group, user, conv_seq)
            || !self.put_out.contains(&(group, user))
                && self.acknowledged.get(&(group, user)).is_some_and(|stays| {
                    stays.iter().any(|stay| stay.from_ns < start_ns && end_ns < stay.until_ns)
                })
    }

    fn is_member_at(&self, group: GroupId, user: UserId, conv_seq: u64) -> bool {
        let stays = self.stays.get(&(group, user));
        stays.is_some_and(|stays| {
            stays.iter().any(|stay| (stay.joined..=stay.left).contains(&conv_seq))
        })
    }

    /// Whether `user` certainly may not see this position: all of the group's entries up to it are
    /// known and none lets the user in.
    pub fn is_outsider(&self, conv: ConversationKey, user: UserId, conv_seq: u64) -> bool {
        let Some(group) = conv.as_group() else { return conv.lo != user.0 && conv.hi != user.0 };
        let known = self.known_up_to.get(&group).copied().unwrap_or(0);
        conv_seq <= known && !self.is_member_at(group, user, conv_seq)
    }

    /// Everyone who ever was a member of some group, by group.
    pub fn members(&self) -> impl Iterator<Item = (GroupId, UserId)> + '_ {
        let by_ack = self.acknowledged.keys().filter(|key| !self.stays.contains_key(key));
        self.stays.keys().chain(by_ack).copied()
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{ClientMsgId, MsgId};

    use super::*;
    use crate::model::{Body, SendKey};
    use crate::record::GroupEvent;

    fn event(conv_seq: u64, kind: i64, users: &[u64]) -> Value {
        let conv = ConversationKey::group(GroupId(5));
        Value {
            key: SendKey { conv, sender: UserId(1), client_msg_id: ClientMsgId::default() },
            msg_id: MsgId(conv_seq).0,
            conv_seq,
            body: Body { kind: KIND_SYSTEM_GROUP, hash: 0 },
            event: Some(GroupEvent { kind, user_ids: users.to_vec() }),
        }
    }

    #[test]
    fn stays_follow_the_events_and_rejoining_begins_another() {
        let history = History {
            values: vec![
                event(4, EVENT_JOINED, &[2]),
                event(1, EVENT_CREATED, &[1, 2]),
                event(3, EVENT_LEFT, &[2]),
                event(2, EVENT_JOINED, &[3]),
            ],
            ..History::default()
        };
        let membership = Membership::of(&history);
        let conv = ConversationKey::group(GroupId(5));
        let at = |user, conv_seq| membership.is_entitled(conv, UserId(user), conv_seq, (0, 0));
        assert!(at(2, 1) && at(2, 3) && at(2, 4) && at(2, 9));
        assert!(!at(3, 1) && at(3, 2));
        assert!(membership.is_outsider(conv, UserId(3), 1));
        assert!(membership.is_outsider(conv, UserId(9), 4));
        // Nothing is known of later positions.
        assert!(!membership.is_outsider(conv, UserId(9), 5));
        assert_eq!(membership.members().count(), 3);
    }

    #[test]
    fn who_is_put_out_sees_no_more_and_a_dissolved_group_ends_for_all() {
        let history = History {
            values: vec![
                event(1, EVENT_CREATED, &[1, 2, 3]),
                event(2, EVENT_REMOVED, &[2]),
                event(4, EVENT_DISSOLVED, &[]),
                event(5, EVENT_JOINED, &[9]),
            ],
            ..History::default()
        };
        let membership = Membership::of(&history);
        let conv = ConversationKey::group(GroupId(5));
        let at = |user, conv_seq| membership.is_entitled(conv, UserId(user), conv_seq, (0, 0));
        assert!(at(2, 2) && !at(2, 3) && at(3, 4) && !at(3, 5) && !at(1, 5));
    }

    #[test]
    fn a_leave_counts_that_may_have_come_after_the_invitation() {
        let line = |t_ns, process, op, phase, result: &str| {
            let args = r#"{"user":1,"group_id":5,"member_ids":[2]}"#;
            let args = if process == "b" { r#"{"user":2,"group_id":5}"# } else { args };
            format!(
                r#"{{"run":"r","t_ns":{t_ns},"process":"{process}","op":"{op}","phase":"{phase}","id":1,"args":{args},"result":{result}}}"#
            )
        };
        let lines = [
            line(10, "a", "group_invite", "invoke", "null"),
            line(20, "b", "group_leave", "invoke", "null"),
            line(30, "b", "group_leave", "ok", "{}"),
            line(40, "a", "group_invite", "ok", r#"{"added_ids":[2]}"#),
        ];
        let membership = Membership::of(&History::parse("test", &lines.join("\n")));
        let conv = ConversationKey::group(GroupId(5));
        assert!(!membership.is_entitled(conv, UserId(2), 9, (50, 60)));
        let lines = [
            line(10, "b", "group_leave", "invoke", "null"),
            line(20, "b", "group_leave", "info", "null"),
            line(30, "a", "group_invite", "invoke", "null"),
            line(40, "a", "group_invite", "ok", r#"{"added_ids":[2]}"#),
        ];
        let membership = Membership::of(&History::parse("test", &lines.join("\n")));
        assert!(!membership.is_entitled(conv, UserId(2), 9, (50, 60)), "the leave came late");
        let membership =
            Membership::of(&History::parse("test", &[&lines[2][..], &lines[3]].join("\n")));
        assert!(membership.is_entitled(conv, UserId(2), 9, (50, 60)));
    }

    #[test]
    fn a_direct_conversation_has_its_two_members() {
        let membership = Membership::default();
        let conv = ConversationKey::direct(UserId(4), UserId(2));
        assert!(membership.is_entitled(conv, UserId(2), 1, (0, 0)));
        assert!(membership.is_outsider(conv, UserId(3), 1));
    }
}
