//! A way that is cut for a time. Cutting both ways is the same schedule on both links.

use std::ops::Range;

use crate::piece::{Passage, Piece, Verdict};
use crate::record::Cause;

/// Cuts by schedule.
#[derive(Clone, Debug)]
pub struct Partition {
    cuts: Vec<Range<u64>>,
}

impl Partition {
    /// Nothing passes in these ranges of time, ns.
    pub fn new(cuts: Vec<Range<u64>>) -> Self {
        Self { cuts }
    }
}

impl Piece for Partition {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        if self.cuts.iter().any(|cut| cut.contains(&passage.now_ns)) {
            Verdict::Drop(Cause::Partition)
        } else {
            Verdict::Pass(passage.now_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Partition;
    use crate::pieces::bench::Bench;

    #[test]
    fn nothing_passes_while_the_way_is_cut() {
        let arrivals = Bench::new(Partition::new(vec![10..20, 50..60])).run(0..100);
        let expected: Vec<_> = (0..10).chain(20..50).chain(60..100).collect();
        assert_eq!(arrivals.iter().map(|one| one.sent_ns).collect::<Vec<_>>(), expected);
    }
}
