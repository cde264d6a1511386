//! Fuzz target: operations and impairments on a pair of endpoints. What is asserted stands in the
//! crate's tests.
#![no_main]

#[path = "../../../protocol/rudp/tests/fuzzed/pair.rs"]
mod pair;
#[path = "../../../protocol/rudp/tests/simulated/sim/mod.rs"]
#[allow(dead_code, reason = "the simulation's world is not used here")]
mod sim;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pair::run(data));
