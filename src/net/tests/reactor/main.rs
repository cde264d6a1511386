//! The reactor through real sockets on 127.0.0.1: one module per group of behaviours.

// Clippy sees that functions with #[test] are tests, but not that all of this is.
#![allow(clippy::unwrap_used)]

mod chaos;
mod deadlines;
mod ends;
mod frames;
mod limits;
mod mail;
mod node;
mod shares;
mod slow;
mod tls;
