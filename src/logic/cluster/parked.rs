//! Entries that wait until the directory says where some of their owners are. Knows who is asked
//! about and how much may wait, not where anything goes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use aldis_wire::{Seq, UserId};
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::router::Shared;
use super::routes::RemoteSession;
use crate::job::NodeId;

/// Users of one question: all members of a group at once, so that its message waits for one answer.
const LOOKUP_USERS_MAX: usize = 512;
/// Questions under way: one that is answered and one that waits behind it. Those who come meanwhile
/// are asked about together.
const LOOKUPS_MAX: usize = 2;
/// Bytes of entries that may wait, bodies included.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// An owner whose sessions are looked for.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    /// Who.
    pub user: UserId,
    /// The entry's place in its mailbox.
    pub seq: Seq,
    /// Nodes that the entry went to already.
    pub sent_to: SmallVec<[NodeId; 2]>,
    /// What a node denied: it is not asked again.
    pub denied: Option<RemoteSession>,
}

/// An entry with the owners that are looked for.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    /// What.
    pub entry: Shared,
    /// For whom.
    pub sought: SmallVec<[Sought; 1]>,
    /// It was sent to the wrong node before.
    pub is_second: bool,
    /// Owners that the directory was not asked about yet, or did not answer.
    open: usize,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub(super) struct Lot {
    parked: BTreeMap<u64, Parked>,
    last_id: u64,
    bytes: usize,
    /// Who waits for the answer about a user.
    waiters: HashMap<UserId, SmallVec<[u64; 1]>, FixedState>,
    /// To be asked about.
    wanted: VecDeque<UserId>,
    /// Questions under way.
    asked: Vec<(u32, Vec<UserId>)>,
    last_number: u32,
}

impl Lot {
    /// Parks an entry. False: there is no room.
    #[must_use]
    pub fn park(&mut self, entry: Shared, sought: SmallVec<[Sought; 1]>, is_second: bool) -> bool {
        let weight = weight(&entry, &sought);
        if self.bytes + weight > WAITING_BYTES_MAX {
            return false;
        }
        self.bytes += weight;
        self.last_id += 1;
        for one in &sought {
            self.want(one.user);
            self.waiters.entry(one.user).or_default().push(self.last_id);
        }
        let open = sought.len();
        self.parked.insert(self.last_id, Parked { entry, sought, is_second, open });
        true
    }

    /// Somebody wants to know where the user is.
    pub fn want(&mut self, user: UserId) {
        self.waiters.entry(user).or_insert_with(|| {
            self.wanted.push_back(user);
            SmallVec::new()
        });
    }

    /// Whether questions of those who can do without an answer hold nobody up.
    pub fn has_room_for_hints(&self) -> bool {
        self.wanted.len() < LOOKUP_USERS_MAX / 2
    }

    /// Entries that wait, and their bytes.
    pub fn load(&self) -> (usize, usize) {
        (self.parked.len(), self.bytes)
    }

    /// The next question to ask.
    pub fn poll_lookup(&mut self) -> Option<(u32, Vec<UserId>)> {
        if self.asked.len() >= LOOKUPS_MAX || self.wanted.is_empty() {
            return None;
        }
        let count = self.wanted.len().min(LOOKUP_USERS_MAX);
        let users: Vec<UserId> = self.wanted.drain(..count).collect();
        self.last_number = self.last_number.wrapping_add(1);
        self.asked.push((self.last_number, users.clone()));
        Some((self.last_number, users))
    }

    /// A question was answered: whom it was about.
    pub fn handle_answer(&mut self, number: u32) -> Vec<UserId> {
        let position = self.asked.iter().position(|(asked, _)| *asked == number);
        position.map(|at| self.asked.swap_remove(at).1).unwrap_or_default()
    }

    /// It is known where these users are, or that nobody knows. Entries all of whose owners were
    /// looked for, in the order in which they were parked.
    pub fn take_ready(&mut self, users: &[UserId]) -> Vec<Parked> {
        let mut ready = Vec::new();
        for user in users {
            for id in self.waiters.remove(user).unwrap_or_default() {
                let Some(parked) = self.parked.get_mut(&id) else { continue };
                parked.open -= 1;
                if parked.open == 0 {
                    ready.push(id);
                }
            }
        }
        ready.sort_unstable();
        let ready: Vec<Parked> = ready.iter().filter_map(|id| self.parked.remove(id)).collect();
        for parked in &ready {
            self.bytes -= weight(&parked.entry, &parked.sought);
        }
        ready
    }
}

fn weight(entry: &Shared, sought: &[Sought]) -> usize {
    entry.weight() + size_of_val(sought)
}

#[cfg(test)]
mod tests {
    use aldis_wire::PushTail;
    use bytes::Bytes;

    use super::*;

    fn entry(bytes: usize) -> Shared {
        Shared { push: PushTail::from_encoded(Bytes::from(vec![0; bytes])), flow: 0 }
    }

    fn sought(users: &[u64]) -> SmallVec<[Sought; 1]> {
        let one = |user: &u64| Sought {
            user: UserId(*user),
            seq: Seq(1),
            sent_to: SmallVec::new(),
            denied: None,
        };
        users.iter().map(one).collect()
    }

    fn users(users: &[u64]) -> Vec<UserId> {
        users.iter().copied().map(UserId).collect()
    }

    #[test]
    fn an_entry_goes_on_when_all_its_owners_were_looked_for_and_each_is_asked_about_once() {
        let mut lot = Lot::default();
        assert!(lot.park(entry(10), sought(&[1, 2]), false));
        let (first, asked) = lot.poll_lookup().unwrap();
        assert_eq!(asked, users(&[1, 2]));
        assert!(lot.park(entry(20), sought(&[2, 3]), false));
        let (second, asked) = lot.poll_lookup().unwrap();
        assert_eq!(asked, users(&[3]));
        assert!(lot.park(entry(30), sought(&[4]), true));
        assert_eq!(lot.poll_lookup(), None, "two questions are under way");
        let asked = lot.handle_answer(second);
        assert!(lot.take_ready(&asked).is_empty());
        let asked = lot.handle_answer(first);
        let ready: Vec<usize> =
            lot.take_ready(&asked).iter().map(|parked| parked.entry.push.len()).collect();
        assert_eq!(ready, [10, 20]);
        let (third, _) = lot.poll_lookup().unwrap();
        let asked = lot.handle_answer(third);
        assert!(lot.take_ready(&asked)[0].is_second);
        assert_eq!((lot.bytes, lot.waiters.len(), lot.parked.len()), (0, 0, 0));
        assert!(lot.handle_answer(third).is_empty(), "an answer counts once");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut lot = Lot::default();
        let mut count = 0;
        while lot.park(entry(1 << 20), sought(&[count]), false) {
            count += 1;
        }
        assert!((30..32).contains(&count), "{count}");
    }
}
