//! Which nodes follow which streams: what other nodes said, and what is to be said to them. Knows no
//! message's form and no session.
//!
//! It travels over the link itself, so that it needs no directory and is over with the link. A node
//! that has said nothing counts as one that follows everything. What is said too late, because
//! somebody only just began to follow, is made up for by a look into the store a moment later.

use std::collections::{BTreeMap, HashSet, VecDeque};

use aldis_wire::{GroupId, node_pb};
use foldhash::fast::FixedState;

use crate::job::NodeId;

/// How often others are told of what has changed. ms
const TELL_INTERVAL_MS: u64 = 200;
/// How long after others were told that somebody follows a stream here its followers are compared with
/// the store: until then others may have left this node out. ms
const CHECK_AFTER_MS: u64 = 1_000;
/// Streams that one message names: some 5 KiB.
pub(super) const NAMED_MAX: usize = 1_000;
/// Streams whose followers wait to be compared. More are left to the usual head checks.
const CHECKS_MAX: usize = 4_096;

/// See the file's first lines.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Of nodes that have said what they follow.
    heard: BTreeMap<NodeId, HashSet<GroupId, FixedState>>,
    tell_at_ms: u64,
    checks: VecDeque<(u64, GroupId)>,
}

impl Interest {
    /// Whether entries of the stream go to this node.
    pub fn wants(&self, node: NodeId, group: GroupId) -> bool {
        self.heard.get(&node).is_none_or(|groups| groups.contains(&group))
    }

    /// An entry on its way to the node makes somebody there follow the stream.
    pub fn expect(&mut self, node: NodeId, group: GroupId) {
        if let Some(groups) = self.heard.get_mut(&node) {
            groups.insert(group);
        }
    }

    /// A node said what it follows.
    pub fn handle_follows(&mut self, node: NodeId, follows: &node_pb::Follows) {
        if follows.is_first {
            self.heard.insert(node, HashSet::default());
        }
        let Some(groups) = self.heard.get_mut(&node) else { return };
        groups.extend(follows.begun.iter().map(|&group| GroupId(group)));
        for &group in &follows.ended {
            groups.remove(&GroupId(group));
        }
    }

    /// The session with the node is over: what it said is void.
    pub fn forget(&mut self, node: NodeId) {
        self.heard.remove(&node);
    }

    /// When others are told next, or followers are due. ms
    pub fn poll_timeout(&self) -> u64 {
        let check = self.checks.front().map_or(u64::MAX, |&(at_ms, _)| at_ms);
        self.tell_at_ms.min(check)
    }

    /// Others are to be told at once.
    pub fn hasten(&mut self) {
        self.tell_at_ms = 0;
    }

    /// Whether others are to be told now what has changed.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        let is_due = self.tell_at_ms <= now_ms;
        if is_due {
            self.tell_at_ms = now_ms + TELL_INTERVAL_MS;
        }
        is_due
    }

    /// Others were told that the stream is followed here.
    pub fn note_told(&mut self, now_ms: u64, group: GroupId) {
        if self.checks.len() < CHECKS_MAX {
            self.checks.push_back((now_ms + CHECK_AFTER_MS, group));
        }
    }

    /// The next stream whose followers here are to be compared with the store.
    pub fn take_check(&mut self, now_ms: u64) -> Option<GroupId> {
        let &(_, group) = self.checks.front().filter(|(at_ms, _)| *at_ms <= now_ms)?;
        self.checks.pop_front();
        Some(group)
    }
}

/// What is said of a list, in messages of a size.
pub(super) fn messages(
    begun: &[GroupId],
    ended: &[GroupId],
    is_whole: bool,
) -> Vec<node_pb::Follows> {
    let ids = |groups: &[GroupId]| groups.iter().map(|group| group.0).collect::<Vec<_>>();
    let mut all: Vec<node_pb::Follows> = Vec::new();
    for begun in begun.chunks(NAMED_MAX) {
        all.push(node_pb::Follows { begun: ids(begun), ..Default::default() });
    }
    for ended in ended.chunks(NAMED_MAX) {
        all.push(node_pb::Follows { ended: ids(ended), ..Default::default() });
    }
    if is_whole {
        if all.is_empty() {
            all.push(node_pb::Follows::default());
        }
        if let Some(first) = all.first_mut() {
            first.is_first = true;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);

    fn groups(count: u64) -> Vec<GroupId> {
        (1..=count).map(GroupId).collect()
    }

    #[test]
    fn who_has_said_nothing_follows_everything_and_then_what_it_says() {
        let mut interest = Interest::default();
        assert!(interest.wants(NODE, GroupId(7)));
        for said in messages(&[], &[], true) {
            interest.handle_follows(NODE, &said);
        }
        assert!(!interest.wants(NODE, GroupId(7)));
        interest.expect(NODE, GroupId(7));
        assert!(interest.wants(NODE, GroupId(7)));
        for said in messages(&[GroupId(8)], &[GroupId(7)], false) {
            interest.handle_follows(NODE, &said);
        }
        assert!(!interest.wants(NODE, GroupId(7)) && interest.wants(NODE, GroupId(8)));
        interest.forget(NODE);
        assert!(interest.wants(NODE, GroupId(7)));
    }

    #[test]
    fn a_long_list_is_said_in_parts_of_which_the_first_voids_what_was_said() {
        let mut interest = Interest::default();
        interest.handle_follows(NODE, &messages(&[GroupId(9_999)], &[], true)[0]);
        let parts = messages(&groups(2_500), &[], true);
        assert_eq!(parts.len(), 3);
        for part in &parts {
            interest.handle_follows(NODE, part);
        }
        assert!(interest.wants(NODE, GroupId(2_500)) && !interest.wants(NODE, GroupId(9_999)));
    }

    #[test]
    fn followers_are_compared_a_moment_after_others_were_told() {
        let mut interest = Interest::default();
        assert!(interest.is_due(0) && !interest.is_due(TELL_INTERVAL_MS - 1));
        interest.note_told(0, GroupId(7));
        assert_eq!(interest.take_check(CHECK_AFTER_MS - 1), None);
        assert_eq!(interest.take_check(CHECK_AFTER_MS), Some(GroupId(7)));
        assert_eq!(interest.poll_timeout(), TELL_INTERVAL_MS);
    }
}
