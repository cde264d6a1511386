//! Fuzz target: any text as a configuration. What is asserted stands beside the configuration.
#![no_main]

#[path = "../../../src/server/config/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the server needs the rest of it")]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::fuzzed::run(data));
