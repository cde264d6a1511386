//! The slowest hop: a rate and a drop-tail queue before it, which may mark instead of dropping.

use crate::datagram::Ecn;
use crate::piece::{Passage, Piece, Verdict};
use crate::record::Cause;

const NS_PER_S: u128 = 1_000_000_000;

/// How a bottleneck is built.
#[derive(Clone, Copy, Debug)]
pub struct BottleneckConfig {
    /// Rate of the hop, bits per second, lower headers included.
    pub bits_per_s: u64,
    /// Room of the queue, bytes, the datagram on the wire included.
    pub queue_bytes_max: u64,
    /// From so many bytes in the queue on, datagrams that can be marked are (RFC 3168).
    pub mark_bytes: Option<u64>,
}

/// Rate limit with a queue.
#[derive(Debug)]
pub struct Bottleneck {
    config: BottleneckConfig,
    /// When the last bit of the last datagram has left.
    busy_until_ns: u64,
}

impl Bottleneck {
    /// With an empty queue.
    pub fn new(config: BottleneckConfig) -> Self {
        assert!(config.bits_per_s > 0, "a hop that carries something");
        Self { config, busy_until_ns: 0 }
    }

    /// Of a rate, with room for what it sends in so many ns, without marks.
    pub fn with_queue_ns(bits_per_s: u64, queue_ns: u64) -> Self {
        let bytes = u128::from(bits_per_s) * u128::from(queue_ns) / 8 / NS_PER_S;
        let queue_bytes_max = u64::try_from(bytes).expect("a queue below 2^64 bytes");
        Self::new(BottleneckConfig { bits_per_s, queue_bytes_max, mark_bytes: None })
    }

    fn transmission_ns(&self, bytes: u64) -> u64 {
        (u128::from(bytes) * 8 * NS_PER_S / u128::from(self.config.bits_per_s)) as u64
    }
}

impl Piece for Bottleneck {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        let Passage { now_ns, datagram, record, .. } = passage;
        let wait_ns = self.busy_until_ns.saturating_sub(now_ns);
        let queued = u128::from(wait_ns) * u128::from(self.config.bits_per_s) / 8 / NS_PER_S;
        let (queued, bytes) = (queued as u64, datagram.wire_bytes());
        if queued + bytes > self.config.queue_bytes_max {
            return Verdict::Drop(Cause::Queue);
        }
        if self.config.mark_bytes.is_some_and(|mark| queued >= mark) && datagram.ecn.is_some() {
            datagram.ecn = Some(Ecn::Ce);
            record.is_marked = true;
        }
        record.queued_ns += wait_ns;
        self.busy_until_ns = now_ns + wait_ns + self.transmission_ns(bytes);
        Verdict::Pass(self.busy_until_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bottleneck, BottleneckConfig};
    use crate::datagram::Ecn;
    use crate::pieces::bench::{BENCH_WIRE_BYTES, Bench};
    use crate::record::{Cause, Fate};

    // One datagram of the bench takes 1 us.
    const CONFIG: BottleneckConfig = BottleneckConfig {
        bits_per_s: BENCH_WIRE_BYTES * 8 * 1_000_000,
        queue_bytes_max: BENCH_WIRE_BYTES * 10,
        mark_bytes: None,
    };

    #[test]
    fn datagrams_leave_at_the_rate() {
        let arrivals = Bench::new(Bottleneck::new(CONFIG)).run([0; 5]);
        let at: Vec<_> = arrivals.iter().map(|one| one.at_ns).collect();
        assert_eq!(at, [1_000, 2_000, 3_000, 4_000, 5_000]);
    }

    #[test]
    fn a_full_queue_drops_the_newest_and_empties_with_time() {
        let mut bench = Bench::new(Bottleneck::new(CONFIG));
        let arrivals = bench.run([0; 12].into_iter().chain([5_000; 6]));
        let dropped = |range: std::ops::Range<usize>| {
            let is_dropped = |record: &&_| matches!(record, Fate::Dropped(Cause::Queue));
            let fates = bench.records()[range].iter().map(|record| record.fate);
            fates.collect::<Vec<_>>().iter().filter(is_dropped).count()
        };
        assert_eq!((arrivals.len(), dropped(0..12), dropped(12..18)), (15, 2, 1));
        assert_eq!(bench.records()[9].queued_ns, 9_000);
    }

    #[test]
    fn marks_come_from_the_threshold_on_and_only_where_they_are_understood() {
        let config = BottleneckConfig { mark_bytes: Some(BENCH_WIRE_BYTES * 3), ..CONFIG };
        let marks = |ecn| {
            let mut bench = Bench::new(Bottleneck::new(config)).with_ecn(ecn);
            let arrivals = bench.run([0; 6]);
            arrivals.iter().map(|one| one.ecn == Some(Ecn::Ce)).collect::<Vec<_>>()
        };
        assert_eq!(marks(Some(Ecn::Ect0)), [false, false, false, true, true, true]);
        assert_eq!(marks(None), [false; 6]);
    }

    #[test]
    fn a_queue_in_time_holds_what_the_rate_sends_in_it() {
        let bottleneck = Bottleneck::with_queue_ns(20_000_000, 100_000_000);
        assert_eq!(bottleneck.config.queue_bytes_max, 250_000);
    }
}
