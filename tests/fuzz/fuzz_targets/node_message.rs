//! Fuzz target: messages of another node. What is asserted stands in the crate's tests.
#![no_main]

#[path = "../../../src/logic/tests/fuzzed/node_message.rs"]
mod node_message;
#[path = "../../../src/logic/tests/fuzzed/scene.rs"]
#[allow(dead_code, reason = "each target needs a part of it")]
mod scene;

libfuzzer_sys::fuzz_target!(|data: &[u8]| node_message::run(data));
