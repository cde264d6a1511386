//! The largest datagram that the path carries (DPLPMTUD, RFC 8899). Knows no packets.
//!
//! Sizes are of the UDP payload. The first probe has the largest size, since most paths carry an
//! Ethernet frame; only where it is lost the search halves.

use crate::config::DATAGRAM_BYTES_BASE;
use crate::time::{MILLISECOND, SECOND, Time};

/// Probes of a size before it is taken for too large (RFC 8899 5.1.2, MAX_PROBES).
const TRIES_MAX: u32 = 3;
/// The search ends when it would gain less than this.
const GAIN_MIN: usize = 24;
/// After the search the path is probed again so much later (RFC 8899 5.1.1, PMTU_RAISE_TIMER).
const RAISE_INTERVAL_NS: u64 = 600 * SECOND;
/// Large datagrams lost in a row, none of them acknowledged, that mean the path no longer carries
/// them; at 20 % random loss that is once in 10^11 datagrams.
const BLACK_HOLE_LOSSES: u32 = 16;
/// A full queue drops as many in a row, but not for so long.
const BLACK_HOLE_NS: u64 = 300 * MILLISECOND;

/// The search of one path.
#[derive(Debug)]
pub(crate) struct Mtu {
    /// What the path is known to carry.
    carried: usize,
    /// What it is known not to, or not asked to.
    ceiling: usize,
    max: usize,
    /// A probe of this size is under way.
    probing: Option<usize>,
    tries: u32,
    next: Time,
    losses_in_a_row: u32,
    row_began: Time,
}

impl Mtu {
    /// Of a path to a peer that takes datagrams up to this size.
    pub fn new(max: usize) -> Self {
        let max = max.max(DATAGRAM_BYTES_BASE);
        Self {
            carried: DATAGRAM_BYTES_BASE,
            ceiling: max + 1,
            max,
            probing: None,
            tries: 0,
            next: Time::ZERO,
            losses_in_a_row: 0,
            row_began: Time::ZERO,
        }
    }

    /// The largest datagram to send.
    pub fn datagram_bytes(&self) -> usize {
        self.carried
    }

    /// The size of a probe to send now. There is no use in one without large datagrams to send.
    pub fn probe_size(&mut self, now: Time) -> Option<usize> {
        if self.probing.is_some() || self.next > now {
            return None;
        }
        if self.ceiling <= self.max && self.ceiling - self.carried <= GAIN_MIN {
            // The search is over; the next one begins when it is time.
            self.ceiling = self.max + 1;
            self.next = now.plus(RAISE_INTERVAL_NS);
            return None;
        }
        let size = match self.ceiling > self.max {
            true => self.max,
            false => (self.carried + self.ceiling) / 2,
        };
        (size > self.carried).then_some(size)
    }

    /// A probe of this size was sent.
    pub fn handle_probe_sent(&mut self, size: usize) {
        self.probing = Some(size);
        self.tries += 1;
    }

    /// A probe of this size was acknowledged.
    pub fn handle_probe_acknowledged(&mut self, size: usize) {
        self.probing = None;
        self.tries = 0;
        self.carried = self.carried.max(size.min(self.max));
        self.losses_in_a_row = 0;
    }

    /// A probe of this size was lost.
    pub fn handle_probe_lost(&mut self, size: usize) {
        self.probing = None;
        if self.tries >= TRIES_MAX {
            self.tries = 0;
            self.ceiling = self.ceiling.min(size.max(self.carried + 1));
        }
    }

    /// A probe was lost along with others, which says nothing of its size: it is tried again at `next`.
    pub fn handle_probe_crowded_out(&mut self, next: Time) {
        self.probing = None;
        self.tries = self.tries.saturating_sub(1);
        self.next = self.next.max(next);
    }

    /// Another datagram was acknowledged.
    pub fn handle_acknowledged(&mut self, bytes: usize) {
        if bytes > DATAGRAM_BYTES_BASE {
            self.losses_in_a_row = 0;
        }
    }

    /// Another datagram was lost.
    pub fn handle_lost(&mut self, now: Time, bytes: usize) {
        if bytes <= DATAGRAM_BYTES_BASE {
            return;
        }
        if self.losses_in_a_row == 0 {
            self.row_began = now;
        }
        self.losses_in_a_row += 1;
        let is_long = now.nanos_since(self.row_began) >= BLACK_HOLE_NS;
        if self.losses_in_a_row >= BLACK_HOLE_LOSSES && is_long {
            *self = Self { probing: self.probing, ..Self::new(self.max) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a path that carries up to `limit`; gives the sizes that were tried.
    fn search(mtu: &mut Mtu, now: Time, limit: usize) -> Vec<usize> {
        let mut tried = Vec::new();
        while let Some(size) = mtu.probe_size(now) {
            tried.push(size);
            mtu.handle_probe_sent(size);
            assert_eq!(mtu.probe_size(now), None);
            match size <= limit {
                true => mtu.handle_probe_acknowledged(size),
                false => mtu.handle_probe_lost(size),
            }
        }
        tried
    }

    #[test]
    fn a_path_that_carries_the_largest_is_known_after_one_probe() {
        let mut mtu = Mtu::new(1_472);
        assert_eq!(search(&mut mtu, Time(0), 9_000), [1_472]);
        assert_eq!(mtu.datagram_bytes(), 1_472);
    }

    #[test]
    fn the_search_closes_in_from_below_and_begins_anew_later() {
        for limit in [1_200, 1_250, 1_300, 1_452, 4_000, 8_999] {
            let mut mtu = Mtu::new(9_000);
            let tried = search(&mut mtu, Time(0), limit);
            assert!(tried.len() < 40, "{tried:?}");
            let found = mtu.datagram_bytes();
            assert!(found <= limit && limit - found <= GAIN_MIN, "{found} of {limit}");
            assert_eq!(search(&mut mtu, Time(1), limit), []);
            search(&mut mtu, Time(1 + RAISE_INTERVAL_NS), 9_000);
            assert_eq!(mtu.datagram_bytes(), 9_000);
        }
    }

    #[test]
    fn a_path_that_swallows_large_datagrams_falls_back_to_the_base() {
        let mut mtu = Mtu::new(1_472);
        search(&mut mtu, Time(0), 1_472);
        for _ in 1..BLACK_HOLE_LOSSES {
            mtu.handle_lost(Time(0), 1_472);
            mtu.handle_lost(Time(0), 1_000);
        }
        mtu.handle_acknowledged(1_000);
        mtu.handle_lost(Time(1), 1_472);
        assert_eq!(mtu.datagram_bytes(), 1_472);
        mtu.handle_lost(Time(BLACK_HOLE_NS), 1_400);
        assert_eq!(mtu.datagram_bytes(), DATAGRAM_BYTES_BASE);
        assert_eq!(search(&mut mtu, Time(0), 1_400).first(), Some(&1_472));
        assert!(mtu.datagram_bytes() > 1_370);
    }
}
