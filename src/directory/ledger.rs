//! The sessions of this node that one server has to know: which of them it must be told again and
//! when, and which it must be told are over. Knows no connection.
//!
//! A directory forgets: Redis is restarted, flushed, fails over to a replica that lacks the newest writes. So
//! each session is announced again from time to time, and all at once when something was lost.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use aldis_logic::job::{BootId, NodeId, SessionRecord};
use aldis_wire::{DeviceClass, Epoch, UserId};
use foldhash::fast::FixedState;

/// Each session is announced again after 4 to 8 minutes, differing by user so that a storm of logins
/// does not come back as one of announcements. ms
const REASSERT_MS_MIN: u64 = 240_000;
/// See above. ms
const REASSERT_SPREAD_MS: u64 = 240_000;
/// Pause after an announcement that came to nothing although the server answers. ms
const RETRY_MS: u64 = 1_000;
/// Ended sessions that wait to be taken back: those of an outage. More are left to lie until the next
/// login of their users replaces them, or for an hour; senders find nobody there.
pub const OWED_MAX: usize = 65_536;

type Key = (UserId, DeviceClass);

/// See the file's first line.
#[derive(Debug)]
pub struct Ledger {
    life: (NodeId, BootId),
    sessions: HashMap<Key, Own, FixedState>,
    due: BTreeSet<(u64, Key)>,
    owed: HashSet<(Key, Epoch), FixedState>,
    owed_at_ms: u64,
    /// The server may have forgotten everything, and was not told all again yet.
    is_asserting: bool,
}

#[derive(Clone, Copy, Debug)]
struct Own {
    epoch: Epoch,
    due_ms: u64,
}

impl Ledger {
    /// Of the sessions of one life of a node; empty.
    pub fn new(node: NodeId, boot: BootId) -> Self {
        Self {
            life: (node, boot),
            sessions: HashMap::default(),
            due: BTreeSet::new(),
            owed: HashSet::default(),
            owed_at_ms: 0,
            is_asserting: false,
        }
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// A session begins. False, and nothing changes, if a newer one of its class is there.
    pub fn enter(&mut self, now_ms: u64, record: &SessionRecord) -> bool {
        let is_fenced = |own: &Own| own.epoch > record.epoch;
        if self.sessions.get(&key_of(record)).is_some_and(is_fenced) {
            return false;
        }
        // What ended under this epoch is not owed any more.
        self.owed.remove(&(key_of(record), record.epoch));
        self.put(key_of(record), record.epoch, next_due_ms(now_ms, record.user));
        true
    }

    /// A session ended.
    pub fn leave(&mut self, record: &SessionRecord) {
        if let Entry::Occupied(entry) = self.sessions.entry(key_of(record))
            && entry.get().epoch == record.epoch
        {
            let own = entry.remove();
            self.due.remove(&(own.due_ms, key_of(record)));
        }
        self.check_invariants();
    }

    /// The server does not know of a session, or it is not known whether it does.
    pub fn retry(&mut self, now_ms: u64, record: &SessionRecord) {
        let key = key_of(record);
        if self.sessions.get(&key).is_some_and(|own| own.epoch == record.epoch) {
            self.put(key, record.epoch, now_ms + RETRY_MS);
        }
    }

    /// The server may not know of a session that lives.
    pub fn assert_one(&mut self, now_ms: u64, record: &SessionRecord) {
        if self.enter(now_ms, record) {
            self.put(key_of(record), record.epoch, now_ms);
        }
    }

    /// The server may not know that a session ended.
    pub fn owe_removal(&mut self, now_ms: u64, record: &SessionRecord) {
        self.owed_at_ms = now_ms + RETRY_MS;
        if self.owed.len() < OWED_MAX {
            self.owed.insert((key_of(record), record.epoch));
        }
    }

    /// The server may have forgotten everything.
    pub fn assert_all(&mut self, now_ms: u64) {
        self.is_asserting = !self.sessions.is_empty();
        let owns = self.sessions.iter_mut();
        self.due = owns
            .map(|(key, own)| {
                own.due_ms = now_ms;
                (now_ms, *key)
            })
            .collect();
        self.check_invariants();
    }

    /// Whether the server was just told the last of what it may have forgotten; says so once.
    pub fn take_asserted(&mut self, now_ms: u64) -> bool {
        let is_over = self.due.first().is_none_or(|(due_ms, _)| *due_ms > now_ms);
        is_over && std::mem::take(&mut self.is_asserting)
    }

    /// Sessions to be announced now, those that have waited longest first.
    pub fn take_due(&mut self, now_ms: u64, count_max: usize) -> Vec<SessionRecord> {
        let mut records = Vec::new();
        while records.len() < count_max
            && let Some((due_ms, key)) = self.due.first().copied()
            && due_ms <= now_ms
        {
            let Some(epoch) = self.sessions.get(&key).map(|own| own.epoch) else { break };
            self.put(key, epoch, next_due_ms(now_ms, key.0));
            records.push(self.record(key, epoch));
        }
        records
    }

    /// Sessions to be taken back now.
    pub fn take_owed(&mut self, now_ms: u64, count_max: usize) -> Vec<SessionRecord> {
        if now_ms < self.owed_at_ms {
            return Vec::new();
        }
        let taken: Vec<_> = self.owed.iter().take(count_max).copied().collect();
        for owed in &taken {
            self.owed.remove(owed);
        }
        if self.owed.is_empty() {
            self.owed.shrink_to(0);
        }
        taken.into_iter().map(|(key, epoch)| self.record(key, epoch)).collect()
    }

    /// When there is something to tell. ms
    pub fn poll_timeout(&self) -> Option<u64> {
        let owed_at_ms = (!self.owed.is_empty()).then_some(self.owed_at_ms);
        let due_ms = self.due.first().map(|(due_ms, _)| *due_ms);
        owed_at_ms.into_iter().chain(due_ms).min()
    }

    /// Takes everything out: the sessions with their times, and what is owed.
    pub fn take_all(&mut self) -> (Vec<(SessionRecord, u64)>, Vec<SessionRecord>) {
        let life = std::mem::replace(self, Self::new(self.life.0, self.life.1));
        let sessions = life.sessions.iter();
        let sessions = sessions.map(|(key, own)| (life.record(*key, own.epoch), own.due_ms));
        let owed = life.owed.iter().map(|(key, epoch)| life.record(*key, *epoch));
        (sessions.collect(), owed.collect())
    }

    /// Puts back what `take_all` gave.
    pub fn restore(&mut self, record: &SessionRecord, due_ms: u64) {
        self.put(key_of(record), record.epoch, due_ms);
    }

    fn put(&mut self, key: Key, epoch: Epoch, due_ms: u64) {
        if let Some(old) = self.sessions.insert(key, Own { epoch, due_ms }) {
            self.due.remove(&(old.due_ms, key));
        }
        self.due.insert((due_ms, key));
        self.check_invariants();
    }

    fn record(&self, (user, class): Key, epoch: Epoch) -> SessionRecord {
        let (node, boot) = self.life;
        SessionRecord { user, class, epoch, node, boot }
    }

    fn check_invariants(&self) {
        debug_assert_eq!(self.sessions.len(), self.due.len(), "each session is due once");
    }
}

fn key_of(record: &SessionRecord) -> Key {
    (record.user, record.class)
}

fn next_due_ms(now_ms: u64, user: UserId) -> u64 {
    // A multiplier of Knuth's: neighbouring ids end up far apart.
    let spread = user.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    now_ms + REASSERT_MS_MIN + spread % REASSERT_SPREAD_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(user: u64, epoch: u64) -> SessionRecord {
        SessionRecord {
            user: UserId(user),
            class: DeviceClass::Phone,
            epoch: Epoch(epoch),
            node: NodeId(1),
            boot: BootId(2),
        }
    }

    fn ledger(users: u64) -> Ledger {
        let mut ledger = Ledger::new(NodeId(1), BootId(2));
        for user in 0..users {
            assert!(ledger.enter(0, &record(user, 5)));
        }
        ledger
    }

    #[test]
    fn every_session_is_told_again_within_ten_minutes() {
        let mut ledger = ledger(1_000);
        assert_eq!(ledger.take_due(REASSERT_MS_MIN - 1, 10), []);
        let mut told = HashSet::new();
        for now_ms in (0..600_000).step_by(500) {
            told.extend(ledger.take_due(now_ms, 100).iter().map(|record| record.user));
        }
        assert_eq!(told.len(), 1_000);
    }

    #[test]
    fn after_a_loss_all_are_told_at_once_but_paced() {
        let mut ledger = ledger(1_000);
        ledger.assert_all(1_000);
        assert_eq!(ledger.poll_timeout(), Some(1_000));
        assert_eq!(ledger.take_due(1_000, 600).len(), 600);
        assert!(!ledger.take_asserted(1_000), "there is more to tell");
        assert_eq!(ledger.take_due(1_000, 600).len(), 400);
        assert_eq!(ledger.take_due(1_000, 600), []);
        assert_eq!(ledger.count(), 1_000);
        assert!(ledger.take_asserted(1_000) && !ledger.take_asserted(1_000), "once");
    }

    #[test]
    fn older_epochs_change_nothing() {
        let mut ledger = ledger(1);
        assert!(!ledger.enter(0, &record(0, 4)));
        ledger.leave(&record(0, 4));
        ledger.retry(0, &record(0, 4));
        ledger.assert_all(0);
        assert_eq!(ledger.take_due(0, 10), [record(0, 5)]);
        ledger.leave(&record(0, 5));
        assert_eq!((ledger.count(), ledger.poll_timeout()), (0, None));
    }

    #[test]
    fn what_came_to_nothing_is_tried_again_soon() {
        let mut ledger = ledger(2);
        ledger.retry(500, &record(1, 5));
        assert_eq!(ledger.poll_timeout(), Some(500 + RETRY_MS));
        assert_eq!(ledger.take_due(500 + RETRY_MS, 10), [record(1, 5)]);
        ledger.owe_removal(0, &record(1, 4));
        assert_eq!(ledger.poll_timeout(), Some(RETRY_MS));
        assert_eq!(ledger.take_owed(RETRY_MS - 1, 10), []);
        assert_eq!(ledger.take_owed(RETRY_MS, 10), [record(1, 4)]);
        assert_eq!(ledger.take_owed(RETRY_MS, 10), []);
    }

    #[test]
    fn everything_can_move_elsewhere() {
        let (mut old, mut new) = (ledger(3), ledger(0));
        old.owe_removal(0, &record(7, 1));
        let (sessions, owed) = old.take_all();
        assert_eq!((old.count(), old.poll_timeout()), (0, None));
        assert_eq!((sessions.len(), owed.as_slice()), (3, [record(7, 1)].as_slice()));
        for (record, due_ms) in sessions {
            new.restore(&record, due_ms);
        }
        assert_eq!(new.count(), 3);
    }
}
