//! Goal: nobody without the keys changes anything, nobody gets more than three times what they sent,
//! and a node that restarts is known by its new life.

use std::net::SocketAddr;

use aldis_rudp::{BootId, ClusterKey, ClusterKeys, Config, Event, Flow, Mode, NodeId, Time};

use crate::link::Dice;
use crate::pair::{Host, MS, Pair, SECOND, config, delay};

/// What a stranger sends and gets back, in bytes.
#[derive(Debug, Default)]
struct Traffic {
    sent: usize,
    received: usize,
}

/// Hands a datagram to a host and counts what goes back to its sender.
fn poke(host: &mut Host, now: Time, from: SocketAddr, bytes: &[u8], traffic: &mut Traffic) {
    let mut buf = Vec::new();
    traffic.sent += bytes.len();
    host.endpoint.handle_datagram(now, from, None, &mut bytes.to_vec());
    while let Some(transmit) = host.endpoint.poll_transmit(now, &mut buf) {
        if transmit.destination == from {
            traffic.received += buf.len();
        }
    }
    while host.endpoint.poll_event().is_some() {}
}

#[test]
fn noise_and_damaged_datagrams_change_nothing() {
    let mut pair = Pair::new(1, delay(5));
    let seen = capture(&mut pair, 200);
    pair.settle(SECOND);
    let before = (pair.stats(1).datagrams_received, pair.stats(1).messages_received);
    let mut dice = Dice(1);
    let (now, from) = (pair.now, pair.hosts[0].address);
    let mut traffic = Traffic::default();
    for round in 0..20_000 {
        let mut bytes = seen[dice.below(seen.len() as u64) as usize].clone();
        match round % 3 {
            0 => {
                let bit = dice.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            1 => bytes.truncate(dice.below(bytes.len() as u64) as usize),
            _ => bytes.iter_mut().for_each(|byte| *byte = dice.bits() as u8),
        }
        poke(&mut pair.hosts[1], now, from, &bytes, &mut traffic);
    }
    pair.hosts[1].endpoint.invariants();
    let after = (pair.stats(1).datagrams_received, pair.stats(1).messages_received);
    assert_eq!(before, after);
    assert!(traffic.received <= 3 * traffic.sent, "{traffic:?}");
}

#[test]
fn replayed_datagrams_are_dropped_without_an_answer() {
    let mut pair = Pair::new(2, delay(5));
    let seen = capture(&mut pair, 200);
    pair.settle(SECOND);
    pair.run(SECOND);
    let before = pair.stats(1);
    let (now, from) = (pair.now, pair.hosts[0].address);
    let mut traffic = Traffic::default();
    for bytes in &seen {
        poke(&mut pair.hosts[1], now, from, bytes, &mut traffic);
    }
    let after = pair.stats(1);
    assert_eq!((before, traffic.received), (after, 0));
}

#[test]
fn a_stranger_gets_no_session_and_at_most_thrice_its_bytes() {
    let mut pair = Pair::new(3, delay(5));
    pair.run(SECOND);
    let stranger: SocketAddr = "10.9.9.9:9".parse().unwrap();
    let mut traffic = Traffic::default();
    // HELLOs of a node with the keys, replayed from an address that it does not have.
    let mut third = config(3, true);
    third.boot = BootId(77);
    let configs = [third, config(2, true)];
    let mut other = Pair::with_configs(3, delay(5), configs);
    let address = other.hosts[1].address;
    let now = other.now;
    other.hosts[0].endpoint.connect(now, NodeId(2), address).unwrap();
    let mut buf = Vec::new();
    other.hosts[0].endpoint.poll_transmit(now, &mut buf).unwrap();
    let now = pair.now;
    for _ in 0..1_000 {
        poke(&mut pair.hosts[1], now, stranger, &buf, &mut traffic);
    }
    assert!(traffic.received > 0 && traffic.received <= 3 * traffic.sent, "{traffic:?}");
    assert!(
        pair.hosts[1]
            .events
            .iter()
            .all(|event| { !matches!(event, Event::Connected { node: NodeId(3), .. }) })
    );
}

#[test]
fn nodes_with_different_keys_do_not_meet() {
    let mut other = config(2, true);
    let current = ClusterKey { id: 1, secret: [8; 32] };
    other.mode = Mode::Sealed(ClusterKeys { current, other: None });
    let mut pair = Pair::with_configs(4, delay(5), [config(1, true), other]);
    let (now, address) = (pair.now, pair.hosts[1].address);
    let peer = pair.hosts[0].endpoint.connect(now, NodeId(2), address).unwrap();
    pair.drain();
    pair.run(15 * SECOND);
    assert_eq!(pair.hosts[0].events, [Event::Lost { peer, unknown: Vec::new() }]);
    assert!(pair.hosts[1].events.is_empty());
}

#[test]
fn two_keys_allow_a_rotation() {
    let (old, new) = (ClusterKey { id: 1, secret: [1; 32] }, ClusterKey { id: 2, secret: [2; 32] });
    let keys = [
        ClusterKeys { current: new.clone(), other: Some(old.clone()) },
        ClusterKeys { current: old, other: Some(new) },
    ];
    for (first, second) in [(0, 1), (1, 0)] {
        let mut configs = [config(1, true), config(2, true)];
        configs[0].mode = Mode::Sealed(keys[first].clone());
        configs[1].mode = Mode::Sealed(keys[second].clone());
        let mut pair = Pair::with_configs(5, delay(5), configs);
        pair.connect();
        pair.send(0, Flow::Unordered, "hello");
        pair.settle(SECOND);
        assert_eq!(pair.hosts[1].messages.len(), 1);
    }
}

/// Replaces a side by a new life of the same node at the same address.
fn restart(pair: &mut Pair, side: usize) {
    let mut config = config(side as u16 + 1, true);
    config.boot = BootId(99);
    let fresh = Pair::with_configs(9, delay(5), [config.clone(), config]);
    let [endpoint, _] = fresh.hosts.map(|host| host.endpoint);
    pair.hosts[side].endpoint = endpoint;
    pair.hosts[side].peer = None;
}

#[test]
fn a_node_that_comes_back_is_known_by_its_new_life() {
    for is_sender in [true, false] {
        let mut pair = Pair::new(6, delay(5));
        pair.send(0, Flow::Unordered, "before");
        pair.settle(SECOND);
        let old = pair.hosts[0].peer.unwrap();
        restart(&mut pair, 1);
        if is_sender {
            // The node that stayed sends and learns from a RESET.
            pair.send(0, Flow::Unordered, "into the void");
        } else {
            let (now, address) = (pair.now, pair.hosts[0].address);
            pair.hosts[1].endpoint.connect(now, NodeId(1), address).unwrap();
            pair.drain();
        }
        pair.run(SECOND);
        let events = &pair.hosts[0].events[1..];
        let unknown = usize::from(is_sender);
        assert!(
            matches!(events, [Event::Restarted { peer, unknown: lost }, Event::Connected { boot, .. }]
                if *peer == old && lost.len() == unknown && *boot == BootId(99)),
            "{events:?}"
        );
        pair.send(0, Flow::Ordered(1), "after");
        pair.settle(SECOND);
        assert_eq!(pair.hosts[1].messages.back().unwrap().2, "after");
    }
}

#[test]
fn a_replayed_reset_does_not_end_a_session() {
    let mut pair = Pair::new(7, delay(5));
    pair.run(SECOND);
    // A RESET as node 2 would have sent it in an earlier life, for this very session.
    let mut dead = config(2, true);
    dead.boot = BootId(5);
    let fresh = Pair::with_configs(9, delay(5), [config(1, true), dead]);
    let [_, mut ghost] = fresh.hosts;
    let (now, from) = (pair.now, pair.hosts[0].address);
    let mut buf = Vec::new();
    for connection in 0..4u8 {
        let mut bytes = [0x80, connection, 1, 0].to_vec();
        bytes.resize(40, 7);
        let later = Time(now.nanos() + u64::from(connection) * SECOND);
        ghost.endpoint.handle_datagram(later, from, None, &mut bytes);
        assert!(ghost.endpoint.poll_transmit(later, &mut buf).is_some());
        let (now, from) = (pair.now, pair.hosts[1].address);
        pair.hosts[0].endpoint.handle_datagram(now, from, None, &mut buf);
        pair.drain();
        pair.send(0, Flow::Unordered, "still here");
        pair.run(100 * MS);
    }
    assert_eq!(pair.hosts[0].events.len(), 1);
    assert_eq!(pair.hosts[1].messages.len(), 4);
}

/// Sends messages and keeps every datagram of side 0.
fn capture(pair: &mut Pair, count: usize) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let (now, peer) = (pair.now, pair.hosts[0].peer.expect("connected"));
        let endpoint = &mut pair.hosts[0].endpoint;
        endpoint.send(now, peer, Flow::Ordered(1), vec![3; 100].into()).expect("room");
        let mut buf = Vec::new();
        while endpoint.poll_transmit(now, &mut buf).is_some() {
            seen.push(buf.clone());
            pair.link.send(now, 0, &buf);
        }
        pair.run(MS);
    }
    seen
}

#[test]
fn settings_out_of_bounds_are_bounded() {
    let wild = Config {
        peers_max: 0,
        send_bytes_max: 0,
        receive_bytes_max: 0,
        datagram_bytes_max: 0,
        segments_max: 0,
        ..config(1, true)
    };
    let mut pair = Pair::with_configs(8, delay(5), [wild.clone(), Config { ..config(2, true) }]);
    pair.connect();
    pair.send(0, Flow::Unordered, vec![1; 1 << 20]);
    pair.settle(10 * SECOND);
    assert_eq!(pair.hosts[1].messages.len(), 1);
}
