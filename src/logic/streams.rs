//! Who on this node follows which stream: group -> users with a session here who are members of it.
//! Knows where somebody's membership begins and up to which entry it is known, never what was said.
//!
//! Membership is learned from the store, with the head that it was read with, and from entries that
//! change it. Each entry of a stream names the entry before it that last changed who is a member: who
//! is known to be one at or after that place gets the entry, anybody else is compared with the store
//! first. So nothing is pushed outside of a stay, whatever was lost on the way.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use aldis_wire::{ConvSeq, GroupId, Seq, UserId};
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::job::Followed;
use crate::table::SessionTable;

/// Shards: many more than threads, so that two of them rarely want the same.
const SHARD_COUNT: usize = 64;

/// A follower, as this node knows it.
#[derive(Clone, Copy, Debug)]
struct Follower {
    /// What is above it is in the stream for the user.
    start: Seq,
    /// A member up to here for certain.
    known: Seq,
    /// When it was entered, in ticks.
    since: u64,
    /// An entry could not be given to it; the store is being asked.
    is_doubted: bool,
}

type Map<K, V> = HashMap<K, V, FixedState>;
type Followers = Map<UserId, Follower>;
/// What each user follows; few.
type Own = Map<UserId, SmallVec<[GroupId; 4]>>;

/// An entry of a stream, as far as it matters who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// Of which stream.
    pub group: GroupId,
    /// Its place.
    pub seq: Seq,
    /// The entry before it that last changed who is a member.
    pub member_seq: ConvSeq,
    /// It ends the group: nobody follows it after it.
    pub is_end: bool,
}

/// See the file's first lines. Locks: a shard of users, then one of groups, then the session table's or
/// the list of changes.
#[derive(Debug)]
pub struct StreamTable {
    groups: Box<[Mutex<Map<GroupId, Followers>>]>,
    /// What each user here follows, to find it when the last session ends.
    users: Box<[Mutex<Own>]>,
    /// Rises with every change, so that what was read before one can be told from what was after.
    ticks: AtomicU64,
    /// Streams that somebody here began to follow, or the last one ended to, if other nodes are told.
    changed: Mutex<Option<HashSet<GroupId, FixedState>>>,
}

impl Default for StreamTable {
    fn default() -> Self {
        Self {
            groups: (0..SHARD_COUNT).map(|_| Mutex::default()).collect(),
            users: (0..SHARD_COUNT).map(|_| Mutex::default()).collect(),
            ticks: AtomicU64::new(1),
            changed: Mutex::new(None),
        }
    }
}

impl StreamTable {
    /// Now, in ticks.
    pub fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// The user, who has a session here, is a member at `followed.head`.
    pub fn follow(&self, user: UserId, followed: &Followed) {
        let &Followed { group, start, head, .. } = followed;
        let mut users = self.users_of(user).lock();
        let since = self.tick();
        let mut groups = self.followers_of(group).lock();
        let new = Follower { start, known: head, since, is_doubted: false };
        let followers = groups.entry(group).or_default();
        if followers.is_empty() {
            self.note_change(group);
        }
        let follower = followers.entry(user).or_insert(new);
        if head >= follower.known {
            let since = if start > follower.start { since } else { follower.since };
            let start = start.max(follower.start);
            *follower = Follower { start, known: head, since, is_doubted: false };
        }
        follower.is_doubted = false;
        drop(groups);
        let own = users.entry(user).or_default();
        if !own.contains(&group) {
            own.push(group);
        }
    }

    /// The entry at `at` made the user a member, or the group a stream, if a session is here.
    pub fn begin(&self, table: &SessionTable, user: UserId, group: GroupId, at: Seq) {
        if table.has_any(user) {
            self.follow(user, &Followed { group, start: at, head: at, cursor: Seq(0) });
        }
    }

    /// The entry at `at` says that the user is no member any more.
    pub fn end(&self, user: UserId, group: GroupId, at: Seq) {
        let mut users = self.users_of(user).lock();
        let mut groups = self.followers_of(group).lock();
        let Some(followers) = groups.get_mut(&group) else { return };
        if followers.get(&user).is_none_or(|follower| follower.start >= at) {
            return;
        }
        self.remove(&mut groups, group, user);
        drop(groups);
        forget_one(&mut users, user, group);
    }

    /// What the store says that the user follows, as it was asked after `tick`: what was entered before
    /// and is not in it is over.
    pub fn reconcile(&self, user: UserId, followed: &[Followed], tick: u64) {
        for one in followed {
            self.follow(user, one);
        }
        let mut users = self.users_of(user).lock();
        let Some(own) = users.get(&user).cloned() else { return };
        for group in own {
            if followed.iter().any(|one| one.group == group) {
                continue;
            }
            let mut groups = self.followers_of(group).lock();
            let follower = groups.get(&group).and_then(|followers| followers.get(&user));
            if follower.is_none_or(|follower| follower.since < tick) {
                self.remove(&mut groups, group, user);
                drop(groups);
                forget_one(&mut users, user, group);
            }
        }
    }

    /// Forgets what the user follows, unless there is a session of it.
    pub fn leave(&self, table: &SessionTable, user: UserId) {
        let mut users = self.users_of(user).lock();
        if table.has_any(user) {
            return;
        }
        for group in users.remove(&user).unwrap_or_default() {
            self.remove(&mut self.followers_of(group).lock(), group, user);
        }
    }

    /// Calls `visit` with each follower who may have the entry: `true`, it is known to be a member;
    /// `false`, that has to be asked first.
    pub fn visit(
        &self,
        table: &SessionTable,
        entry: &StreamEntry,
        mut visit: impl FnMut(UserId, bool),
    ) {
        let mut gone = Vec::new();
        let mut groups = self.followers_of(entry.group).lock();
        let Some(followers) = groups.get_mut(&entry.group) else { return };
        for (&user, follower) in followers.iter_mut() {
            if entry.seq <= follower.start {
                continue;
            }
            let is_known = follower.known.0 >= entry.member_seq.0;
            if is_known {
                follower.known = follower.known.max(entry.seq);
                visit(user, true);
            } else if !std::mem::replace(&mut follower.is_doubted, true) {
                visit(user, false);
            }
            if entry.is_end || !table.has_any(user) {
                gone.push(user);
            }
        }
        drop(groups);
        for user in gone {
            if entry.is_end {
                self.end(user, entry.group, entry.seq);
            } else {
                self.leave(table, user);
            }
        }
    }

    /// Whether this node takes the user for a member.
    pub fn is_following(&self, user: UserId, group: GroupId) -> bool {
        let groups = self.followers_of(group).lock();
        groups.get(&group).is_some_and(|followers| followers.contains_key(&user))
    }

    /// From now on changes are noted, for other nodes.
    pub(crate) fn watch(&self) {
        self.changed.lock().get_or_insert_default();
    }

    /// What has changed since it was asked last, and whether somebody follows it now.
    pub(crate) fn take_changes(&self) -> Vec<(GroupId, bool)> {
        let taken = self.changed.lock().as_mut().map(std::mem::take).unwrap_or_default();
        let mut changes: Vec<_> =
            taken.into_iter().map(|group| (group, self.has_followers(group))).collect();
        changes.sort_unstable();
        changes
    }

    /// Streams that somebody here follows, ascending.
    pub(crate) fn followed(&self) -> Vec<GroupId> {
        let shards = self.groups.iter();
        let mut all: Vec<_> =
            shards.flat_map(|shard| shard.lock().keys().copied().collect::<Vec<_>>()).collect();
        all.sort_unstable();
        all
    }

    /// Who follows the stream here, ascending.
    pub(crate) fn followers(&self, group: GroupId) -> Vec<UserId> {
        let groups = self.followers_of(group).lock();
        let mut users: Vec<_> = groups
            .get(&group)
            .into_iter()
            .flat_map(|followers| followers.keys().copied())
            .collect();
        users.sort_unstable();
        users
    }

    /// Whether anybody here follows the stream.
    pub fn has_followers(&self, group: GroupId) -> bool {
        self.followers_of(group).lock().contains_key(&group)
    }

    /// Streams that somebody here follows.
    pub fn group_count(&self) -> usize {
        self.groups.iter().map(|shard| shard.lock().len()).sum()
    }

    fn remove(&self, groups: &mut Map<GroupId, Followers>, group: GroupId, user: UserId) {
        if let Some(followers) = groups.get_mut(&group) {
            followers.remove(&user);
            if followers.is_empty() {
                groups.remove(&group);
                self.note_change(group);
            }
        }
    }

    fn note_change(&self, group: GroupId) {
        if let Some(changed) = &mut *self.changed.lock() {
            changed.insert(group);
        }
    }

    fn followers_of(&self, group: GroupId) -> &Mutex<Map<GroupId, Followers>> {
        // Ids are dense, so their low bits spread evenly.
        &self.groups[group.0 as usize % SHARD_COUNT]
    }

    fn users_of(&self, user: UserId) -> &Mutex<Own> {
        &self.users[user.0 as usize % SHARD_COUNT]
    }
}

fn forget_one(users: &mut Own, user: UserId, group: GroupId) {
    if let Some(own) = users.get_mut(&user) {
        own.retain(|other| *other != group);
        if own.is_empty() {
            users.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{ConnId, DeviceClass, Epoch};

    use super::*;
    use crate::job::ReactorId;
    use crate::table::Online;

    const ADA: UserId = UserId(1);
    const GROUP: GroupId = GroupId(7);

    fn online() -> Online {
        let conn = ConnId { index: 1, generation: 0 };
        Online { reactor: ReactorId(0), conn, class: DeviceClass::Phone, epoch: Epoch(1) }
    }

    fn tables() -> (SessionTable, StreamTable) {
        let table = SessionTable::default();
        table.enter(ADA, online());
        (table, StreamTable::default())
    }

    fn visited(
        table: &SessionTable,
        streams: &StreamTable,
        seq: u64,
        member_seq: u64,
    ) -> Vec<bool> {
        let member_seq = ConvSeq(member_seq);
        let entry = StreamEntry { group: GROUP, seq: Seq(seq), member_seq, is_end: false };
        let mut found = Vec::new();
        streams.visit(table, &entry, |_, is_known| found.push(is_known));
        found
    }

    #[test]
    fn only_a_member_who_is_known_to_be_one_gets_an_entry() {
        let (table, streams) = tables();
        assert!(visited(&table, &streams, 5, 1).is_empty());
        streams.begin(&table, ADA, GROUP, Seq(5));
        assert!(visited(&table, &streams, 5, 1).is_empty(), "it is in the mailbox");
        assert_eq!(visited(&table, &streams, 6, 5), [true]);
        // Somebody came or went at 8, which was not heard of here.
        assert_eq!(visited(&table, &streams, 9, 8), [false]);
        assert!(visited(&table, &streams, 10, 8).is_empty(), "the store is asked once");
        let followed = Followed { group: GROUP, start: Seq(5), head: Seq(9), cursor: Seq(0) };
        streams.reconcile(ADA, &[followed], streams.tick());
        assert_eq!(visited(&table, &streams, 11, 8), [true]);
    }

    #[test]
    fn who_is_gone_gets_nothing_and_who_came_back_is_not_ended_by_what_is_old() {
        let (table, streams) = tables();
        streams.begin(&table, ADA, GROUP, Seq(5));
        streams.end(ADA, GROUP, Seq(8));
        assert!(!streams.is_following(ADA, GROUP) && !streams.has_followers(GROUP));
        streams.begin(&table, ADA, GROUP, Seq(12));
        streams.end(ADA, GROUP, Seq(8));
        assert_eq!(visited(&table, &streams, 13, 12), [true]);
        // What was read before the user came in does not say that it is out.
        let tick = streams.tick();
        streams.end(ADA, GROUP, Seq(20));
        streams.begin(&table, ADA, GROUP, Seq(21));
        streams.reconcile(ADA, &[], tick);
        assert!(streams.is_following(ADA, GROUP));
        streams.reconcile(ADA, &[], streams.tick());
        assert!(!streams.is_following(ADA, GROUP));
    }

    #[test]
    fn nobody_follows_without_a_session_or_after_the_end() {
        let (table, streams) = tables();
        streams.begin(&table, ADA, GROUP, Seq(5));
        streams.leave(&table, ADA);
        assert!(streams.is_following(ADA, GROUP), "there is a session");
        table.leave(ADA, online());
        assert_eq!(visited(&table, &streams, 6, 5), [true]);
        assert_eq!(streams.group_count(), 0, "it was noticed that there is none");
        streams.begin(&table, ADA, GROUP, Seq(7));
        assert_eq!(streams.group_count(), 0);
        table.enter(ADA, online());
        streams.begin(&table, ADA, GROUP, Seq(7));
        let entry = StreamEntry { group: GROUP, seq: Seq(8), member_seq: ConvSeq(7), is_end: true };
        streams.visit(&table, &entry, |_, is_known| assert!(is_known));
        assert_eq!(streams.group_count(), 0);
    }
}
