//! Goal: what is lost comes again soon, reordering costs little, and repairs spare round trips.

use aldis_rudp::{Config, Flow};
use bytes::Bytes;

use crate::link::{Dice, Faults};
use crate::pair::{MS, Pair, SECOND, config, delay};

/// Sends messages of 64 to 512 bytes at 10,000 a second; gives their latencies in order of size and
/// the wire bytes per payload byte.
fn stream(pair: &mut Pair, seed: u64, count: u64) -> (Vec<u64>, f64) {
    pair.run(SECOND);
    let before = pair.hosts[0].sent.1 + pair.hosts[1].sent.1;
    let mut dice = Dice(seed);
    let mut payload = 0;
    for _ in 0..count {
        let mut message = vec![0; 64 + dice.below(449) as usize];
        payload += message.len() as u64;
        message[..8].copy_from_slice(&pair.now.nanos().to_le_bytes());
        let flow = Flow::Ordered(dice.below(64) as u32);
        pair.send(0, flow, Bytes::from(message));
        pair.run(MS / 10);
    }
    pair.settle(10 * SECOND);
    let wire = pair.hosts[0].sent.1 + pair.hosts[1].sent.1 - before;
    let arrived = pair.hosts[1].messages.drain(..);
    let mut latencies: Vec<u64> = arrived
        .map(|(at, _, message)| {
            at.nanos() - u64::from_le_bytes(message[..8].try_into().expect("a time"))
        })
        .collect();
    assert_eq!(latencies.len(), count as usize);
    latencies.sort_unstable();
    (latencies, wire as f64 / payload as f64)
}

fn quantile_ms(latencies: &[u64], per_mille: usize) -> f64 {
    latencies[latencies.len() * per_mille / 1_000] as f64 / MS as f64
}

#[test]
fn a_loss_costs_one_round_trip_and_the_reordering_window() {
    let mut pair = Pair::new(1, Faults { loss: 50, ..delay(5) });
    let (latencies, _) = stream(&mut pair, 1, 4_000);
    let (p98, worst) = (quantile_ms(&latencies, 980), quantile_ms(&latencies, 998));
    println!("p98 {p98:.2} ms, p99.8 {worst:.2} ms");
    assert!(p98 <= 15.1 * 1.1 && worst <= 25.2 * 1.1, "{p98} {worst}");
}

#[test]
fn reordering_is_neither_loss_nor_a_reason_to_chatter() {
    let mut pair = Pair::new(2, Faults { jitter_ns: 3 * MS, ..delay(12) });
    let (latencies, ratio) = stream(&mut pair, 2, 4_000);
    let stats = pair.stats(0);
    println!("{ratio:.3} wire bytes per byte, {} lost, {stats:?}", stats.datagrams_lost);
    assert!(stats.datagrams_lost <= 100, "{stats:?}");
    assert!(ratio <= 1.3, "{ratio}");
    assert!(quantile_ms(&latencies, 999) <= 16.0);
}

#[test]
fn repairs_bring_lost_datagrams_back_without_a_round_trip() {
    let configs =
        [config(1, true), config(2, true)].map(|config| Config { redundancy: true, ..config });
    let mut pair = Pair::with_configs(3, Faults { loss: 50, ..delay(50) }, configs);
    pair.connect();
    // Until the window is as large as the load needs and the loss is known.
    stream(&mut pair, 3, 4_000);
    let (latencies, ratio) = stream(&mut pair, 4, 4_000);
    let p98 = quantile_ms(&latencies, 980);
    println!("p98 {p98:.2} ms, {ratio:.3} wire bytes per byte");
    assert!(p98 <= 50.0 * 1.1 + 2.0, "{p98}");
    assert!(ratio <= 1.65, "{ratio}");
    assert!(pair.stats(1).recovered > 100);
    for faults in &mut pair.link.faults {
        faults.loss = 0;
    }
    stream(&mut pair, 5, 20_000);
    let repairs = pair.stats(0).repairs_sent;
    stream(&mut pair, 6, 2_000);
    assert_eq!(pair.stats(0).repairs_sent, repairs, "repairs without loss");
}

#[test]
fn repairs_cover_messages_of_a_few_datagrams() {
    let configs =
        [config(1, true), config(2, true)].map(|config| Config { redundancy: true, ..config });
    let mut pair = Pair::with_configs(4, Faults { loss: 100, ..delay(50) }, configs);
    pair.connect();
    stream(&mut pair, 7, 500);
    let before = pair.stats(1).recovered;
    let mut late = 0;
    for _ in 0..100 {
        pair.send(0, Flow::Unordered, vec![9; 8_000]);
        let sent = pair.now;
        pair.run(150 * MS);
        let arrived = pair.hosts[1].messages.drain(..).map(|(at, ..)| at).next();
        late += usize::from(arrived.is_none_or(|at| at.since(sent).as_millis() > 70));
    }
    // Without repairs every second one of them would miss a part.
    println!("{late} of 100 late, {} recovered", pair.stats(1).recovered - before);
    assert!(late <= 25, "{late}");
}

#[test]
fn a_sparse_message_that_is_lost_comes_with_the_first_probe() {
    let mut pair = Pair::new(5, delay(10));
    for _ in 0..20 {
        pair.send(0, Flow::Unordered, "warm");
        pair.run(50 * MS);
    }
    pair.hosts[1].messages.clear();
    pair.link.faults[0].is_cut = true;
    pair.send(0, Flow::Unordered, "lost");
    pair.link.faults[0].is_cut = false;
    let sent = pair.now;
    pair.settle(SECOND);
    let took = pair.hosts[1].messages[0].0.since(sent);
    assert!(took.as_millis() <= 10 + 20 + 5, "{took:?}");
}

/// A probe is the newest packet for the next one: what it holds must not be said twice there.
#[test]
fn probes_into_silence_hold_each_message_once() {
    let mut pair = Pair::new(8, delay(1));
    pair.run(SECOND);
    pair.link.faults[0].is_cut = true;
    pair.hosts[0].sent = (0, 0);
    pair.send(0, Flow::Unordered, "anybody there?");
    pair.run(2 * SECOND);
    let (datagrams, bytes) = pair.hosts[0].sent;
    println!("{datagrams} datagrams, {bytes} bytes");
    assert!(datagrams > 5, "it probes");
    assert!(bytes < datagrams * 100, "{bytes} bytes in {datagrams} datagrams");
}

/// Needs the feature `planted-bugs`.
#[cfg(feature = "planted-bugs")]
#[test]
fn a_probe_without_data_takes_longer() {
    use aldis_rudp::planted;
    planted::plant(Some(planted::Bug::ProbeWithoutData));
    let mut pair = Pair::new(6, delay(10));
    pair.run(SECOND);
    pair.link.faults[0].is_cut = true;
    pair.send(0, Flow::Unordered, "lost");
    pair.link.faults[0].is_cut = false;
    let sent = pair.now;
    pair.settle(SECOND);
    planted::plant(None);
    let took = pair.hosts[1].messages[0].0.since(sent);
    assert!(took.as_millis() > 10 + 2 * 20, "{took:?}");
}
