//! Goal: only nodes that have the cluster's key are linked, and say why they are not; datagrams that
//! are forged, damaged, repeated or sent from elsewhere change nothing, and are counted.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aldis_scenario::http::{assert_clean, metric, scrape};
use aldis_scenario::requests::text_to;
use aldis_scenario::{Cluster, NodeOptions, Server, login, next_entry, seed, wait_for};
use aldis_services::{MariaDb, Redis};
use aldis_wire::DeviceClass;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
/// Messages through a hostile network.
const MESSAGES: usize = 300;

fn keys(lines: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\n{lines}")
}

#[test]
fn a_node_with_another_key_cannot_join_and_both_sides_say_why() {
    let redis = Redis::start();
    let url = MariaDb::shared().fresh_database();
    let start = |id, lines: &str| {
        let options = NodeOptions::new(id, &url).with_redis(redis.url());
        options.with_cluster_keys(&keys(lines)).start()
    };
    let right = format!("key = \"{KEY}\"");
    let nodes = [start(1, &right), start(2, &right)];
    let strangers = [start(3, &format!("key = \"{OTHER_KEY}\"")), start(4, "")];
    wait_for("those with the key are linked", || nodes[0].log().contains("node 2 is linked"));
    for node in nodes.iter().chain(&strangers) {
        wait_for("it is said why others are not", || node.log().contains("another cluster key"));
    }
    for node in nodes.iter().chain(&strangers) {
        let log = node.log();
        assert!(!log.contains("node 3 is linked") && !log.contains("node 4 is linked"), "{log}");
        assert!(!log.contains(KEY) && !log.contains(OTHER_KEY), "keys are not logged");
    }
    // Sessions go on: what one node commits reaches the others' sessions by their head checks.
    let users = nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let mut ada = login(&nodes[0], &users[0]).0;
    let mut ben = login(&strangers[0], &users[1]).0;
    ada.send_message(&text_to(users[1].id, "hello"));
    assert_eq!(ben.sync_all(0).len(), 1);
}

#[test]
fn keys_are_changed_without_a_moment_in_which_nodes_are_not_linked() {
    let cluster = Cluster::start_with(2, |id, options| {
        // One node has changed over already, the other has not.
        let (now, besides) = if id == 1 { (KEY, OTHER_KEY) } else { (OTHER_KEY, KEY) };
        let lines = format!("key = \"{now}\"\nother_key = \"{besides}\"");
        options.with_cluster_keys(&keys(&lines))
    });
    let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    ada.send_message(&text_to(users[1].id, "hello"));
    assert_eq!(&next_entry(&mut ben).content[..], b"hello");
    assert!(cluster.nodes[0].log().contains(", encrypted"));
}

/// A relay in front of a node's link that an attacker has got hold of: it passes everything on, and
/// adds copies, damaged copies, old datagrams, and the same from another address.
struct Relay {
    front: UdpSocket,
    is_over: Arc<AtomicBool>,
    added: Arc<AtomicU64>,
}

impl Relay {
    fn new() -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        Self { front, is_over: Arc::default(), added: Arc::default() }
    }

    fn address(&self) -> SocketAddr {
        self.front.local_addr().expect("it is bound")
    }

    /// Begins to pass on what comes, in both directions; both ends of the relay are known by then.
    fn start(&self, node: SocketAddr, seed: u64) {
        let back = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        for socket in [&self.front, &back] {
            socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket option");
        }
        let front = self.front.try_clone().expect("a descriptor");
        let (is_over, added) = (self.is_over.clone(), self.added.clone());
        std::thread::spawn(move || {
            let mut caller: Option<SocketAddr> = None;
            let mut old: Vec<Vec<u8>> = Vec::new();
            let mut random = seed;
            let mut buffer = [0; 65_536];
            while !is_over.load(Ordering::Relaxed) {
                if let Ok((len, from)) = front.recv_from(&mut buffer) {
                    caller = Some(from);
                    let _ = back.send_to(&buffer[..len], node);
                    random = next(random);
                    let mut forged = buffer[..len].to_vec();
                    match random % 4 {
                        0 => {
                            let _ = back.send_to(&buffer[..len], node);
                        }
                        1 => {
                            forged[(random >> 8) as usize % len] ^=
                                1 << ((random >> 40) as u32 % 8);
                            let _ = back.send_to(&forged, node);
                        }
                        2 if !old.is_empty() => {
                            let earlier = &old[(random >> 8) as usize % old.len()];
                            let _ = back.send_to(earlier, node);
                        }
                        _ => {
                            let _ = stranger.send_to(&buffer[..len], node);
                        }
                    }
                    added.fetch_add(1, Ordering::Relaxed);
                    if old.len() < 1_000 {
                        old.push(buffer[..len].to_vec());
                    }
                }
                while let Ok((len, _)) = back.recv_from(&mut buffer) {
                    if let Some(caller) = caller {
                        let _ = front.send_to(&buffer[..len], caller);
                    }
                }
            }
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The multiplier of a well-known generator (Knuth, MMIX): good enough for a choice of damage.
fn next(random: u64) -> u64 {
    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// Where a node's link listens, as it logs it.
fn link_address(node: &Server) -> SocketAddr {
    let log = node.log();
    let rest = log.split("the link listens on ").nth(1).expect("it says so");
    rest.split(' ').next().and_then(|address| address.parse().ok()).expect("an address")
}

#[test]
fn forged_repeated_and_stray_datagrams_change_nothing_and_are_counted() {
    let seed = seed();
    let redis = Redis::start();
    let url = MariaDb::shared().fresh_database();
    let relays = [Relay::new(), Relay::new()];
    let nodes = [1, 2].map(|id: u16| {
        let advertised = relays[usize::from(id) - 1].address();
        let lines = format!("key = \"{KEY}\"\nadvertise = \"{advertised}\"");
        let mut options = NodeOptions::new(id, &url).with_redis(redis.url());
        options.log = Some("info,aldis_link=debug".into());
        options.tables = "[admin]\nlisten = \"127.0.0.1:0\"\n".into();
        options.with_cluster_keys(&keys(&lines)).start()
    });
    for (number, (relay, node)) in relays.iter().zip(&nodes).enumerate() {
        relay.start(link_address(node), seed.wrapping_add(number as u64));
    }
    wait_for("both are linked", || {
        nodes[0].log().contains("node 2 is linked") && nodes[1].log().contains("node 1 is linked")
    });
    let users = nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let mut ends = [login(&nodes[0], &users[0]).0, login(&nodes[1], &users[1]).0];
    for number in 0..MESSAGES {
        let from = number % 2;
        let text = format!("message {number}");
        ends[from].send_message(&text_to(users[1 - from].id, &text));
        let entry = next_entry(&mut ends[1 - from]);
        assert_eq!((&entry.content[..], entry.seq), (text.as_bytes(), number as u64 + 1));
    }
    let added: u64 = relays.iter().map(|relay| relay.added.load(Ordering::Relaxed)).sum();
    println!("{added} datagrams were added");
    assert!(added > MESSAGES as u64 / 4);
    // Each of the kinds was noticed by a node; it says so every ten seconds at most.
    let count = |log: &str, kind: &str| -> u64 {
        let lines = log.lines().filter(|line| line.contains("the link dropped "));
        let before = |line: &str| {
            line.split(kind).next().and_then(|t| t.split(' ').next_back()?.parse::<u64>().ok())
        };
        lines.filter_map(|line| before(line.trim_end())).sum()
    };
    for kind in [" forged", " repeated", " stray"] {
        wait_for(kind, || {
            // Something must go on, or nobody looks.
            ends[0].send_message(&text_to(users[1].id, "more"));
            nodes.iter().map(|node| count(&node.log(), kind)).sum::<u64>() > 0
        });
    }
    for node in &nodes {
        let log = node.log();
        assert!(!log.contains("panicked") && !log.contains("is lost"), "{log}");
    }
    // The same by the metrics, which count each datagram.
    let pages = nodes.each_ref().map(|node| scrape(node.http_address("admin")));
    let rejected = |reason: &str| {
        let name = format!("aldis_link_datagrams_rejected_total{{reason=\"{reason}\"}}");
        pages.iter().map(|page| metric(page, &name).expect("a counter")).sum::<f64>()
    };
    let counts = ["forged", "replayed", "stray"].map(rejected);
    let added: u64 = relays.iter().map(|relay| relay.added.load(Ordering::Relaxed)).sum();
    println!("forged, replayed, stray: {counts:?} of {added} that were added");
    // A copy with a bit flipped that comes behind its original counts as repeated, mostly.
    let [forged, replayed, stray] = counts;
    let quarter = MESSAGES as f64 / 4.0;
    assert!(forged >= 1.0 && replayed > quarter && stray > quarter / 4.0, "{counts:?}");
    let total = forged + replayed + stray;
    assert!(total <= added as f64, "what was not added was not dropped: {total} of {added}");
    pages.iter().for_each(|page| assert_clean(page));
}
