//! The deterministic simulation of a cluster of one to four nodes: real services, hubs, reliable UDP,
//! client cores and stores; simulated networks, threads and time. A seed is a whole history; the same
//! seed is the same history, byte for byte. Real sockets, threads and files are the scenario tests'
//! business.
//!
//! A run: people register, log in, write, recall, edit, block, make groups and end them; connections break, nodes crash, stop and go on,
//! lose sight of each other and of the directory; then everything heals, everybody catches up in bounded
//! virtual time, what the link promises is tried out, and the promises are checked against the store,
//! against what devices applied, and by aldis-check on the recorded history.

mod agenda;
mod answers;
mod app;
mod asking;
mod changing;
mod cluster;
mod conn;
mod coverage;
mod device;
mod dice;
mod directory;
mod ending;
mod faults;
mod glue;
mod invariants;
mod ledger;
mod linking;
mod mail;
mod nemesis;
mod network;
mod node;
mod outside;
mod pest;
mod plan;
mod probes;
mod reactor;
mod recorder;
mod wire;
mod world;
mod writing;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use aldis_logic::cluster::Bug as HubBug;
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
    /// The same of the hubs.
    pub hub_bug: Option<HubBug>,
    /// Print what happens.
    pub is_traced: bool,
}

/// Runs one seed. A panic inside is a violation, too.
pub fn run(seed: u64, options: Options) -> Outcome {
    aldis_logic::cluster::plant(options.hub_bug);
    let mut world = World::new(seed, options);
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
    aldis_logic::cluster::plant(None);
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
