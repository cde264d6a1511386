//! Fuzz target: any bytes as the body of a request. What is asserted stands in the crate's tests.
#![no_main]

#[path = "../../../src/logic/tests/fuzzed/command.rs"]
mod command;
#[path = "../../../src/logic/tests/fuzzed/scene.rs"]
#[allow(dead_code, reason = "each target needs a part of it")]
mod scene;

libfuzzer_sys::fuzz_target!(|data: &[u8]| command::run(data));
