//! What scenarios share: a server process of their own, a client that can also misbehave, a pair
//! of clients that behave, and what the kernel knows. Knows nothing of the server's inside.

pub mod audit;
mod cluster;
pub mod contract;
pub mod hammer;
pub mod http;
mod impair;
pub mod kernel;
mod mysql_node;
mod pair;
mod probe;
pub mod process;
mod raw_client;
pub mod requests;
mod scene;
mod server;
mod spread;

pub use cluster::{Cluster, login, next_entry};
pub use impair::Impair;
pub use mysql_node::{NodeOptions, migrate, runtime_account};
pub use pair::Pair;
pub use probe::{Probe, Seen};
pub use raw_client::{RawClient, Reply, frame};
pub use scene::{Scene, wait_for};
pub use server::{SeededUser, Server, ServerOptions, aldis, aldisd};
pub use spread::Spread;

/// The seed of a random test: ALDIS_SEED, or a fresh one. It is printed, so that a failure can be
/// repeated.
pub fn seed() -> u64 {
    let given = std::env::var("ALDIS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| getrandom::u64().expect("the kernel gives random numbers"));
    println!("seed {seed} (repeat with ALDIS_SEED={seed})");
    seed
}
