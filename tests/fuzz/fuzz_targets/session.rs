//! Fuzz target: frames, replies and failures in any order into the services of a node. What is asserted
//! stands in the simulation's tests.
#![no_main]

#[path = "../../sim/tests/fuzzed/judge.rs"]
mod judge;
#[path = "../../sim/tests/fuzzed/script.rs"]
mod script;
#[path = "../../sim/tests/fuzzed/session.rs"]
mod session;
#[path = "../../sim/tests/fuzzed/workers.rs"]
mod workers;
#[path = "../../sim/tests/fuzzed/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| session::run(data));
