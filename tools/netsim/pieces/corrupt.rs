//! Datagrams with a flipped bit, as memory of network equipment makes them behind the checksums.

use crate::piece::{Passage, Piece, Verdict};

/// Bit corruption.
#[derive(Debug)]
pub struct Corrupt {
    probability: f64,
}

impl Corrupt {
    /// One bit, anywhere, with this probability for each datagram.
    pub fn new(probability: f64) -> Self {
        Self { probability }
    }
}

impl Piece for Corrupt {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        let bits = passage.datagram.bytes.len() as u64 * 8;
        if bits > 0 && passage.rng.chance(self.probability) {
            let bit = passage.rng.below(bits);
            passage.datagram.bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            passage.record.is_altered = true;
        }
        Verdict::Pass(passage.now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Corrupt;
    use crate::pieces::bench::Bench;

    #[test]
    fn a_share_has_one_bit_flipped_and_is_recorded() {
        let mut bench = Bench::new(Corrupt::new(0.02));
        let arrivals = bench.run(0..50_000);
        let altered = arrivals.iter().filter(|one| !one.is_intact).count();
        let recorded = bench.records().iter().filter(|record| record.is_altered).count();
        assert_eq!((arrivals.len(), altered), (50_000, recorded));
        assert!((900..1_100).contains(&altered), "{altered}");
    }
}
