//! The deterministic simulation of a node, or of two that share store and directory: real services,
//! client cores and stores, simulated network, threads and time. A seed is a whole history; the same seed is the same history, byte
//! for byte. Real sockets, threads and files are the scenario tests' business.
//!
//! A run: people register, log in, write, make groups; connections break, the node crashes; then
//! everything heals, everybody catches up in bounded virtual time, and the promises are checked
//! against the store, against what devices applied, and by aldis-check on the recorded history.

mod agenda;
mod answers;
mod app;
mod cluster;
mod conn;
mod coverage;
mod device;
mod dice;
mod ending;
mod faults;
mod glue;
mod invariants;
mod ledger;
mod mail;
mod network;
mod node;
mod outside;
mod pest;
mod plan;
mod reactor;
mod recorder;
mod world;
mod writing;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use aldis_store::memory::Bug;
pub use coverage::{Coverage, EXPECTED};

use world::World;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How often what happened.
    pub coverage: Coverage,
    /// The recorded history, as aldis-check reads it.
    pub history: String,
    /// What must not have happened; empty: the run is good.
    pub violations: Vec<String>,
    /// Virtual time at the end, ms.
    pub virtual_ms: u64,
}

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A bug of the store that the run should notice.
    pub bug: Option<Bug>,
    /// Print what happens.
    pub is_traced: bool,
}

/// Runs one seed. A panic inside is a violation, too.
pub fn run(seed: u64, options: Options) -> Outcome {
    let mut world = World::new(seed, options.bug, options.is_traced);
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.begin();
        let load_ms = world.plan.load_ms;
        world.run(load_ms, |_| false);
        if world.out.violations.is_empty() {
            world.end();
        }
        if world.out.violations.is_empty() {
            world.check_invariants();
        }
    }));
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.out.violation(format!("panic: {}", text.unwrap_or_default()));
    }
    Outcome {
        coverage: world.out.coverage,
        history: world.lines.text,
        violations: world.out.violations,
        virtual_ms: world.out.agenda.now_ms(),
    }
}
