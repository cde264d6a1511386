//! A way that takes a different time for each datagram.

use crate::piece::{Passage, Piece, Verdict};

/// Whether datagrams overtake one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A datagram waits for those before it, as in a queue.
    Kept,
    /// It does not, as on several ways at once.
    Free,
}

/// Additional delay, uniform from nothing to a maximum.
#[derive(Debug)]
pub struct Jitter {
    extra_ns_max: u64,
    order: Order,
    last_out_ns: u64,
}

impl Jitter {
    /// Up to so many ns.
    pub fn new(extra_ns_max: u64, order: Order) -> Self {
        Self { extra_ns_max, order, last_out_ns: 0 }
    }
}

impl Piece for Jitter {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        let mut out_ns = passage.now_ns + passage.rng.between(0, self.extra_ns_max);
        if self.order == Order::Kept {
            out_ns = out_ns.max(self.last_out_ns);
            self.last_out_ns = out_ns;
        }
        Verdict::Pass(out_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Jitter, Order};
    use crate::pieces::bench::Bench;

    const SENT: u64 = 20_000;

    fn delays(order: Order) -> (Vec<u64>, usize) {
        let arrivals = Bench::new(Jitter::new(6_000, order)).run((0..SENT).map(|n| n * 100));
        let overtaken = arrivals.windows(2).filter(|two| two[1].sent_ns < two[0].sent_ns).count();
        let mut delays: Vec<_> = arrivals.iter().map(|one| one.at_ns - one.sent_ns).collect();
        delays.sort_unstable();
        (delays, overtaken)
    }

    #[test]
    fn delays_are_uniform_and_reorder() {
        let (delays, overtaken) = delays(Order::Free);
        let at = |share: f64| delays[(share * SENT as f64) as usize];
        assert!((2_850..3_150).contains(&at(0.5)), "{}", at(0.5));
        assert!((5_900..=6_000).contains(&at(0.99)), "{}", at(0.99));
        assert!(overtaken > 9_000, "{overtaken}");
    }

    #[test]
    fn with_order_kept_none_overtakes_and_none_waits_longer() {
        let (delays, overtaken) = delays(Order::Kept);
        assert_eq!((delays.len() as u64, overtaken), (SENT, 0));
        assert!(*delays.last().unwrap() <= 6_000);
    }
}
