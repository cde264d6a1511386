//! Round trips of a connection, and the best delivery rate of the latest ones. Knows no window.

use super::Acked;
use crate::time::SECOND;

/// Rounds over which the best rate counts (draft-cardwell-iccrg-bbr-congestion-control 4.1.1.5).
const RATE_ROUNDS: u64 = 10;

/// What happened between the sending of a packet and its acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// The least round trip in it.
    pub rtt_min_ns: u64,
    /// Acknowledgements in it.
    pub acks: u32,
    /// Bytes delivered.
    pub delivered: u64,
    /// Bytes lost.
    pub lost: u64,
    /// The latest delivery rate, bytes per second.
    pub rate: u64,
    /// Acknowledgements in it that came while the sender lacked data.
    pub app_limited_acks: u32,
}

impl Round {
    /// Whether the sender lacked data in most of it.
    pub fn is_app_limited(&self) -> bool {
        2 * self.app_limited_acks > self.acks
    }
}

/// Cuts the stream of acknowledgements into rounds.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    count: u64,
    end: u64,
    current: Round,
    best: RateFilter,
}

impl Rounds {
    /// Takes an acknowledgement; gives the round that it ended, if it ended one.
    pub fn handle_acked(&mut self, acked: &Acked) -> Option<Round> {
        let round = &mut self.current;
        round.rtt_min_ns = match round.acks {
            0 => acked.rtt_ns,
            _ => round.rtt_min_ns.min(acked.rtt_ns),
        };
        round.acks += 1;
        round.delivered += acked.bytes;
        round.app_limited_acks += u32::from(acked.is_app_limited);
        if let Some(sample) = acked.rate {
            round.rate = sample.rate;
            if !sample.is_app_limited || sample.rate >= self.best.get() {
                self.best.insert(self.count, sample.rate);
            }
        }
        if acked.delivered_before < self.end {
            return None;
        }
        self.end = acked.delivered;
        self.count += 1;
        Some(std::mem::take(&mut self.current))
    }

    /// Bytes were lost.
    pub fn handle_lost(&mut self, bytes: u64) {
        self.current.lost += bytes;
    }

    /// The best rate of the latest rounds, bytes per second. What was measured while the sender
    /// lacked data counts only if it is better.
    pub fn best_rate(&self) -> u64 {
        self.best.get()
    }

    /// Forgets better times: this is the rate.
    pub fn reset_rate(&mut self, rate: u64) {
        self.best = RateFilter::default();
        self.best.insert(self.count, rate);
    }

    /// The least round trip of the round under way, if there was an acknowledgement in it.
    pub fn rtt_min_ns(&self) -> Option<u64> {
        (self.current.acks > 0).then_some(self.current.rtt_min_ns)
    }
}

/// The maximum over a sliding window, by the best, second and third best (Nichols, as in Linux's
/// lib/win_minmax.c).
#[derive(Debug, Default)]
struct RateFilter {
    best: [(u64, u64); 3],
}

impl RateFilter {
    fn get(&self) -> u64 {
        self.best[0].1
    }

    fn insert(&mut self, round: u64, rate: u64) {
        let new = (round, rate);
        if rate >= self.best[0].1 || round - self.best[2].0 > RATE_ROUNDS {
            self.best = [new; 3];
            return;
        }
        if rate >= self.best[1].1 {
            (self.best[1], self.best[2]) = (new, new);
        } else if rate >= self.best[2].1 {
            self.best[2] = new;
        }
        let age = round - self.best[0].0;
        if age > RATE_ROUNDS {
            self.best = [self.best[1], self.best[2], new];
            if round - self.best[0].0 > RATE_ROUNDS {
                self.best = [self.best[1], self.best[2], new];
            }
        } else if self.best[1].0 == self.best[0].0 && age > RATE_ROUNDS / 4 {
            (self.best[1], self.best[2]) = (new, new);
        } else if self.best[2].0 == self.best[1].0 && age > RATE_ROUNDS / 2 {
            self.best[2] = new;
        }
    }
}

/// Bytes that fit into a time at a rate.
pub(crate) fn bytes_in(rate: u64, nanos: u64) -> u64 {
    let bytes = u128::from(rate) * u128::from(nanos) / u128::from(SECOND);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The rate of so many bytes in a time.
pub(crate) fn rate_of(bytes: u64, nanos: u64) -> u64 {
    let rate = u128::from(bytes) * u128::from(SECOND) / u128::from(nanos.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_good_rate_is_forgotten_after_its_rounds() {
        let mut filter = RateFilter::default();
        filter.insert(0, 100);
        for round in 1..=RATE_ROUNDS {
            filter.insert(round, 50);
            assert_eq!(filter.get(), 100);
        }
        filter.insert(RATE_ROUNDS + 1, 50);
        assert_eq!(filter.get(), 50);
    }

    proptest! {
        #[test]
        fn the_maximum_is_of_the_window_or_a_little_less(
            rates in proptest::collection::vec(1u64..1_000, 1..100),
        ) {
            let mut filter = RateFilter::default();
            for (round, rate) in rates.iter().enumerate() {
                filter.insert(round as u64, *rate);
                let from = round.saturating_sub(RATE_ROUNDS as usize);
                let max = *rates[from..=round].iter().max().unwrap();
                prop_assert!(filter.get() <= max && filter.get() >= *rate);
            }
        }
    }
}
