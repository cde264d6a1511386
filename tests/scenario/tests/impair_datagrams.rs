//! Goal: `aldis impair` does to real datagrams what its settings say, to each direction apart, keeps
//! clients apart, and counts all of it.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use aldis_scenario::{Impair, aldis, seed};
use serde_json::Value;

/// Nothing takes longer than this on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Datagrams under way at the same time: few enough for any socket's buffer.
const WINDOW: u32 = 32;
/// Silence after which nothing more is expected: well over every delay of these tests.
const QUIET: Duration = Duration::from_millis(1_500);

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(QUIET)).expect("a timeout");
    socket
}

fn address(socket: &UdpSocket) -> String {
    socket.local_addr().expect("bound").to_string()
}

fn count(line: &Value, way: &str, name: &str) -> u64 {
    line[way][name].as_u64().unwrap_or_else(|| panic!("{way}.{name} in {line}"))
}

/// Numbered datagrams from one socket to another by way of a relay, paced so that none is lost for
/// want of room; what arrives, in order.
fn send_numbered(from: &UdpSocket, relay: SocketAddr, to: &UdpSocket, total: u32) -> Vec<Vec<u8>> {
    let mut arrived = Vec::new();
    let mut buffer = [0; 2_048];
    to.set_nonblocking(true).expect("a flag");
    for number in 0..total {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(64, 0xAB);
        from.send_to(&bytes, relay).expect("sent");
        if number % WINDOW == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        while let Ok(len) = to.recv(&mut buffer) {
            arrived.push(buffer[..len].to_vec());
        }
    }
    to.set_nonblocking(false).expect("a flag");
    while let Ok(len) = to.recv(&mut buffer) {
        arrived.push(buffer[..len].to_vec());
    }
    arrived
}

fn number_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

#[test]
fn each_client_has_its_own_stable_address_and_gets_its_own_answers() {
    let target = socket();
    let to = address(&target);
    let relay = Impair::start(&["udp", "--listen", "127.0.0.1:0", "--to", &to]);
    let clients: Vec<_> = (0..20).map(|_| socket()).collect();
    let mut seen: HashMap<u8, SocketAddr> = HashMap::new();
    let mut buffer = [0; 64];
    for round in 0..3_u8 {
        for (number, client) in clients.iter().enumerate() {
            client.send_to(&[number as u8, round], relay.address("listen")).expect("sent");
            let (len, from) = target.recv_from(&mut buffer).expect("it passes");
            assert_eq!(buffer[..len], [number as u8, round]);
            assert_eq!(*seen.entry(number as u8).or_insert(from), from, "the same each time");
            target.send_to(&[number as u8, round, 1], from).expect("sent");
            let (len, from) = client.recv_from(&mut buffer).expect("the answer passes");
            assert_eq!(buffer[..len], [number as u8, round, 1]);
            assert_eq!(from, relay.address("listen"));
        }
    }
    assert_eq!(seen.values().collect::<HashSet<_>>().len(), clients.len());
    let end = relay.end();
    for way in ["up", "down"] {
        assert_eq!((count(&end, way, "received"), count(&end, way, "sent")), (60, 60));
    }
}

#[test]
fn damage_comes_in_the_shares_asked_for_and_everything_is_accounted_for() {
    let seed = seed().to_string();
    let target = socket();
    let to = address(&target);
    let words = "loss=20% duplicate=10% corrupt=5% reorder=10%/20ms";
    let args = ["udp", "--listen", "127.0.0.1:0", "--to", &to, "--seed", &seed, "--set", words];
    let relay = Impair::start(&args);
    let arrived = send_numbered(&socket(), relay.address("listen"), &target, 4_000);
    let end = relay.end();
    let up = |name| count(&end, "up", name);
    assert_eq!(up("received"), 4_000);
    assert_eq!(up("sent"), up("received") - up("lost") + up("duplicated"), "{end}");
    assert_eq!(arrived.len() as u64, up("sent"), "{end}");
    assert!((600..1_000).contains(&up("lost")), "{end}");
    assert!((200..450).contains(&up("duplicated")), "{end}");
    assert!((80..300).contains(&up("altered")), "{end}");
    assert!(up("reordered") > 50, "{end}");
    let damaged = |bytes: &&Vec<u8>| bytes[4..].iter().any(|byte| *byte != 0xAB);
    assert!(arrived.iter().filter(damaged).count() > 50);
    let late = arrived.windows(2).filter(|two| number_of(&two[0]) > number_of(&two[1])).count();
    assert!(late > 50, "{late}");
}

#[test]
fn loss_in_bursts_takes_neighbours() {
    let seed = seed().to_string();
    let target = socket();
    let to = address(&target);
    let words = "loss=20% burst=8";
    let args = ["udp", "--listen", "127.0.0.1:0", "--to", &to, "--seed", &seed, "--set", words];
    let relay = Impair::start(&args);
    let total = 6_000;
    let arrived = send_numbered(&socket(), relay.address("listen"), &target, total);
    let there: HashSet<u32> = arrived.iter().map(|bytes| number_of(bytes)).collect();
    let is_lost = |number: &u32| !there.contains(number);
    let lost = (0..total).filter(is_lost).count();
    let bursts = (1..total).filter(|number| is_lost(number) && !is_lost(&(number - 1))).count();
    let mean = lost as f64 / bursts as f64;
    assert!((4.0..16.0).contains(&mean), "{lost} lost in {bursts} bursts");
}

#[test]
fn delay_and_rate_hold_datagrams_up() {
    let target = socket();
    let to = address(&target);
    let words = "up.delay=150ms down.delay=100ms";
    let args = ["udp", "--listen", "127.0.0.1:0", "--to", &to, "--set", words];
    let relay = Impair::start(&args);
    let (client, mut buffer) = (socket(), [0; 64]);
    let start = Instant::now();
    client.send_to(b"there", relay.address("listen")).expect("sent");
    let (_, from) = target.recv_from(&mut buffer).expect("it passes");
    assert!(start.elapsed() >= Duration::from_millis(150));
    target.send_to(b"back", from).expect("sent");
    client.recv_from(&mut buffer).expect("the answer passes");
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    drop(relay);

    // 92 bytes with headers: 100 of them take 0.92 s at 80 kbit.
    let args = ["udp", "--listen", "127.0.0.1:0", "--to", &to, "--set", "rate=80kbit queue=10s"];
    let relay = Impair::start(&args);
    let start = Instant::now();
    for _ in 0..100 {
        client.send_to(&[1; 64], relay.address("listen")).expect("sent");
    }
    for _ in 0..100 {
        target.recv_from(&mut buffer).expect("all pass");
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(count(&relay.end(), "up", "sent"), 100);
}

#[test]
fn the_ends_of_a_pair_meet_at_fixed_addresses_and_strangers_are_refused() {
    let (a, b, stranger) = (socket(), socket(), socket());
    let (at_a, at_b) = (address(&a), address(&b));
    let any = "127.0.0.1:0";
    let args = ["pair", "--a", &at_a, "--listen-a", any, "--b", &at_b, "--listen-b", any];
    let relay = Impair::start(&args);
    let (for_a, for_b) = (relay.address("listen_a"), relay.address("listen_b"));
    let mut buffer = [0; 64];
    // The end that speaks first is the one that nobody has heard of.
    for (from, through, to, appears_as) in [(&b, for_b, &a, for_a), (&a, for_a, &b, for_b)] {
        stranger.send_to(b"spoofed", through).expect("sent");
        from.send_to(b"hello", through).expect("sent");
        let (len, source) = to.recv_from(&mut buffer).expect("it passes");
        assert_eq!((&buffer[..len], source), (&b"hello"[..], appears_as));
    }
    let end = relay.end();
    for way in ["up", "down"] {
        assert_eq!((count(&end, way, "sent"), count(&end, way, "refused")), (1, 1), "{end}");
    }
}

#[test]
fn a_timeline_cuts_one_way_then_both_and_heals() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("timeline");
    let text = "# one way, both, none\n0s up.partition\n1500ms partition\n3s heal\n";
    std::fs::write(&file, text).expect("written");
    let (a, b) = (socket(), socket());
    for end in [&a, &b] {
        end.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    }
    let (at_a, at_b, any) = (address(&a), address(&b), "127.0.0.1:0");
    let file = file.to_str().expect("UTF-8");
    let mut relay = Impair::start(&[
        "pair",
        "--a",
        &at_a,
        "--listen-a",
        any,
        "--b",
        &at_b,
        "--listen-b",
        any,
        "--timeline",
        file,
        "--for",
        "5s",
    ]);
    let (for_a, for_b) = (relay.address("listen_a"), relay.address("listen_b"));
    // Whether something passes (up, down) is tried all the time, and judged by the relay's counts
    // at its own changes: this process may be late for all of them.
    let start = Instant::now();
    let mut buffer = [0; 64];
    let (mut up_count, mut down_count) = (0_u64, 0_u64);
    while start.elapsed() < Duration::from_secs(6) {
        let _ = a.send_to(b"up", for_a);
        let _ = b.send_to(b"down", for_b);
        up_count += u64::from(b.recv_from(&mut buffer).is_ok());
        down_count += u64::from(a.recv_from(&mut buffer).is_ok());
    }
    let set: Vec<_> = (0..3).map(|_| relay.wait_line("set")).collect();
    assert_eq!(set[0]["settings"], "up.partition");
    assert_eq!(set[2]["settings"], "heal");
    let end = relay.wait_line("end");
    assert_eq!(end["reason"], "time");
    let of = |way, name| count(&end, way, name);
    assert!(of("up", "partitioned") > of("down", "partitioned"), "{end}");
    assert!(of("down", "partitioned") > 0 && up_count > 0 && down_count > up_count, "{end}");
    for way in ["up", "down"] {
        let accounted = of(way, "sent") + of(way, "partitioned") + of(way, "unsent");
        assert_eq!(accounted, of(way, "received"), "{end}");
    }
}

#[test]
fn settings_change_by_command_and_the_relay_ends_with_its_commander() {
    let (a, b) = (socket(), socket());
    let to = address(&b);
    let mut relay = Impair::start(&["udp", "--listen", "127.0.0.1:0", "--to", &to]);
    let listen = relay.address("listen");
    let passes = |a: &UdpSocket| {
        a.send_to(b"now?", listen).expect("sent");
        b.recv_from(&mut [0; 64]).is_ok()
    };
    for round in 0..3 {
        assert!(passes(&a), "round {round}");
        relay.set("up.partition");
        assert!(!passes(&a), "round {round}");
        relay.set("up.heal");
    }
    let end = relay.hang_up();
    assert_eq!((&end["reason"], count(&end, "up", "partitioned")), (&Value::from("input"), 3));
}

#[test]
fn others_networks_and_wrong_words_are_refused() {
    let refused = |args: &[&str], reason: &str| {
        let output = aldis().arg("impair").args(args).output().expect("aldis runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason), "{said}");
    };
    let any = "127.0.0.1:0";
    refused(&["udp", "--listen", any, "--to", "8.8.8.8:53"], "private");
    refused(&["udp", "--listen", "0.0.0.0:0", "--to", "127.0.0.1:9"], "private");
    refused(&["udp", "--listen", any, "--to", any, "--set", "loss=200%"], "share");
    refused(&["udp", "--listen", any, "--to", any, "--at", "5s"], "settings are needed");
    refused(&["tcp", "--listen", any, "--to", any, "--set", "loss=1%"], "stream");
    refused(&["udp", "--listen", any, "--to", any, "--set", "reset"], "no connections");
}

#[test]
fn a_target_that_is_not_there_is_counted_and_ends_nothing() {
    let gone = address(&socket());
    let relay =
        Impair::start(&["udp", "--listen", "127.0.0.1:0", "--to", &gone, "--every", "50ms"]);
    let client = socket();
    let deadline = Instant::now() + PATIENCE;
    let mut relay = relay;
    loop {
        client.send_to(b"anyone?", relay.address("listen")).expect("sent");
        let line = relay.wait_line("counts");
        if count(&line, "up", "unsent") > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{line}");
    }
}
