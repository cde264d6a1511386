//! The contract of `Store`, run against every backend: what each job answers, and what it changes.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod accounts;
mod append;
mod conversations;
mod devices;
mod failures;
mod friends;
mod group_admin;
mod groups;
mod harness;
mod messages;
mod open_history;
mod pages;
mod random;
mod reactions;
mod search;
mod search_random;
mod search_streams;
mod sight;
mod stream_changes;
mod streams;
mod views;
