//! Datagrams that arrive twice.

use crate::piece::{Passage, Piece, Verdict};

/// Duplication.
#[derive(Debug)]
pub struct Duplicate {
    probability: f64,
    gap_ns_max: u64,
}

impl Duplicate {
    /// With this probability, the second one up to so many ns later.
    pub fn new(probability: f64, gap_ns_max: u64) -> Self {
        Self { probability, gap_ns_max }
    }
}

impl Piece for Duplicate {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        if passage.rng.chance(self.probability) {
            let at_ns = passage.now_ns + passage.rng.between(0, self.gap_ns_max);
            passage.copies.push((at_ns, passage.datagram.clone()));
        }
        Verdict::Pass(passage.now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Duplicate;
    use crate::pieces::bench::Bench;

    #[test]
    fn a_share_arrives_twice_soon_after_and_unchanged() {
        let mut bench = Bench::new(Duplicate::new(0.1, 50));
        let arrivals = bench.run((0..20_000).map(|n| n * 1_000));
        let copies: Vec<_> = bench.records().iter().filter(|record| record.is_copy).collect();
        assert!((1_850..2_150).contains(&copies.len()), "{}", copies.len());
        assert_eq!(arrivals.len(), 20_000 + copies.len());
        assert!(arrivals.iter().all(|one| one.at_ns - one.sent_ns <= 50 && one.is_intact));
    }
}
