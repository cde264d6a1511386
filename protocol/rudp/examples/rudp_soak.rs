//! Runs the simulation for any number of seeds:
//! `cargo run --release -p aldis-rudp --example rudp_soak -- --seeds N --start S`.
//! Exits with 1 if any of them failed.

#[path = "../tests/simulated/sim/mod.rs"]
mod sim;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use sim::hostile::Hostile;

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut seeds, mut start) = (10_000, 0);
    while let Some(name) = args.next() {
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--seeds", Some(value)) => seeds = value,
            ("--start", Some(value)) => start = value,
            _ => {
                eprintln!("usage: rudp_soak [--seeds N] [--start S]");
                std::process::exit(2);
            }
        }
    }
    let (begun, mut failed) = (Instant::now(), Vec::new());
    let (mut sent, mut delivered, mut datagrams, mut endings) = (0, 0, 0, 0);
    let (mut slowest, mut hostile) = ((0, 0), Hostile::default());
    for seed in start..start + seeds {
        match catch_unwind(AssertUnwindSafe(|| sim::run(seed))) {
            Ok(outcome) => {
                sent += outcome.messages.0;
                delivered += outcome.messages.1;
                datagrams += outcome.datagram_count;
                endings += outcome.ending_count;
                hostile += outcome.hostile;
                slowest = slowest.max((outcome.recovery_ns, seed));
            }
            Err(_) => failed.push(seed),
        }
    }
    println!("{sent} messages, {delivered} delivered, {datagrams} datagrams, {endings} endings");
    println!("{hostile}");
    println!("slowest recovery {} ms in seed {}", slowest.0 / 1_000_000, slowest.1);
    println!(
        "{seeds} seeds from {start} in {:.1} s: {} failed {failed:?}",
        begun.elapsed().as_secs_f64(),
        failed.len()
    );
    std::process::exit(i32::from(!failed.is_empty()));
}
