//! Fuzz target: one datagram into a live endpoint. What is asserted stands in the crate's tests.
#![no_main]

#[path = "../../../protocol/rudp/tests/fuzzed/datagram.rs"]
mod datagram;

libfuzzer_sys::fuzz_target!(|data: &[u8]| datagram::run(data));
