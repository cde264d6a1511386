//! Somebody on the way who keeps what passes and sends it again later.

use std::collections::VecDeque;

use crate::datagram::Datagram;
use crate::piece::{Passage, Piece, Verdict};

/// Replay of datagrams seen.
#[derive(Debug)]
pub struct Replay {
    probability: f64,
    kept_count_max: usize,
    delay_ns_max: u64,
    seen: VecDeque<Datagram>,
}

impl Replay {
    /// With this probability for each datagram that passes, one of the last `kept_count_max` is
    /// sent again up to so many ns later.
    pub fn new(probability: f64, kept_count_max: usize, delay_ns_max: u64) -> Self {
        assert!(kept_count_max > 0, "something to replay");
        Self { probability, kept_count_max, delay_ns_max, seen: VecDeque::new() }
    }
}

impl Piece for Replay {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        if self.seen.len() == self.kept_count_max {
            // Any one may go, so that old ones stay in the collection too.
            let index = passage.rng.below(self.seen.len() as u64) as usize;
            self.seen.swap_remove_back(index);
        }
        self.seen.push_back(passage.datagram.clone());
        if passage.rng.chance(self.probability) {
            let index = passage.rng.below(self.seen.len() as u64) as usize;
            let at_ns = passage.now_ns + passage.rng.between(0, self.delay_ns_max);
            passage.copies.push((at_ns, self.seen[index].clone()));
        }
        Verdict::Pass(passage.now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Replay;
    use crate::pieces::bench::Bench;

    #[test]
    fn what_was_seen_comes_again_unchanged_and_later() {
        let mut bench = Bench::new(Replay::new(0.2, 16, 1_000));
        let arrivals = bench.run((0..10_000).map(|n| n * 10));
        let copies = bench.records().iter().filter(|record| record.is_copy).count();
        assert!((1_850..2_150).contains(&copies), "{copies}");
        assert_eq!(arrivals.len(), 10_000 + copies);
        assert!(arrivals.iter().all(|one| one.is_intact));
        let oldest = arrivals.iter().map(|one| one.at_ns - one.sent_ns).max().unwrap();
        assert!(oldest > 1_000, "old ones are kept too, up to {oldest} ns");
    }
}
