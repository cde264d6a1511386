//! Whether losses come in bursts: how many datagrams in a row are lost, on average. Knows no sender
//! and no receiver.

/// Losses in a row from which on, on average, they are bursts. Independent ones have little over
/// one.
const RUN_MIN: f64 = 2.0;
/// A run weighs so much in the average.
const RUN_WEIGHT: f64 = 1.0 / 16.0;
/// Runs count up to this length: longer ones are outages.
const RUN_MAX: u64 = 32;

/// The average.
#[derive(Debug, Default)]
pub(crate) struct LossRuns {
    /// The number after the latest loss, and the losses in a row up to it.
    next_number: u64,
    run: u64,
    average: f64,
}

impl LossRuns {
    /// So many datagrams from this number on are lost; those of a run come in order.
    pub fn handle_lost(&mut self, first: u64, count: u64) {
        if first == self.next_number && self.run > 0 {
            self.run = self.run.saturating_add(count);
        } else {
            let length = self.run.min(RUN_MAX) as f64;
            self.average += (length - self.average) * RUN_WEIGHT;
            self.run = count;
        }
        self.next_number = first.saturating_add(count);
    }

    /// The length of a burst on average, if losses come in bursts.
    pub fn burst(&self) -> Option<f64> {
        (self.average >= RUN_MIN).then_some(self.average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_of(length: u64) -> LossRuns {
        let mut runs = LossRuns::default();
        for burst in 0..100 {
            (0..length).for_each(|n| runs.handle_lost(burst * 1_000 + n, 1));
        }
        runs
    }

    #[test]
    fn losses_one_by_one_are_no_bursts_and_runs_are() {
        assert_eq!(runs_of(1).burst(), None);
        assert!((7.5..8.1).contains(&runs_of(8).burst().unwrap()));
    }

    #[test]
    fn an_outage_counts_as_a_long_burst() {
        let mut runs = LossRuns::default();
        for burst in 0..100 {
            runs.handle_lost(burst << 50, 1 << 40);
        }
        assert!((31.0..=32.0).contains(&runs.burst().unwrap()));
    }
}
