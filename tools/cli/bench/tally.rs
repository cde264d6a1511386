//! What is counted during a run, and how the counts of several threads become one.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::workers::Window;

/// Latencies are recorded up to this, ns; longer ones count as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Three digits of a latency are kept.
const LATENCY_DIGITS: u8 = 3;

/// Faults by kind, each with its first case.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<&'static str, (u64, String)>);

impl Faults {
    /// One more of a kind; the detail of the first is kept.
    pub fn add(&mut self, kind: &'static str, detail: impl FnOnce() -> String) {
        self.add_many(kind, 1, detail);
    }

    /// So many more of a kind.
    pub fn add_many(&mut self, kind: &'static str, count: u64, detail: impl FnOnce() -> String) {
        if count > 0 {
            self.0.entry(kind).or_insert_with(|| (0, detail())).0 += count;
        }
    }

    /// All kinds together.
    pub fn count(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    /// Kind, count and first case of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
        self.0.iter().map(|(kind, (count, first))| (*kind, *count, first.as_str()))
    }

    fn merge(&mut self, other: Faults) {
        for (kind, (count, first)) in other.0 {
            self.add_many(kind, count, || first);
        }
    }
}

/// Counts of one thread, or of all.
pub struct Tally {
    /// From when a send should have left to its delivery, ns.
    pub latency: Histogram<u64>,
    /// From when a request should have left to its answer, ns.
    pub ack_latency: Histogram<u64>,
    /// Messages that reached a receiver within the measured time.
    pub deliveries: u64,
    /// Requests answered OK within the measured time.
    pub acks: u64,
    /// Messages that reached a receiver, in all.
    pub deliveries_in_all: u64,
    /// Requests answered OK, in all.
    pub acks_in_all: u64,
    /// Pushes without entries: the server told a slow reader to sync.
    pub hints: u64,
    /// Pushes that did not follow the one before.
    pub gaps: u64,
    /// MSG_SYNC requests made for hints and gaps.
    pub syncs: u64,
    /// Sends repeated after BUSY, RATE_LIMITED or UNAVAILABLE.
    pub retries: u64,
    /// Handshakes that went on with the keys of an earlier connection, in all.
    pub resumed: u64,
    /// What should not have happened.
    pub faults: Faults,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latency: histogram(),
            ack_latency: histogram(),
            deliveries: 0,
            acks: 0,
            deliveries_in_all: 0,
            acks_in_all: 0,
            hints: 0,
            gaps: 0,
            syncs: 0,
            retries: 0,
            resumed: 0,
            faults: Faults::default(),
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_NS_MAX, LATENCY_DIGITS).expect("the bounds are constants")
}

impl Tally {
    /// A message arrived that should have been sent at `due_ns`. Rates count what happens within
    /// the measured time; latencies count what was due within it, however late it came.
    pub fn delivered(&mut self, window: &Window, due_ns: u64, now_ns: u64) {
        self.deliveries_in_all += 1;
        self.deliveries += u64::from(window.measures(now_ns));
        if window.measures(due_ns) {
            self.latency.saturating_record(now_ns.saturating_sub(due_ns));
        }
    }

    /// A request was answered OK.
    pub fn acked(&mut self, window: &Window, due_ns: u64, now_ns: u64) {
        self.acks_in_all += 1;
        self.acks += u64::from(window.measures(now_ns));
        if window.measures(due_ns) {
            self.ack_latency.saturating_record(now_ns.saturating_sub(due_ns));
        }
    }

    /// Adds another thread's counts.
    pub fn merge(&mut self, other: Tally) {
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.ack_latency.add(&other.ack_latency).expect("all histograms have the same bounds");
        self.deliveries += other.deliveries;
        self.acks += other.acks;
        self.deliveries_in_all += other.deliveries_in_all;
        self.acks_in_all += other.acks_in_all;
        self.hints += other.hints;
        self.gaps += other.gaps;
        self.syncs += other.syncs;
        self.retries += other.retries;
        self.resumed += other.resumed;
        self.faults.merge(other.faults);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_by_arrival_and_latencies_by_when_they_were_due() {
        let window = Window { start_ns: 0, measure_ns: 100, end_ns: 200 };
        let mut tally = Tally::default();
        tally.delivered(&window, 90, 150);
        tally.delivered(&window, 150, 5_000);
        assert_eq!((tally.deliveries, tally.latency.len()), (1, 1));
        assert!(tally.latency.max() >= 4_850);
        let mut all = Tally::default();
        all.faults.add("a", || "first".to_owned());
        tally.faults.add("a", || "second".to_owned());
        all.merge(tally);
        assert_eq!((all.deliveries_in_all, all.faults.count()), (2, 2));
        assert_eq!(all.faults.iter().next(), Some(("a", 2, "first")));
    }
}
