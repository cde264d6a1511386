//! Goal: the largest datagram that the path carries is found, and found again when it shrinks.

use aldis_rudp::DATAGRAM_BYTES_BASE;

use crate::link::Faults;
use crate::pair::{MS, Pair, SECOND, delay};

/// 40 Mbit/s: on a link without a limit the sender would look for one until its buffer is under way.
fn limited() -> Faults {
    Faults { rate: 5_000_000, queue_ns: 100 * MS, ..delay(5) }
}

#[test]
fn large_messages_find_out_what_the_path_carries() {
    for (mtu, least) in [(0, 1_472), (1_400, 1_370), (1_200, 1_200)] {
        let mut pair = Pair::new(1, Faults { mtu, ..limited() });
        pair.fill(2 * SECOND, 100_000);
        let found = pair.stats(0).datagram_bytes;
        assert!(found >= least && (mtu == 0 || found <= mtu), "{found} of {mtu}");
    }
}

#[test]
fn a_path_that_swallows_large_datagrams_is_noticed() {
    let mut pair = Pair::new(2, limited());
    pair.fill(SECOND, 100_000);
    assert_eq!(pair.stats(0).datagram_bytes, 1_472);
    pair.link.faults[0].mtu = DATAGRAM_BYTES_BASE;
    pair.fill(3 * SECOND, 100_000);
    assert_eq!(pair.stats(0).datagram_bytes, DATAGRAM_BYTES_BASE);
    pair.settle(10 * SECOND);
}

#[test]
fn small_messages_alone_probe_nothing() {
    let mut pair = Pair::new(3, delay(5));
    for _ in 0..100 {
        pair.send(0, aldis_rudp::Flow::Unordered, vec![1; 1_100]);
        pair.run(MS);
    }
    assert_eq!(pair.stats(0).datagram_bytes, DATAGRAM_BYTES_BASE);
}
