//! What strangers can take: memory for what they sent, descriptors only as many as there are.

use std::process::Command as Process;
use std::time::{Duration, Instant};

use aldis_net::{CloseReason, Config};
use aldis_wire::Command;
use aldis_wire::limits::BODY_BYTES_MAX;

use crate::node::{Client, Event, Node, PATIENCE, heartbeat, request};

/// Set for the copy of this test binary that runs with few descriptors.
const CHILD: &str = "ALDIS_NET_TEST_FEW_DESCRIPTORS";

#[test]
fn announced_bodies_take_no_memory_before_they_come() {
    let node = Node::start(Config::default());
    let mut header = request(Command::MsgSend.id(), 2, &[]);
    header[12..16].copy_from_slice(&(BODY_BYTES_MAX as u32).to_be_bytes());
    let count = 2000;
    let login = request(Command::Login.id(), 1, b"");
    let clients: Vec<Client> = (0..count)
        .map(|_| {
            let mut client = Client::connect(node.address);
            client.send(&[&login[..], &header, b"some"].concat());
            client.expect_seqs([1]);
            client
        })
        .collect();
    let capacity = node.call(|io, _| io.input_capacity());
    assert!(capacity >= 20 * count, "{capacity} bytes: the headers and the first bytes");
    assert!(capacity <= 64 * count, "{capacity} bytes for {count} connections");
    drop(clients);
}

#[test]
fn connections_above_the_limit_are_closed_at_once() {
    let node = Node::start(Config { connections_max: 2, ..Config::default() });
    let (first, id) = node.log_in();
    let (mut second, _) = node.log_in();
    let mut third = Client::connect(node.address);
    assert!(third.receive().is_none());
    assert_eq!(node.counters().refused, 1);
    second.send(&heartbeat(5, 0));
    second.expect_seqs([5]);
    drop(first);
    node.wait_for(Event::Closed(id, CloseReason::Peer));
    node.log_in();
}

#[test]
fn more_connections_than_a_turn_accepts_are_all_accepted() {
    let node = Node::start(Config { accepts_per_turn: 1, ..Config::default() });
    let clients: Vec<Client> = (0..50).map(|_| Client::connect(node.address)).collect();
    for mut client in clients {
        client.send(&heartbeat(1, 0));
        client.expect_seqs([1]);
    }
}

#[test]
fn those_that_are_connected_when_listening_stops_are_served() {
    let node = Node::start(Config { accepts_per_turn: 1, ..Config::default() });
    let address = node.address;
    // While the reactor is busy with this, nothing is accepted.
    let mut clients = node.call(move |io, _| {
        let clients: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
        io.stop_listening();
        clients
    });
    for client in &mut clients {
        client.send(&heartbeat(1, 0));
        client.expect_seqs([1]);
    }
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn listening_ends_without_any_further_event() {
    let node = Node::start(Config::default());
    node.call(|io, _| io.stop_listening());
    let port = format!(":{:04X} ", node.address.port());
    let listens = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        format!("{} ", fields[1]).ends_with(&port) && fields[3] == "0A"
    };
    let begin = Instant::now();
    while std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(listens) {
        assert!(begin.elapsed() < PATIENCE, "it still listens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Goal: accepting survives the want of descriptors, does not spin meanwhile, and goes on when
/// there are some again. The limit holds for a process, so it runs in one of its own.
#[test]
fn running_out_of_descriptors_pauses_accepting() {
    if std::env::var_os(CHILD).is_some() {
        return accept_with_few_descriptors();
    }
    let binary = std::env::current_exe().unwrap();
    let output = Process::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --test-threads 1 --nocapture"])
        .arg(binary)
        .arg("limits::running_out_of_descriptors_pauses_accepting")
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

fn accept_with_few_descriptors() {
    let node = Node::start(Config::default());
    let mut clients = Vec::new();
    // Both ends are in this process: the last connections wait in the kernel.
    while let Ok(stream) = std::net::TcpStream::connect(node.address) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        clients.push(Client { stream });
    }
    node.until(|io, _| io.counters().accept_failures > 0);
    let before = node.counters();
    std::thread::sleep(Duration::from_secs(1));
    let after = node.counters();
    // Ten tries at 100 ms, some deadlines, these two calls; a spinning loop has many thousands.
    assert!(after.turns - before.turns < 200, "{} turns", after.turns - before.turns);
    assert!(after.accept_failures > before.accept_failures, "it tries on");
    // Half of the connections end; the waiting ones get their descriptors.
    let mut rest = clients.split_off(clients.len() / 2);
    drop(clients);
    for client in &mut rest {
        client.send(&heartbeat(1, 0));
        client.expect_seqs([1]);
    }
}
