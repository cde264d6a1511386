//! A way that takes the same time for every datagram.

use crate::piece::{Passage, Piece, Verdict};

/// Constant delay.
#[derive(Debug)]
pub struct Delay {
    delay_ns: u64,
}

impl Delay {
    /// Of so many ns.
    pub fn new(delay_ns: u64) -> Self {
        Self { delay_ns }
    }
}

impl Piece for Delay {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        Verdict::Pass(passage.now_ns + self.delay_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Delay;
    use crate::pieces::bench::Bench;

    #[test]
    fn each_datagram_takes_the_same_time() {
        let arrivals = Bench::new(Delay::new(700)).run((0..10).map(|n| n * 100));
        assert!(arrivals.iter().all(|arrival| arrival.at_ns == arrival.sent_ns + 700));
        assert_eq!(arrivals.len(), 10);
    }
}
