//! When which sessions are due for a head check: soon after their login, then once in every round
//! over all slots. Knows slots and times, no session and no store.

use std::collections::VecDeque;

use aldis_wire::ConnId;

/// Slots that one step of a round looks at, so that many empty ones do not hold up a turn: well
/// under a millisecond.
const STEP_SLOTS_MAX: usize = 16_384;
/// Room for logins that await their check which is kept when none does; more is given back after
/// a burst.
const LOGINS_KEPT: usize = 256;

/// How often sessions are compared with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadCheckTimes {
    /// Each session once in such a time; up to twice that while many connections come. ms
    pub interval_ms: u64,
    /// And once so long after it entered the directory: what other nodes decided while they did not
    /// know of it is over by then. ms
    pub after_login_ms: u64,
}

/// See the file's first line. A session costs nothing here while it is idle.
#[derive(Debug)]
pub(crate) struct CheckTimes {
    times: Option<HeadCheckTimes>,
    /// Logins and when their check is due, in its order, mono ms.
    logins: VecDeque<(u64, ConnId)>,
    /// Where the round goes on.
    next_slot: usize,
    /// When, mono ms. `None`: it would find nobody.
    step_at_ms: Option<u64>,
    /// The round under way has met a session.
    has_met: bool,
}

impl CheckTimes {
    /// Nobody is there. `None`: nobody is ever due.
    pub fn new(times: Option<HeadCheckTimes>) -> Self {
        Self { times, logins: VecDeque::new(), next_slot: 0, step_at_ms: None, has_met: false }
    }

    /// A session begins.
    pub fn note_login(&mut self, mono_ms: u64, conn: ConnId) {
        let Some(times) = self.times else { return };
        self.logins.push_back((mono_ms + times.after_login_ms, conn));
        self.step_at_ms.get_or_insert(mono_ms + times.interval_ms);
    }

    /// When somebody is due, mono ms.
    pub fn due_at_ms(&self) -> Option<u64> {
        let login = self.logins.front().map(|&(at_ms, _)| at_ms);
        login.into_iter().chain(self.step_at_ms).min()
    }

    /// Adds a login that is due to a batch that has room for it; false: there is none.
    pub fn take_login(&mut self, mono_ms: u64, batch: &mut Vec<ConnId>) -> bool {
        let Some(&(_, conn)) = self.logins.front().filter(|(at_ms, _)| *at_ms <= mono_ms) else {
            return false;
        };
        self.logins.pop_front();
        if self.logins.is_empty() {
            self.logins.shrink_to(LOGINS_KEPT);
        }
        batch.push(conn);
        true
    }

    /// One step of the round, if it is due: fills the batch up to `batch_len_max` with those whom
    /// `session_at` has in the next slots. The pause after it is its part of the interval, so that
    /// the steps spread evenly over it however many slots are empty.
    pub fn take_step(
        &mut self,
        mono_ms: u64,
        slot_count: usize,
        session_at: impl Fn(usize) -> Option<ConnId>,
        batch: &mut Vec<ConnId>,
        batch_len_max: usize,
    ) {
        let Some(times) = self.times.filter(|_| self.is_step_due(mono_ms)) else { return };
        let first = self.next_slot.min(slot_count);
        let last = slot_count.min(first + STEP_SLOTS_MAX);
        let mut slot = first;
        while slot < last && batch.len() < batch_len_max {
            let session = session_at(slot);
            self.has_met |= session.is_some();
            batch.extend(session);
            slot += 1;
        }
        let pause_ms = times.interval_ms * (slot - first) as u64 / slot_count.max(1) as u64;
        self.step_at_ms = Some(mono_ms + pause_ms.max(1));
        self.next_slot = slot;
        if slot == slot_count {
            self.next_slot = 0;
            if !std::mem::take(&mut self.has_met) {
                self.step_at_ms = None;
            }
        }
    }

    fn is_step_due(&self, mono_ms: u64) -> bool {
        self.step_at_ms.is_some_and(|at_ms| at_ms <= mono_ms)
    }
}
