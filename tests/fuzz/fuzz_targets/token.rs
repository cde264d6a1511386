//! Fuzz target: any bytes as a token. What is asserted stands in the crate's tests.
#![no_main]

#[path = "../../../src/logic/tests/fuzzed/token.rs"]
mod token;

libfuzzer_sys::fuzz_target!(|data: &[u8]| token::run(data));
