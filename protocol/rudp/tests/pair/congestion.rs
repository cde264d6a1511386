//! Goal: a bottleneck is filled without a long queue, random loss is not taken for congestion, marks
//! are heeded, and large messages do not delay small ones.

use aldis_rudp::{ControllerKind, Flow};
use bytes::Bytes;

use crate::link::Faults;
use crate::pair::{MS, Pair, SECOND, config, delay};

/// Bytes per second of so many megabits.
fn megabits(count: u64) -> u64 {
    count * 125_000
}

/// A bottleneck from side 0 to side 1 only.
fn bottleneck(seed: u64, faults: Faults, rate: u64, queue_ns: u64) -> Pair {
    let mut pair = Pair::new(seed, faults);
    pair.link.faults[0] = Faults { rate, queue_ns, ..faults };
    pair
}

#[test]
fn a_bottleneck_is_full_and_its_queue_short() {
    let mut pair = bottleneck(1, delay(15), megabits(20), 100 * MS);
    pair.fill(SECOND, 64 << 10);
    pair.link.waited = [(0, 0); 2];
    let bytes = pair.fill(4 * SECOND, 64 << 10);
    let share = bytes as f64 / (4 * megabits(20)) as f64;
    let (waited, count) = pair.link.waited[0];
    let queue_ms = waited / count / MS;
    println!("{share:.3} of the link, {queue_ms} ms of queue");
    assert!(share >= 0.94, "{share}");
    assert!(queue_ms <= 15, "{queue_ms}");
}

#[test]
fn random_loss_is_not_congestion() {
    for (loss, least) in [(10, 0.90), (50, 0.86), (200, 0.65)] {
        let mut pair = bottleneck(2, Faults { loss, ..delay(15) }, megabits(50), 50 * MS);
        pair.fill(SECOND, 64 << 10);
        let bytes = pair.fill(3 * SECOND, 64 << 10);
        let share = bytes as f64 / (3 * megabits(50)) as f64;
        println!("{share:.3} of the link at {loss} per mille");
        assert!(share >= least, "{share} at {loss} per mille");
    }
}

#[test]
fn a_link_that_becomes_slower_or_faster_is_followed() {
    let mut pair = bottleneck(3, delay(10), megabits(40), 100 * MS);
    pair.fill(SECOND, 64 << 10);
    for rate in [10, 60] {
        pair.link.faults[0].rate = megabits(rate);
        pair.fill(2 * SECOND, 64 << 10);
        pair.link.waited = [(0, 0); 2];
        let bytes = pair.fill(2 * SECOND, 64 << 10);
        let share = bytes as f64 / (2 * megabits(rate)) as f64;
        let queue_ms = pair.link.waited[0].0 / pair.link.waited[0].1 / MS;
        println!("{share:.3} of {rate} Mbit/s, {queue_ms} ms of queue");
        assert!(share >= 0.85 && queue_ms <= 30, "{share} of {rate}, {queue_ms} ms");
    }
}

#[test]
fn marks_shorten_the_queue_instead_of_losses() {
    let mut pair = bottleneck(4, delay(10), megabits(20), 100 * MS);
    pair.link.faults[0].mark_ns = 2 * MS;
    pair.fill(SECOND, 64 << 10);
    pair.link.waited = [(0, 0); 2];
    let bytes = pair.fill(3 * SECOND, 64 << 10);
    let queue_us = pair.link.waited[0].0 / pair.link.waited[0].1 / 1_000;
    let share = bytes as f64 / (3 * megabits(20)) as f64;
    println!("{share:.3} of the link, {queue_us} us of queue");
    assert!(share >= 0.7 && queue_us <= 4_000, "{share}, {queue_us} us");
}

#[test]
fn cubic_fills_the_queue_and_keeps_the_link_full() {
    let configs = [config(1, true), config(2, true)]
        .map(|config| aldis_rudp::Config { controller: ControllerKind::Cubic, ..config });
    let mut pair = Pair::with_configs(5, delay(10), configs);
    pair.connect();
    pair.link.faults[0] = Faults { rate: megabits(20), queue_ns: 50 * MS, ..delay(10) };
    pair.fill(2 * SECOND, 64 << 10);
    let bytes = pair.fill(4 * SECOND, 64 << 10);
    let share = bytes as f64 / (4 * megabits(20)) as f64;
    assert!(share >= 0.9, "{share}");
}

#[test]
fn a_large_message_does_not_delay_small_ones() {
    let mut pair = bottleneck(6, delay(10), megabits(50), 100 * MS);
    pair.fill(SECOND, 256 << 10);
    pair.hosts[1].messages.clear();
    let large = Bytes::from(vec![1; 1 << 20]);
    let mut latencies = Vec::new();
    for _ in 0..200 {
        let (now, peer) = (pair.now, pair.hosts[0].peer.unwrap());
        while pair.hosts[0].endpoint.send(now, peer, Flow::Unordered, large.clone()).is_ok() {}
        // A message keeps a place in the full buffer by being sent when there is room for it only.
        let small = Bytes::from(now.nanos().to_le_bytes().to_vec());
        if pair.hosts[0].endpoint.send(now, peer, Flow::Ordered(1), small).is_ok() {
            latencies.push(now);
        }
        pair.drain();
        pair.run(10 * MS);
    }
    let small = pair.hosts[1].messages.iter().filter(|(_, _, message)| message.len() == 8);
    let latencies: Vec<u64> = small
        .map(|(at, _, message)| {
            at.nanos() - u64::from_le_bytes(message[..8].try_into().expect("a time"))
        })
        .collect();
    let worst = latencies.iter().max().expect("small messages arrived") / MS;
    println!("{} small messages, the slowest took {worst} ms", latencies.len());
    assert!(latencies.len() > 100 && worst <= 10 + 25, "{worst} ms");
}
