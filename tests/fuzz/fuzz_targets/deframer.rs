//! Fuzz target: any bytes in any chunks into a reactor. What is asserted stands in the crate's tests.
#![no_main]

#[path = "../../../src/net/tests/fuzzed/deframer.rs"]
mod deframer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| deframer::run(data));
