//! The contract of `Directory`, run against every backend: what each call answers, and what others
//! then see.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod harness;
mod nodes;
mod random;
mod sessions;
