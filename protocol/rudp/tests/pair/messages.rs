//! Goal: messages arrive once, whole, in order where promised, whatever the link does to datagrams.

use std::collections::BTreeMap;

use aldis_rudp::{Config, Flow, MESSAGE_BYTES_MAX, SendError};
use bytes::Bytes;

use crate::link::{Dice, Faults};
use crate::pair::{MS, Pair, SECOND, config, delay};

/// A message that tells its flow, its number in it, and its length.
fn message(flow: u32, number: u32, len: usize) -> Bytes {
    let mut bytes = vec![0; len.max(8)];
    bytes[..4].copy_from_slice(&flow.to_le_bytes());
    bytes[4..8].copy_from_slice(&number.to_le_bytes());
    for (index, byte) in bytes.iter_mut().enumerate().skip(8) {
        *byte = (index as u32).wrapping_mul(flow + 3).wrapping_add(number) as u8;
    }
    Bytes::from(bytes)
}

/// Checks what arrived at side 1 of `count` messages; flow 0 is unordered.
fn check(pair: &mut Pair, sent: &BTreeMap<u32, Vec<usize>>) {
    let mut arrived: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (_, flow, bytes) in pair.hosts[1].messages.drain(..) {
        let (name, number) = (word(&bytes, 0), word(&bytes, 4));
        assert_eq!(flow, flow_of(name));
        assert_eq!(bytes, message(name, number, sent[&name][number as usize]), "altered");
        arrived.entry(name).or_default().push(number);
    }
    for (name, lens) in sent {
        let mut numbers = arrived.remove(name).unwrap_or_default();
        if *name == 0 {
            numbers.sort_unstable();
        }
        let expected: Vec<u32> = (0..lens.len() as u32).collect();
        assert_eq!(numbers, expected, "flow {name}");
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn flow_of(name: u32) -> Flow {
    if name == 0 { Flow::Unordered } else { Flow::Ordered(name) }
}

/// Sends messages of mixed lengths over eight flows, one per interval, and checks the outcome.
fn exchange(pair: &mut Pair, seed: u64, count: usize, interval_ns: u64) {
    let mut dice = Dice(seed);
    let mut sent: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for _ in 0..count {
        let name = dice.below(8) as u32;
        let len = match dice.below(40) {
            0 => 2_000 + dice.below(60_000) as usize,
            1 => 8,
            _ => 8 + dice.below(600) as usize,
        };
        let lens = sent.entry(name).or_default();
        let bytes = message(name, lens.len() as u32, len);
        lens.push(bytes.len());
        pair.send(0, flow_of(name), bytes);
        pair.run(interval_ns);
    }
    pair.settle(60 * SECOND);
    check(pair, &sent);
}

#[test]
fn a_perfect_link_costs_one_datagram_and_a_twelfth_per_message() {
    let mut pair = Pair::new(1, delay(5));
    pair.run(SECOND);
    let before = [pair.hosts[0].sent, pair.hosts[1].sent];
    let mut dice = Dice(9);
    let mut payload = 0;
    for number in 0..2_000 {
        let len = 64 + dice.below(449) as usize;
        payload += len as u64;
        let name = 1 + dice.below(64) as u32;
        pair.send(0, Flow::Ordered(name), message(name, number, len));
        pair.run(MS / 10);
    }
    pair.settle(SECOND);
    let datagrams = pair.hosts[0].sent.0 - before[0].0;
    let bytes = pair.hosts[0].sent.1 - before[0].1 + pair.hosts[1].sent.1 - before[1].1;
    assert!(datagrams <= 2_010, "{datagrams}");
    let ratio = bytes as f64 / payload as f64;
    println!("{ratio:.3} wire bytes per payload byte");
    assert!(ratio <= 1.20, "{ratio}");
    let late = pair.hosts[1].messages.iter().map(|(at, _, _)| *at).max();
    assert!(late.is_some());
}

#[test]
fn loss_duplication_damage_and_reordering_alter_nothing() {
    for seed in 0..20 {
        for is_sealed in [true, false] {
            let faults = Faults {
                delay_ns: 5 * MS,
                jitter_ns: 3 * MS * (seed % 3),
                loss: 50 * (seed % 5),
                duplicates: 30,
                damage: 20,
                ..Faults::default()
            };
            println!("seed {seed}, sealed {is_sealed}");
            let configs = [config(1, is_sealed), config(2, is_sealed)];
            let mut pair = Pair::with_configs(seed, faults, configs);
            pair.connect();
            exchange(&mut pair, seed, 400, MS / 5);
        }
    }
}

#[test]
fn the_largest_message_arrives_and_one_byte_more_is_refused() {
    let mut pair = Pair::new(3, Faults { loss: 30, ..delay(5) });
    let bytes = message(0, 0, MESSAGE_BYTES_MAX);
    pair.send(0, Flow::Unordered, bytes.clone());
    pair.settle(20 * SECOND);
    assert_eq!(pair.hosts[1].messages[0].2, bytes);
    let (now, peer) = (pair.now, pair.hosts[0].peer.unwrap());
    let more = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
    assert_eq!(
        pair.hosts[0].endpoint.send(now, peer, Flow::Unordered, more),
        Err(SendError::TooLarge(MESSAGE_BYTES_MAX + 1))
    );
}

#[test]
fn a_full_send_buffer_refuses_and_tells_when_it_is_writable() {
    let mut pair = Pair::new(4, delay(5));
    let (now, peer) = (pair.now, pair.hosts[0].peer.unwrap());
    let mut count = 0;
    let refused = loop {
        let bytes = message(1, count, 100_000);
        match pair.hosts[0].endpoint.send(now, peer, Flow::Ordered(1), bytes) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SendError::WouldBlock);
    pair.drain();
    pair.settle(20 * SECOND);
    let writable = aldis_rudp::Event::Writable { peer };
    assert_eq!(pair.hosts[0].events.iter().filter(|event| **event == writable).count(), 1);
    assert_eq!(pair.hosts[1].messages.len(), count as usize);
}

#[test]
fn a_segmenting_socket_gets_many_datagrams_of_one_length_at_once() {
    let segmenting = |node| Config { segments_max: 16, ..config(node, true) };
    let mut pair = Pair::with_configs(4, delay(5), [segmenting(1), segmenting(2)]);
    pair.connect();
    pair.run(SECOND);
    let mut sent: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut dice = Dice(4);
    pair.hosts[0].transmits = 0;
    let before = pair.hosts[0].sent;
    for _ in 0..100 {
        // A burst of small ones, as they come from one commit.
        for _ in 0..30 {
            let name = 1 + dice.below(8) as u32;
            let lens = sent.entry(name).or_default();
            let bytes = message(name, lens.len() as u32, 100 + dice.below(150) as usize);
            lens.push(bytes.len());
            let host = &mut pair.hosts[0];
            let peer = host.peer.expect("connected");
            host.endpoint.send(pair.now, peer, flow_of(name), bytes).expect("room");
        }
        pair.drain();
        pair.run(20 * MS);
    }
    pair.settle(60 * SECOND);
    let datagrams = pair.hosts[0].sent.0 - before.0;
    let transmits = pair.hosts[0].transmits;
    println!("{datagrams} datagrams in {transmits} transmits");
    check(&mut pair, &sent);
    assert!(transmits * 2 < datagrams, "{datagrams} datagrams in {transmits} transmits");
}
