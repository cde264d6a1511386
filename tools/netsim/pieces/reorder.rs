//! Single datagrams that are held up, so that those behind overtake them.

use crate::piece::{Passage, Piece, Verdict};

/// Reordering of a share.
#[derive(Debug)]
pub struct Reorder {
    probability: f64,
    held_ns: u64,
}

impl Reorder {
    /// With this probability a datagram takes so many ns longer than the others.
    pub fn new(probability: f64, held_ns: u64) -> Self {
        Self { probability, held_ns }
    }
}

impl Piece for Reorder {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        let held_ns = if passage.rng.chance(self.probability) { self.held_ns } else { 0 };
        Verdict::Pass(passage.now_ns + held_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Reorder;
    use crate::pieces::bench::Bench;

    #[test]
    fn a_share_is_overtaken_by_those_behind_it() {
        let arrivals = Bench::new(Reorder::new(0.1, 250)).run((0..20_000).map(|n| n * 100));
        assert_eq!(arrivals.len(), 20_000);
        let held = arrivals.iter().filter(|one| one.at_ns == one.sent_ns + 250).count();
        assert!((1_850..2_150).contains(&held), "{held}");
        let in_time = arrivals.iter().filter(|one| one.at_ns == one.sent_ns).count();
        assert_eq!(in_time + held, 20_000);
        let late = arrivals.windows(2).filter(|two| two[1].sent_ns < two[0].sent_ns).count();
        assert!((1_500..=held).contains(&late), "{late}");
    }
}
