//! A hop that silently drops what is too large for it, as ways without ICMP do (RFC 2923).

use crate::piece::{Passage, Piece, Verdict};
use crate::record::Cause;

/// A black hole for large datagrams.
#[derive(Debug)]
pub struct Mtu {
    wire_bytes_max: u64,
}

impl Mtu {
    /// Carries datagrams up to so many bytes, IP and UDP headers included.
    pub fn new(wire_bytes_max: u64) -> Self {
        Self { wire_bytes_max }
    }
}

impl Piece for Mtu {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        if passage.datagram.wire_bytes() > self.wire_bytes_max {
            Verdict::Drop(Cause::Mtu)
        } else {
            Verdict::Pass(passage.now_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mtu;
    use crate::pieces::bench::{BENCH_WIRE_BYTES, Bench};

    #[test]
    fn only_what_is_too_large_is_dropped() {
        assert_eq!(Bench::new(Mtu::new(BENCH_WIRE_BYTES)).run(0..10).len(), 10);
        assert_eq!(Bench::new(Mtu::new(BENCH_WIRE_BYTES - 1)).run(0..10).len(), 0);
    }
}
