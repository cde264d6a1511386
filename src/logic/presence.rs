//! Who of a reactor's sessions wants to hear of whose coming and going, what they know, and when it is
//! looked at again. That somebody came or went is a hint; where users are is for the directory to say,
//! which forgets a node that died. Pure: asks nobody and tells nobody.
//!
//! What somebody does within [`SETTLE_MS`] is told once: who comes is looked at soon, who goes only after
//! that time, and nobody is told of one user more often.

use std::collections::{BTreeSet, HashMap, VecDeque};

use aldis_wire::{ConnId, DeviceClass, UserId};
use foldhash::fast::FixedState;
use smallvec::SmallVec;

/// Time for somebody who goes to come back before anybody is told. ms
pub(crate) const SETTLE_MS: u64 = 3_000;
/// Each user that is watched is looked at once in such a time although nobody said anything: hints get
/// lost. ms
const ROUND_MS: u64 = 30_000;
/// Spread of the above, so that those who came together are not looked at together. ms
const ROUND_SPREAD_MS: u64 = 8_000;
/// Subscriptions of one reactor's sessions together: some 100 MiB.
const WATCHES_MAX: usize = 1 << 20;
/// Hints that wait to be passed on. More are lost, and rounds find out.
const HINTS_MAX: usize = 16_384;

/// Device classes of which somebody has a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes(u8);

impl Classes {
    pub fn insert(&mut self, class: DeviceClass) {
        self.0 |= 1 << class.number();
    }

    pub fn iter(self) -> impl Iterator<Item = DeviceClass> {
        DeviceClass::ALL.into_iter().filter(move |class| self.0 & 1 << class.number() != 0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it lacks some of the others.
    fn lacks(self, others: Classes) -> bool {
        others.0 & !self.0 != 0
    }
}

/// Users of whom something may be new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// A session of theirs began.
    pub came: Vec<UserId>,
    /// One ended.
    pub left: Vec<UserId>,
}

impl Hints {
    /// What it takes in memory, bytes, roughly.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + (self.came.len() + self.left.len()) * size_of::<UserId>()
    }

    fn has_room(&self) -> bool {
        self.came.len() + self.left.len() < HINTS_MAX
    }

    pub(crate) fn came(&mut self, user: UserId) {
        if self.has_room() {
            self.came.push(user);
        }
    }

    pub(crate) fn left(&mut self, user: UserId) {
        if self.has_room() {
            self.left.push(user);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.came.is_empty() && self.left.is_empty()
    }
}

/// Somebody whom sessions watch.
#[derive(Debug)]
struct Watched {
    watchers: SmallVec<[ConnId; 1]>,
    /// What the watchers know; `None`: not that somebody knows all of it.
    told: Option<Classes>,
    /// When the user is looked at; stands in `dues` too. Mono ms.
    due_ms: u64,
    /// From when on it is believed that somebody has gone.
    settled_ms: Option<u64>,
    /// Nobody is told before.
    not_before_ms: u64,
}

/// What is to be told to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub user: UserId,
    pub classes: Classes,
    pub watchers: SmallVec<[ConnId; 1]>,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub(crate) struct Board {
    watched: HashMap<UserId, Watched, FixedState>,
    dues: BTreeSet<(u64, UserId)>,
    changes: VecDeque<Change>,
    watch_count: usize,
}

impl Board {
    /// Whether so many more fit.
    pub fn has_room(&self, count: usize) -> bool {
        self.watch_count + count <= WATCHES_MAX
    }

    /// The session watches the user from now on.
    pub fn watch(&mut self, now_ms: u64, conn: ConnId, user: UserId) {
        let due_ms = now_ms + ROUND_MS;
        let watched = self.watched.entry(user).or_insert_with(|| Watched {
            watchers: SmallVec::new(),
            told: None,
            due_ms,
            settled_ms: None,
            not_before_ms: 0,
        });
        self.dues.insert((watched.due_ms, user));
        watched.watchers.push(conn);
        self.watch_count += 1;
    }

    /// No longer.
    pub fn unwatch(&mut self, conn: ConnId, user: UserId) {
        let Some(watched) = self.watched.get_mut(&user) else { return };
        let before = watched.watchers.len();
        watched.watchers.retain(|watcher| *watcher != conn);
        self.watch_count -= before - watched.watchers.len();
        if watched.watchers.is_empty() {
            self.dues.remove(&(watched.due_ms, user));
            self.watched.remove(&user);
        }
    }

    /// A session that watches the user was told this.
    pub fn note_told(&mut self, now_ms: u64, user: UserId, classes: Classes) {
        let Some(watched) = self.watched.get_mut(&user) else { return };
        match watched.told {
            None => watched.told = Some(classes),
            Some(told) if told == classes => {}
            // Others know something else.
            Some(_) => self.look_at(user, now_ms),
        }
    }

    /// What was to be told was not.
    pub fn note_untold(&mut self, user: UserId) {
        if let Some(watched) = self.watched.get_mut(&user) {
            watched.told = None;
        }
    }

    /// Something may be new.
    pub fn handle_hints(&mut self, now_ms: u64, hints: &Hints) {
        for &user in &hints.came {
            self.look_at(user, now_ms);
        }
        for &user in &hints.left {
            self.doubt(user, now_ms + SETTLE_MS);
        }
    }

    /// A node is gone, whoever was there with it. It was silent for longer than anybody needs to come
    /// back.
    pub fn handle_departure(&mut self, now_ms: u64) {
        let users: Vec<UserId> = self.watched.keys().copied().collect();
        for user in users {
            self.doubt(user, now_ms);
        }
    }

    /// When somebody is to be looked at, mono ms.
    pub fn due_at_ms(&self) -> Option<u64> {
        self.dues.first().map(|(due_ms, _)| *due_ms)
    }

    /// Who is to be looked at now.
    pub fn take_due(&mut self, now_ms: u64, count_max: usize) -> Vec<UserId> {
        let mut users = Vec::new();
        while users.len() < count_max
            && let Some(&(due_ms, user)) = self.dues.first()
            && due_ms <= now_ms
        {
            users.push(user);
            let spread_ms = user.0 % ROUND_SPREAD_MS;
            let again_ms = now_ms + ROUND_MS + spread_ms;
            let settled_ms = self.watched.get(&user).and_then(|watched| watched.settled_ms);
            let later_ms = settled_ms.filter(|at_ms| *at_ms > now_ms).unwrap_or(again_ms);
            self.set_due(user, later_ms);
        }
        users
    }

    /// Where the user has sessions now.
    pub fn handle_found(&mut self, now_ms: u64, user: UserId, classes: Classes) {
        let Some(watched) = self.watched.get_mut(&user) else { return };
        if watched.told == Some(classes) {
            watched.settled_ms = watched.settled_ms.filter(|at_ms| *at_ms > now_ms);
            return;
        }
        let has_gone = watched.told.is_some_and(|told| classes.lacks(told));
        let is_settled = watched.settled_ms.is_some_and(|at_ms| at_ms <= now_ms);
        if has_gone && !is_settled {
            // If nobody said so, the directory may have lost sight of it for a moment.
            if watched.settled_ms.is_none() {
                self.doubt(user, now_ms + SETTLE_MS);
            }
            return;
        }
        if now_ms < watched.not_before_ms {
            let at_ms = watched.not_before_ms;
            return self.look_at(user, at_ms);
        }
        watched.settled_ms = watched.settled_ms.filter(|at_ms| *at_ms > now_ms);
        watched.not_before_ms = now_ms + SETTLE_MS;
        watched.told = Some(classes);
        let watchers = watched.watchers.clone();
        self.changes.push_back(Change { user, classes, watchers });
    }

    /// The next things to tell, for so many watchers at most.
    pub fn take_changes(&mut self, watchers_max: usize) -> Vec<Change> {
        let (mut taken, mut count) = (Vec::new(), 0);
        while count < watchers_max
            && let Some(mut change) = self.changes.pop_front()
        {
            if change.watchers.len() > watchers_max - count {
                let rest = change.watchers.drain(watchers_max - count..).collect();
                self.changes.push_front(Change { watchers: rest, ..change.clone() });
            }
            count += change.watchers.len();
            taken.push(change);
        }
        taken
    }

    /// Whether there is something to tell.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The user is looked at by then.
    fn look_at(&mut self, user: UserId, at_ms: u64) {
        if self.watched.get(&user).is_some_and(|watched| at_ms < watched.due_ms) {
            self.set_due(user, at_ms);
        }
    }

    /// The user is looked at at this time, or later, and believed to have gone if nobody is found then.
    fn doubt(&mut self, user: UserId, at_ms: u64) {
        if let Some(watched) = self.watched.get_mut(&user) {
            watched.settled_ms = Some(at_ms);
            self.look_at(user, at_ms);
        }
    }

    fn set_due(&mut self, user: UserId, at_ms: u64) {
        let Some(watched) = self.watched.get_mut(&user) else { return };
        self.dues.remove(&(watched.due_ms, user));
        watched.due_ms = at_ms;
        self.dues.insert((at_ms, user));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: UserId = UserId(8_000);

    fn conn(index: u32) -> ConnId {
        ConnId { index, generation: 0 }
    }

    fn classes(list: &[DeviceClass]) -> Classes {
        let mut classes = Classes::default();
        list.iter().for_each(|class| classes.insert(*class));
        classes
    }

    fn came() -> Hints {
        Hints { came: vec![ADA], left: vec![] }
    }

    fn left() -> Hints {
        Hints { came: vec![], left: vec![ADA] }
    }

    /// A board on which one session watches Ada and knows this.
    fn board(told: Classes) -> Board {
        let mut board = Board::default();
        board.watch(0, conn(1), ADA);
        board.note_told(0, ADA, told);
        board
    }

    /// Who is told what when the user is looked at, if that is due.
    fn look(board: &mut Board, now_ms: u64, found: Classes) -> Vec<Classes> {
        for user in board.take_due(now_ms, 10) {
            board.handle_found(now_ms, user, found);
        }
        board.take_changes(100).into_iter().map(|change| change.classes).collect()
    }

    #[test]
    fn who_comes_is_told_at_once_and_who_goes_after_a_while() {
        let (none, phone) = (classes(&[]), classes(&[DeviceClass::Phone]));
        let mut board = board(none);
        assert_eq!(look(&mut board, 10, none), []);
        board.handle_hints(10, &came());
        assert_eq!(look(&mut board, 10, phone), [phone]);
        board.handle_hints(5_000, &left());
        assert_eq!(look(&mut board, 5_000 + SETTLE_MS - 1, none), [], "not yet");
        assert_eq!(look(&mut board, 5_000 + SETTLE_MS, none), [none]);
        assert_eq!(board.due_at_ms(), Some(5_000 + SETTLE_MS + ROUND_MS));
    }

    #[test]
    fn a_flap_is_not_told_and_nobody_is_told_of_one_user_all_the_time() {
        let (none, phone) = (classes(&[]), classes(&[DeviceClass::Phone]));
        let mut board = board(phone);
        board.handle_hints(0, &left());
        board.handle_hints(1_000, &came());
        for now_ms in [1_000, SETTLE_MS, ROUND_MS] {
            assert_eq!(look(&mut board, now_ms, phone), []);
        }
        let mut told = 0;
        for now_ms in (100_000..130_000).step_by(100) {
            let is_there = now_ms / 100 % 2 == 0;
            board.handle_hints(now_ms, &if is_there { came() } else { left() });
            told += look(&mut board, now_ms, if is_there { phone } else { none }).len();
        }
        assert!(told <= 10, "{told}");
    }

    #[test]
    fn what_the_directory_lost_for_a_moment_is_not_told() {
        let (none, phone) = (classes(&[]), classes(&[DeviceClass::Phone]));
        let mut board = board(phone);
        assert_eq!(look(&mut board, ROUND_MS, none), [], "nobody said so");
        assert_eq!(look(&mut board, ROUND_MS + SETTLE_MS, phone), []);
        let at_ms = 3 * ROUND_MS;
        assert_eq!(look(&mut board, at_ms, none), []);
        assert_eq!(look(&mut board, at_ms + SETTLE_MS, none), [none], "nor is it for ever");
    }

    #[test]
    fn a_node_that_is_gone_takes_its_users_with_it_at_once() {
        let (none, phone) = (classes(&[]), classes(&[DeviceClass::Phone]));
        let mut board = board(phone);
        board.handle_departure(500);
        assert_eq!(look(&mut board, 500, none), [none]);
    }

    #[test]
    fn a_storm_is_looked_at_and_told_in_pieces() {
        let none = classes(&[]);
        let mut board = Board::default();
        for user in 0..500 {
            for watcher in 0..3 {
                board.watch(0, conn(watcher), UserId(user));
            }
            board.note_told(0, UserId(user), classes(&[DeviceClass::Web]));
        }
        board.handle_hints(0, &Hints { came: vec![], left: (0..500).map(UserId).collect() });
        let mut looked = 0;
        while board.due_at_ms().is_some_and(|due_ms| due_ms <= SETTLE_MS) {
            let users = board.take_due(SETTLE_MS, 64);
            assert!(users.len() <= 64);
            looked += users.len();
            users.into_iter().for_each(|user| board.handle_found(SETTLE_MS, user, none));
        }
        assert_eq!(looked, 500);
        let mut told = 0;
        while board.has_changes() {
            let count: usize = board.take_changes(100).iter().map(|c| c.watchers.len()).sum();
            assert!(count <= 100);
            told += count;
        }
        assert_eq!(told, 1_500);
        for user in 0..500 {
            (0..3).for_each(|watcher| board.unwatch(conn(watcher), UserId(user)));
        }
        assert!(board.watched.is_empty() && board.dues.is_empty() && board.watch_count == 0);
    }
}
