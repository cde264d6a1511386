//! Loss of single datagrams, each independent of the others.

use crate::piece::{Passage, Piece, Verdict};
use crate::record::Cause;

/// Independent loss.
#[derive(Debug)]
pub struct Loss {
    probability: f64,
}

impl Loss {
    /// With this probability for each datagram.
    pub fn new(probability: f64) -> Self {
        Self { probability }
    }
}

impl Piece for Loss {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        if passage.rng.chance(self.probability) {
            Verdict::Drop(Cause::Loss)
        } else {
            Verdict::Pass(passage.now_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Loss;
    use crate::pieces::bench::Bench;

    const SENT: u64 = 100_000;

    #[test]
    fn the_share_that_is_lost_is_the_probability() {
        let lost = SENT - Bench::new(Loss::new(0.05)).run(0..SENT).len() as u64;
        assert!((4_750..5_250).contains(&lost), "{lost}");
    }

    #[test]
    fn losses_do_not_come_together() {
        let mut bench = Bench::new(Loss::new(0.05));
        bench.run(0..SENT);
        let (runs, lost) = bench.runs_of_loss();
        let mean = lost as f64 / runs as f64;
        assert!((1.03..1.08).contains(&mean), "{mean}");
    }

    #[test]
    fn none_and_all_can_be_lost() {
        assert_eq!(Bench::new(Loss::new(0.0)).run(0..1_000).len(), 1_000);
        assert_eq!(Bench::new(Loss::new(1.0)).run(0..1_000).len(), 0);
    }
}
