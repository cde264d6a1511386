//! Somebody who makes datagrams: copies under another source, altered, cut, or pure noise.

use std::net::SocketAddr;

use crate::piece::{Passage, Piece, Verdict};

/// Bytes of a datagram of noise at most, so that every form of header is imitated.
const NOISE_BYTES_MAX: u64 = 200;

/// What is forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// The datagram under this source address.
    Source(SocketAddr),
    /// Up to eight bits are flipped.
    Flipped,
    /// The end is missing.
    Truncated,
    /// Random bytes under the source of a real datagram.
    Noise,
}

/// Forged datagrams beside real ones.
#[derive(Debug)]
pub struct Spoof {
    probability: f64,
    forgery: Forgery,
    delay_ns_max: u64,
}

impl Spoof {
    /// With this probability for each datagram that passes, a forged one follows up to so many ns
    /// later; the real one passes unchanged.
    pub fn new(probability: f64, forgery: Forgery, delay_ns_max: u64) -> Self {
        Self { probability, forgery, delay_ns_max }
    }
}

impl Piece for Spoof {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        let Passage { now_ns, datagram, rng, copies, .. } = passage;
        if !datagram.bytes.is_empty() && rng.chance(self.probability) {
            let mut forged = datagram.clone();
            let bytes = &mut forged.bytes;
            match self.forgery {
                Forgery::Source(source) => forged.from = source,
                Forgery::Flipped => {
                    // The first flip always counts: two of the same bit would cancel out.
                    let flips = rng.between(1, 8);
                    let first = rng.below(bytes.len() as u64 * 8);
                    for bit in (0..flips).map(|n| first + n * 37) {
                        let bit = bit % (bytes.len() as u64 * 8);
                        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                    }
                }
                Forgery::Truncated => bytes.truncate(rng.below(bytes.len() as u64) as usize),
                Forgery::Noise => {
                    let count = rng.below(NOISE_BYTES_MAX);
                    *bytes = (0..count).map(|_| rng.next_u64() as u8).collect();
                }
            }
            copies.push((now_ns + rng.between(0, self.delay_ns_max), forged));
        }
        Verdict::Pass(now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Forgery, Spoof};
    use crate::pieces::bench::{Arrival, BENCH_FROM, BENCH_WIRE_BYTES, Bench};

    fn forged(forgery: Forgery) -> Vec<Arrival> {
        let mut bench = Bench::new(Spoof::new(0.5, forgery, 0));
        let arrivals = bench.run(0..1_000);
        let copies = bench.records().iter().filter(|record| record.is_copy).count();
        assert!((430..570).contains(&copies), "{copies}");
        assert_eq!(arrivals.len(), 1_000 + copies);
        let is_real = |one: &&Arrival| {
            one.is_intact && one.from == BENCH_FROM && one.wire_bytes == BENCH_WIRE_BYTES
        };
        assert!(arrivals.iter().filter(is_real).count() >= 1_000, "real ones pass unchanged");
        arrivals.into_iter().filter(|one| !is_real(&one)).collect()
    }

    #[test]
    fn a_copy_comes_from_somebody_else() {
        let other = "10.9.9.9:666".parse().unwrap();
        let forged = forged(Forgery::Source(other));
        assert!(forged.len() > 430 && forged.iter().all(|one| one.from == other && one.is_intact));
    }

    #[test]
    fn a_copy_is_altered() {
        let forged = forged(Forgery::Flipped);
        assert!(forged.iter().all(|one| one.wire_bytes == BENCH_WIRE_BYTES && !one.is_intact));
        assert!(forged.len() > 400, "{}", forged.len());
    }

    #[test]
    fn a_copy_is_cut() {
        assert!(forged(Forgery::Truncated).iter().all(|one| one.wire_bytes < BENCH_WIRE_BYTES));
    }

    #[test]
    fn noise_comes_from_a_known_source() {
        assert!(forged(Forgery::Noise).iter().all(|one| one.from == BENCH_FROM));
    }
}
