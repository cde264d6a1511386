//! What only the MySQL backend has: migrations, claims of node numbers, durable pages, replicas,
//! a server that goes away. The contract of all backends is tested beside this.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod claim;
mod durable;
mod harness;
mod migrate;
mod outage;
mod replica;
mod settings;
mod tls;
