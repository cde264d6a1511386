//! How much redundancy: none without loss, some times the loss rate otherwise. Knows no code.

/// Datagrams over which loss counts; older ones count half, and so on.
const MEMORY: f64 = 2_048.0;
/// A loss rate below this is none.
const LOSS_MIN: f64 = 0.000_5;
/// Repairs for each datagram that is lost: some are lost too, and losses come close together. At
/// 5 % loss it is one repair in six, which brings nearly all of them back.
const REPAIRS_PER_LOSS: f64 = 3.2;
/// At least one repair for so many datagrams, or it comes so late that it is of no use.
const INTERVAL_MAX: f64 = 12.0;
/// A lost datagram is brought back within this part of a round trip on average.
const ROUND_TRIP_PART: f64 = 0.5;
/// At most one repair for so many datagrams: past a third of the traffic, sending again is cheaper.
const INTERVAL_MIN: f64 = 2.0;

/// The loss of late.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    settled: f64,
    lost: f64,
}

impl Policy {
    /// So many datagrams were acknowledged, and so many lost or brought back.
    pub fn handle_settled(&mut self, acknowledged: u64, lost: u64) {
        self.settled += (acknowledged + lost) as f64;
        self.lost += lost as f64;
        if self.settled > MEMORY {
            self.settled /= 2.0;
            self.lost /= 2.0;
        }
    }

    /// A datagram that was taken for lost was acknowledged after all.
    pub fn handle_spurious(&mut self) {
        self.lost = (self.lost - 1.0).max(0.0);
    }

    /// Datagrams that one repair follows, where they are `gap_ns` apart on a path of this round
    /// trip; `None` without loss.
    pub fn interval(&self, rtt_ns: u64, gap_ns: u64) -> Option<f64> {
        // With little seen yet a loss is not a rate.
        let rate = self.lost / self.settled.max(MEMORY / 8.0);
        if rate < LOSS_MIN {
            return None;
        }
        let most = ROUND_TRIP_PART * rtt_ns as f64 / gap_ns.max(1) as f64;
        let most = most.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let interval = 1.0 / (rate * REPAIRS_PER_LOSS);
        Some(interval.clamp(INTERVAL_MIN, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MILLISECOND;

    /// Rounded.
    fn interval(acknowledged: u64, lost: u64) -> Option<u32> {
        let mut policy = Policy::default();
        for _ in 0..50 {
            policy.handle_settled(acknowledged, lost);
        }
        let interval = policy.interval(10 * MILLISECOND, MILLISECOND / 10);
        interval.map(|interval| interval.round() as u32)
    }

    #[test]
    fn there_is_no_redundancy_without_loss_and_more_with_more() {
        assert_eq!(interval(1_000, 0), None);
        assert_eq!(interval(990, 10), Some(12));
        assert_eq!(interval(950, 50), Some(6));
        assert_eq!(interval(900, 100), Some(3));
        assert_eq!(interval(800, 200), Some(2));
    }

    #[test]
    fn it_ends_soon_after_loss_does() {
        let mut policy = Policy::default();
        policy.handle_settled(1_900, 100);
        for _ in 0..16 {
            policy.handle_settled(1_024, 0);
        }
        assert_eq!(policy.interval(MILLISECOND, MILLISECOND), None);
    }

    #[test]
    fn what_was_not_lost_after_all_does_not_count() {
        let mut policy = Policy::default();
        policy.handle_settled(500, 2);
        policy.handle_spurious();
        policy.handle_spurious();
        assert_eq!(policy.interval(MILLISECOND, MILLISECOND), None);
    }
}
