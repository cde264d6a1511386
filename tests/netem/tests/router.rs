//! Goal: nodes in namespaces reach each other through the router, and what tc netem is told happens
//! to real datagrams, to each direction apart, until it is healed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use aldis_netem::{Lab, Node, RouterKind};
use serde_json::Value;

const PEER: &str = env!("CARGO_BIN_EXE_netem-peer");
const PORT: u16 = 7_000;

/// A process that echoes in a node's namespace.
struct Echo(Child);

impl Echo {
    fn start(node: &Node) -> Self {
        let address = format!("{}:{PORT}", node.address());
        let mut child = node
            .command(Path::new(PEER))
            .args(["echo", &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("its output");
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Numbered datagrams from one node to the echo on another; what came back.
fn measure(from: &Node, to: &Node, count: u32) -> Value {
    let (address, count) = (format!("{}:{PORT}", to.address()), count.to_string());
    let output = from
        .command(Path::new(PEER))
        .args(["send", &address, &count])
        .stdin(Stdio::null())
        .output()
        .expect("ip starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let measured = serde_json::from_slice(&output.stdout).expect("a JSON line");
    println!("{measured}");
    measured
}

fn number(measured: &Value, name: &str) -> u64 {
    measured[name].as_u64().unwrap_or_else(|| panic!("no {name} in {measured}"))
}

/// Everything arrives, once, in order.
fn assert_untouched(measured: &Value) {
    assert_eq!(measured["received"], measured["sent"]);
    for name in ["duplicates", "overtaken", "damaged"] {
        assert_eq!(number(measured, name), 0, "{measured}");
    }
}

#[test]
fn datagrams_are_delayed_lost_and_reordered_as_told_and_all_are_counted() {
    let mut lab = Lab::start(2);
    println!("{:?}", lab.kind());
    let [a, b] = [0, 1].map(|node| lab.nodes()[node].clone());
    let (_at_a, _at_b) = (Echo::start(&a), Echo::start(&b));
    assert_untouched(&measure(&a, &b, 300));

    // Towards b only: a tenth is lost, the others take 20 ms, a fifth of them overtakes.
    lab.impair(1, "delay 20ms loss 10% reorder 20%");
    let total = 3_000_u32;
    let measured = measure(&a, &b, total);
    let (received, counts) = (number(&measured, "received"), lab.counts(1));
    assert!((2_500..2_900).contains(&received), "{measured}");
    // Besides datagrams there are only a few packets of neighbour discovery.
    let lost = u64::from(total) - received;
    assert!((lost..lost + 10).contains(&counts.dropped), "{measured} {counts:?}");
    assert!((received..received + 60).contains(&counts.sent), "{measured} {counts:?}");
    assert!(number(&measured, "overtaken") > 100, "{measured}");
    assert!(number(&measured, "rtt_us_median") >= 20_000, "{measured}");
    assert!(number(&measured, "rtt_us_min") < 20_000, "those that overtake are quick: {measured}");

    // Duplicates both ways; what has a bit flipped is dropped by its receiver's checksum.
    lab.impair(0, "duplicate 20%");
    lab.impair(1, "corrupt 20%");
    let measured = measure(&a, &b, 2_000);
    assert!((1_300..1_900).contains(&number(&measured, "received")), "{measured}");
    assert!(number(&measured, "duplicates") > 150, "{measured}");
    assert_eq!(number(&measured, "damaged"), 0, "{measured}");

    lab.heal(0);
    lab.impair(1, "loss 100%");
    assert_eq!(number(&measure(&a, &b, 50), "received"), 0);
    lab.heal(1);
    assert_untouched(&measure(&b, &a, 300));
}

#[test]
fn each_of_three_nodes_is_impaired_by_itself() {
    let mut lab = Lab::start(3);
    let nodes: Vec<_> = lab.nodes().to_vec();
    let _echoes: Vec<_> = nodes.iter().map(Echo::start).collect();
    lab.impair(2, "delay 50ms loss 30%");
    assert_untouched(&measure(&nodes[0], &nodes[1], 300));
    for from in [&nodes[0], &nodes[1]] {
        let measured = measure(from, &nodes[2], 600);
        // 420 are expected; an emulated router on a busy machine drops some more by itself.
        assert!((240..510).contains(&number(&measured, "received")), "{measured}");
        assert!(number(&measured, "rtt_us_min") >= 50_000, "{measured}");
    }
}

#[test]
fn a_router_on_the_host_forwards_between_namespaces() {
    let lab = Lab::start_on(RouterKind::Host, 3);
    let nodes = lab.nodes();
    let _echo = Echo::start(&nodes[1]);
    for from in [&nodes[0], &nodes[2]] {
        assert_untouched(&measure(from, &nodes[1], 300));
    }
}
