//! Goal: sessions begin and end as both sides must see it.

use aldis_rudp::{ConnectError, Event, Flow, NodeId, SendError};

use crate::link::Faults;
use crate::pair::{MS, Pair, SECOND, config, delay};

#[test]
fn both_sides_learn_of_the_session_and_of_its_end() {
    for is_sealed in [true, false] {
        let configs = [config(1, is_sealed), config(2, is_sealed)];
        let mut pair = Pair::with_configs(1, delay(10), configs);
        pair.connect();
        pair.send(0, Flow::Unordered, "hello");
        pair.send(1, Flow::Ordered(7), "world");
        pair.settle(SECOND);
        assert_eq!(pair.hosts[0].messages[0].2, "world");
        assert_eq!(pair.hosts[1].messages[0].2, "hello");
        let peers = [pair.hosts[0].peer.unwrap(), pair.hosts[1].peer.unwrap()];
        let now = pair.now;
        pair.hosts[0].endpoint.close(now, peers[0]);
        pair.drain();
        pair.run(SECOND);
        for (host, peer) in pair.hosts.iter_mut().zip(peers) {
            let closed = Event::Closed { peer, unknown: Vec::new() };
            assert_eq!(host.events.last(), Some(&closed));
            let refused = host.endpoint.send(now, peer, Flow::Unordered, "late".into());
            assert_eq!(refused, Err(SendError::NoPeer));
        }
    }
}

#[test]
fn sessions_come_up_through_heavy_loss() {
    for seed in 0..30 {
        println!("seed {seed}");
        let mut pair = Pair::new(seed, Faults { loss: 300, jitter_ns: 5 * MS, ..delay(10) });
        pair.send(1, Flow::Unordered, "back");
        pair.settle(10 * SECOND);
        assert_eq!(pair.hosts[0].messages.len(), 1);
    }
}

#[test]
fn both_sides_may_connect_at_once_and_get_one_session() {
    for seed in 0..20 {
        println!("seed {seed}");
        let faults = Faults { jitter_ns: 10 * MS, loss: 100, ..delay(5) };
        let mut pair = Pair::with_configs(seed, faults, [config(1, true), config(2, true)]);
        let (now, addresses) = (pair.now, [pair.hosts[0].address, pair.hosts[1].address]);
        let ours = [
            pair.hosts[0].endpoint.connect(now, NodeId(2), addresses[1]).unwrap(),
            pair.hosts[1].endpoint.connect(now, NodeId(1), addresses[0]).unwrap(),
        ];
        pair.drain();
        pair.run(5 * SECOND);
        for (host, ours) in pair.hosts.iter_mut().zip(ours) {
            let connected: Vec<&Event> = host.events.iter().collect();
            assert!(
                matches!(connected[..], [Event::Connected { peer, .. }] if *peer == ours),
                "{connected:?}"
            );
            let again = host.endpoint.connect(now, NodeId(3), addresses[0]);
            assert!(again.is_ok());
        }
        let refused = pair.hosts[0].endpoint.connect(now, NodeId(2), addresses[1]);
        assert_eq!(refused, Err(ConnectError::Exists(ours[0])));
    }
}

#[test]
fn a_silent_peer_is_suspect_then_lost_and_what_it_may_not_have_is_named() {
    let mut pair = Pair::new(5, delay(10));
    pair.run(SECOND);
    for faults in &mut pair.link.faults {
        faults.is_cut = true;
    }
    pair.send(0, Flow::Unordered, "nobody hears this");
    pair.run(20 * SECOND);
    let peer = pair.hosts[0].peer.unwrap();
    let names: Vec<&Event> = pair.hosts[0].events.iter().skip(1).collect();
    assert!(matches!(names[0], Event::Suspect { .. }), "{names:?}");
    let Event::Lost { peer: lost, unknown } = names[1] else { panic!("{names:?}") };
    assert_eq!((*lost, unknown.len()), (peer, 1));
    assert!(matches!(pair.hosts[1].events.last(), Some(Event::Lost { .. })));
}

#[test]
fn a_partition_that_heals_is_overcome_at_once() {
    let mut pair = Pair::new(6, delay(10));
    pair.run(SECOND);
    for faults in &mut pair.link.faults {
        faults.is_cut = true;
    }
    for _ in 0..50 {
        pair.send(0, Flow::Ordered(1), "x");
        pair.run(100 * MS);
    }
    for faults in &mut pair.link.faults {
        faults.is_cut = false;
    }
    pair.settle(300 * MS);
    assert_eq!(pair.hosts[1].messages.len(), 50);
    let events = &pair.hosts[0].events;
    assert!(matches!(events[1..], [Event::Suspect { .. }, Event::Recovered { .. }]), "{events:?}");
}

#[test]
fn an_idle_session_stays_and_is_cheap() {
    let mut pair = Pair::new(7, delay(10));
    pair.run(2 * SECOND);
    let before = pair.hosts[0].sent.0 + pair.hosts[1].sent.0;
    pair.run(60 * SECOND);
    let sent = pair.hosts[0].sent.0 + pair.hosts[1].sent.0 - before;
    assert!(sent <= 4 * 62, "{sent} datagrams in a minute");
    for host in &pair.hosts {
        assert_eq!(host.events.len(), 1);
        let stats = host.endpoint.stats(host.peer.unwrap()).unwrap();
        assert!(stats.memory_bytes < 16 << 10, "{}", stats.memory_bytes);
    }
}
