//! What scenarios share: a server process of their own, and a client that can also misbehave.
//! Knows nothing of the server's inside.

mod raw_client;
mod server;

pub use raw_client::{RawClient, Reply, login_body, random_16};
pub use server::{Server, ServerOptions, aldis};

/// The seed of a random test: ALDIS_SEED, or a fresh one. It is printed, so that a failure can be
/// repeated.
pub fn seed() -> u64 {
    let given = std::env::var("ALDIS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| getrandom::u64().expect("the kernel gives random numbers"));
    println!("seed {seed} (repeat with ALDIS_SEED={seed})");
    seed
}
