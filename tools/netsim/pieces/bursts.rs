//! Loss that comes in bursts: the two-state chain of Gilbert (1960) and Elliott (1963), which moves
//! on with every datagram.

use crate::piece::{Passage, Piece, Verdict};
use crate::record::Cause;

/// Loss of a chain with a good and a bad state.
#[derive(Debug)]
pub struct Bursts {
    /// Probability of going bad before a datagram.
    to_bad: f64,
    /// Probability of becoming good again before a datagram.
    to_good: f64,
    good_loss: f64,
    bad_loss: f64,
    is_bad: bool,
}

impl Bursts {
    /// Nothing is lost in the good state and everything in the bad one: a share of `loss` on
    /// average, in bursts of `burst_datagrams` on average.
    pub fn averaging(loss: f64, burst_datagrams: f64) -> Self {
        assert!(loss < 1.0 && burst_datagrams >= 1.0, "a chain that returns");
        let to_good = 1.0 / burst_datagrams;
        Self::new(loss * to_good / (1.0 - loss), to_good, 0.0, 1.0)
    }

    /// Any chain, beginning in the good state.
    pub fn new(to_bad: f64, to_good: f64, good_loss: f64, bad_loss: f64) -> Self {
        Self { to_bad, to_good, good_loss, bad_loss, is_bad: false }
    }
}

impl Piece for Bursts {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        let leaves = if self.is_bad { self.to_good } else { self.to_bad };
        self.is_bad ^= passage.rng.chance(leaves);
        let loss = if self.is_bad { self.bad_loss } else { self.good_loss };
        if passage.rng.chance(loss) {
            Verdict::Drop(Cause::Loss)
        } else {
            Verdict::Pass(passage.now_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bursts;
    use crate::pieces::bench::Bench;

    const SENT: u64 = 400_000;

    #[test]
    fn share_and_length_of_bursts_are_as_asked_for() {
        let mut bench = Bench::new(Bursts::averaging(0.05, 8.0));
        let lost = (SENT - bench.run(0..SENT).len() as u64) as f64 / SENT as f64;
        assert!((0.046..0.054).contains(&lost), "{lost}");
        let (runs, lost) = bench.runs_of_loss();
        let mean = lost as f64 / runs as f64;
        assert!((7.5..8.5).contains(&mean), "{mean}");
    }

    #[test]
    fn both_states_may_lose_a_share() {
        // Half the time in each state: 0.5 * 0.02 + 0.5 * 0.3.
        let lost = SENT - Bench::new(Bursts::new(0.1, 0.1, 0.02, 0.3)).run(0..SENT).len() as u64;
        let share = lost as f64 / SENT as f64;
        assert!((0.155..0.165).contains(&share), "{share}");
    }
}
