//! Goal: what fuzzers feed to an endpoint breaks nothing. Replays the corpora of tests/fuzz on stable
//! Rust, and random inputs besides. `RUDP_FUZZ_SEED=n` runs the random inputs of one seed.

mod datagram;
mod pair;
#[path = "../simulated/sim/mod.rs"]
#[allow(dead_code, reason = "the simulation's world is not used here")]
mod sim;

use std::fs;
use std::path::PathBuf;

use aldis_netsim::Rng;

/// Random inputs of each kind.
const RANDOM_INPUTS: u64 = 300;
/// Bytes of the longest random input.
const RANDOM_BYTES_MAX: u64 = 600;

/// Runs all inputs of a target's corpus.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("a readable folder").path();
        println!("{}", path.display());
        run(&fs::read(&path).expect("a readable input"));
        count += 1;
    }
    assert!(count >= 10, "{} holds {count} inputs", folder.display());
}

/// Runs random inputs, of which the first byte often is small.
fn random(run: impl Fn(&[u8])) {
    let only = std::env::var("RUDP_FUZZ_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    for seed in only.map_or(0..RANDOM_INPUTS, |seed| seed..seed + 1) {
        println!("RUDP_FUZZ_SEED={seed}");
        let mut rng = Rng::new(seed);
        let len = rng.below(RANDOM_BYTES_MAX);
        let input: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        run(&input);
    }
}

#[test]
fn any_datagram_into_a_live_endpoint_is_harmless() {
    replay("rudp_datagram", datagram::run);
    random(datagram::run);
}

#[test]
fn any_sequence_of_operations_and_impairments_keeps_the_promises() {
    replay("rudp_pair", pair::run);
    random(pair::run);
}
