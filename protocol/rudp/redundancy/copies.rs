//! Copies of what is sent again, where losses come in bursts: repairs among neighbours are lost with
//! them, and what is lost twice decides the tail. Knows no code and no contents.

use std::collections::VecDeque;

use crate::loss_runs::LossRuns;
use crate::send::sent::Chunk;
use crate::time::Time;

/// A copy follows after so many average runs: when one begins with the repetition, few last so long.
const RUNS_APART: f64 = 3.0;
/// Where that is more than this part of a round trip there is none: the repetition's own loss is
/// noticed after one, and a copy at less than a burst's length is lost with it.
const ROUND_TRIP_PART: u64 = 2;
/// Copies that wait; beyond that there are none, and losses cost their round trips.
const WAITING_MAX: usize = 256;

/// See the file's head.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    waiting: VecDeque<(Time, Chunk)>,
    losses: LossRuns,
}

impl Copies {
    /// A datagram was lost.
    pub fn handle_lost(&mut self, number: u64) {
        self.losses.handle_lost(number, 1);
    }

    /// What was lost is about to be sent again, and where losses come in bursts a copy follows.
    /// Datagrams are `gap_ns` apart on a path of this round trip.
    pub fn push(&mut self, now: Time, chunk: Chunk, gap_ns: u64, rtt_ns: u64) {
        let Some(burst) = self.losses.burst().filter(|_| self.waiting.len() < WAITING_MAX) else {
            return;
        };
        let spacing_ns = (burst * RUNS_APART * gap_ns as f64) as u64;
        if spacing_ns > rtt_ns / ROUND_TRIP_PART {
            return;
        }
        let at = now.plus(spacing_ns);
        let at = self.waiting.back().map_or(at, |(latest, _)| at.max(*latest));
        self.waiting.push_back((at, chunk));
    }

    /// When the next copy is due.
    pub fn deadline(&self) -> Option<Time> {
        self.waiting.front().map(|(at, _)| *at)
    }

    /// The next copy that is due, if it is no longer than `bytes_max`.
    pub fn poll(&mut self, now: Time, bytes_max: usize) -> Option<Chunk> {
        let (at, chunk) = *self.waiting.front()?;
        if at > now || chunk.len as usize > bytes_max {
            return None;
        }
        self.waiting.pop_front();
        Some(chunk)
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<(Time, Chunk)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MILLISECOND;

    const RTT: u64 = 30 * MILLISECOND;
    const GAP: u64 = MILLISECOND / 10;
    const CHUNK: Chunk = Chunk { message: 7, offset: 0, len: 100 };

    /// After runs of losses of this length.
    fn copies(run: u64) -> Copies {
        let mut copies = Copies::default();
        for burst in 0..100 {
            (0..run).for_each(|n| copies.handle_lost(burst * 1_000 + n));
        }
        copies.push(Time(0), CHUNK, GAP, RTT);
        copies
    }

    #[test]
    fn losses_one_by_one_make_no_copies() {
        assert_eq!(copies(1).deadline(), None);
    }

    #[test]
    fn a_copy_follows_after_some_bursts_length() {
        let mut copies = copies(8);
        let at = copies.deadline().unwrap();
        assert!((20 * GAP..=24 * GAP).contains(&at.0), "{at:?}");
        assert_eq!(copies.poll(Time(at.0 - 1), 1_000), None);
        assert_eq!(copies.poll(at, 99), None);
        assert_eq!(copies.poll(at, 100), Some(CHUNK));
        assert_eq!(copies.deadline(), None);
    }

    #[test]
    fn a_copy_that_would_come_too_late_is_none_and_no_more_wait_than_there_is_room_for() {
        let mut copies = copies(8);
        copies.poll(Time(RTT), 1_000);
        copies.push(Time(0), CHUNK, GAP, 40 * GAP);
        assert_eq!(copies.deadline(), None);
        (0..2 * WAITING_MAX).for_each(|_| copies.push(Time(0), CHUNK, GAP, RTT));
        assert_eq!(copies.waiting.len(), WAITING_MAX);
    }
}
