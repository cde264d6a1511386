//! Goal: links made of several pieces behave as the pieces do one after the other, hosts are kept
//! apart, and a run is the same to the byte for the same seed.

use std::net::SocketAddr;

use aldis_netsim::{
    Bottleneck, BottleneckConfig, Bursts, Cause, Corrupt, Datagram, Delay, Duplicate, Fate,
    Forgery, Jitter, LinkId, Loss, Mtu, Network, Order, Partition, Record, Replay, Spoof,
};

fn host(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7_000))
}

fn datagram(from: u8, to: u8, bytes: usize) -> Datagram {
    Datagram::udp(host(from), host(to), vec![from; bytes])
}

/// All that arrives until nothing is under way.
fn drain(network: &mut Network) -> Vec<(u64, Datagram)> {
    let mut arrivals = Vec::new();
    while let Some(at_ns) = network.next_at_ns() {
        while let Some(datagram) = network.poll(at_ns) {
            arrivals.push((at_ns, datagram));
        }
    }
    arrivals
}

fn everything(network: &mut Network) -> LinkId {
    network.add_link(vec![
        Box::new(Partition::new(vec![100_000..200_000, 300_000..301_000])),
        Box::new(Mtu::new(1_000)),
        Box::new(Bottleneck::new(BottleneckConfig {
            bits_per_s: 100_000_000,
            queue_bytes_max: 20_000,
            mark_bytes: Some(10_000),
        })),
        Box::new(Loss::new(0.02)),
        Box::new(Bursts::averaging(0.02, 4.0)),
        Box::new(Corrupt::new(0.05)),
        Box::new(Duplicate::new(0.05, 3_000)),
        Box::new(Replay::new(0.05, 32, 50_000)),
        Box::new(Spoof::new(0.05, Forgery::Flipped, 1_000)),
        Box::new(Delay::new(50_000)),
        Box::new(Jitter::new(10_000, Order::Free)),
    ])
}

fn storm(seed: u64) -> (Vec<(u64, Datagram)>, Vec<Record>) {
    let mut network = Network::new(seed);
    let link = everything(&mut network);
    network.route(host(1), host(2), link);
    for n in 0..2_000_u64 {
        network.send(n * 700, datagram(1, 2, (n % 1_100) as usize));
    }
    (drain(&mut network), network.records().to_vec())
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_byte() {
    assert_eq!(storm(11), storm(11));
    assert_ne!(storm(11), storm(12));
}

#[test]
fn every_datagram_has_an_end_and_a_cause() {
    let (arrivals, records) = storm(5);
    let count = |wanted: &dyn Fn(Fate) -> bool| records.iter().filter(|r| wanted(r.fate)).count();
    assert_eq!(count(&|fate| fate == Fate::UnderWay), 0);
    assert_eq!(count(&|fate| matches!(fate, Fate::Arrived { .. })), arrivals.len());
    for cause in [Cause::Loss, Cause::Queue, Cause::Partition, Cause::Mtu] {
        assert!(count(&|fate| fate == Fate::Dropped(cause)) > 0, "{cause:?}");
    }
    assert!(records.iter().any(|record| record.is_altered && !record.is_copy));
}

#[test]
fn pieces_work_one_after_the_other_and_routes_may_share_a_link() {
    let mut network = Network::new(1);
    let shared = network.add_link(vec![
        Box::new(Bottleneck::with_queue_ns(8_000_000_000, 1_000_000)),
        Box::new(Delay::new(1_000)),
    ]);
    network.route(host(1), host(3), shared);
    network.route(host(2), host(3), shared);
    network.send(0, datagram(1, 3, 972));
    network.send(0, datagram(2, 3, 72));
    let at: Vec<_> = drain(&mut network).iter().map(|(at_ns, _)| *at_ns).collect();
    assert_eq!(at, [2_000, 2_100]);
}

#[test]
fn a_queue_behind_a_way_that_reorders_takes_datagrams_as_they_come() {
    let mut network = Network::new(1);
    let link = network.add_link(vec![
        Box::new(Jitter::new(1_000_000, Order::Free)),
        Box::new(Bottleneck::with_queue_ns(8_000_000, 1_000_000_000)),
    ]);
    network.route(host(1), host(2), link);
    (0..100).for_each(|n| network.send(n, datagram(1, 2, 72)));
    // One leaves each 100 us from the first arrival on, whatever the order of sending was.
    let at: Vec<_> = drain(&mut network).iter().map(|(at_ns, _)| *at_ns).collect();
    assert!(at.windows(2).all(|two| two[1] - two[0] >= 100_000));
    assert!(at[99] - at[0] < 100 * 100_000, "no gap while datagrams wait");
}

#[test]
fn hosts_without_a_route_are_not_reached() {
    let mut network = Network::new(1);
    let link = network.add_link(Vec::new());
    network.route(host(1), host(2), link);
    network.send(5, datagram(2, 1, 10));
    network.send(5, datagram(1, 2, 10));
    // A forged source does not keep a datagram from its destination.
    network.send(5, datagram(77, 2, 10));
    let arrivals = drain(&mut network);
    assert_eq!(arrivals.iter().map(|(_, one)| one.from).collect::<Vec<_>>(), [host(1), host(77)]);
    assert_eq!(network.records()[0].fate, Fate::Dropped(Cause::NoRoute));
}

#[test]
fn one_direction_does_not_move_the_other() {
    let backward = |sent_forward: u64| {
        let mut network = Network::new(3);
        let there = network.add_link(vec![Box::new(Loss::new(0.5))]);
        let back = network.add_link(vec![Box::new(Loss::new(0.5))]);
        network.route(host(1), host(2), there);
        network.route(host(2), host(1), back);
        (0..sent_forward).for_each(|n| network.send(n, datagram(1, 2, 1)));
        (0..100).for_each(|n| network.send(n, datagram(2, 1, n as usize)));
        let arrivals = drain(&mut network);
        let of_back = arrivals.into_iter().filter(|(_, one)| one.to == host(1));
        of_back.map(|(_, one)| one.bytes.len()).collect::<Vec<_>>()
    };
    assert_eq!(backward(0), backward(50));
}

#[test]
fn a_forgetful_network_does_the_same_and_keeps_no_more_than_is_under_way() {
    let send = |network: &mut Network, n: u64| {
        network.send(n * 50_000, datagram(1, 2, 10 + (n % 900) as usize));
    };
    let (mut keeping, mut forgetful) = (Network::new(9), Network::forgetful(9));
    for network in [&mut keeping, &mut forgetful] {
        let link = everything(network);
        network.route(host(1), host(2), link);
    }
    let (mut arrivals, mut stories) = ([Vec::new(), Vec::new()], Vec::new());
    for n in 0..5_000 {
        for (network, arrivals) in [&mut keeping, &mut forgetful].into_iter().zip(&mut arrivals) {
            while let Some(datagram) = network.poll(n * 50_000) {
                arrivals.push(datagram);
            }
            send(network, n);
        }
        while let Some(record) = forgetful.poll_ended() {
            assert_ne!(record.fate, Fate::UnderWay);
            stories.push(record);
        }
    }
    for (network, arrivals) in [&mut keeping, &mut forgetful].into_iter().zip(&mut arrivals) {
        arrivals.extend(drain(network).into_iter().map(|(_, datagram)| datagram));
    }
    while let Some(record) = forgetful.poll_ended() {
        stories.push(record);
    }
    assert!(arrivals[0] == arrivals[1] && arrivals[0].len() > 3_000, "{}", arrivals[0].len());
    let sorted = |records: &[Record]| {
        let mut texts: Vec<_> = records.iter().map(|record| format!("{record:?}")).collect();
        texts.sort_unstable();
        texts
    };
    assert_eq!(sorted(&stories), sorted(keeping.records()));
    assert!(forgetful.records().len() < 1_000, "{}", forgetful.records().len());
}
