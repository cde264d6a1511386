//! Two endpoints on a bad network, with restarts and attackers, and a judge. A run follows from its
//! seed alone.
//!
//! - `plan`: what a seed means. `world`: time, network and hosts. `host`: an endpoint and its
//!   application. `hostile`: a count of what attackers do. `judge`: what was promised about messages. `wary`: what was promised about
//!   everything else.

pub mod content;
pub mod host;
pub mod hostile;
pub mod judge;
pub mod plan;
mod wary;
mod world;

pub use plan::Plan;
pub use world::{Outcome, World};

/// One millisecond, ns.
pub const MS: u64 = 1_000_000;
/// One second, ns.
pub const SECOND: u64 = 1_000 * MS;

/// Runs a seed; a broken promise panics.
pub fn run(seed: u64) -> Outcome {
    World::new(Plan::new(seed)).run()
}
