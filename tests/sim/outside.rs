//! What is around the parts of a simulation: time, network, chance, and what is noted about a run.
//! Knows no part.

use std::collections::BTreeSet;

use aldis_wire::{Seq, UserId};

use crate::agenda::Agenda;
use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::network::Network;
use crate::wire::Wire;

/// How often things go wrong inside nodes now, per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Jobs of the directory that meet a full queue.
    pub directory_full: u64,
    /// Jobs of the directory that take long.
    pub directory_slow: u64,
    /// Mail between reactors that does not fit.
    pub kick_lost: u64,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Outside {
    /// Virtual time and what is planned.
    pub agenda: Agenda,
    /// Every decision.
    pub dice: Dice,
    /// All connections.
    pub net: Network,
    /// What happened how often.
    pub coverage: Coverage,
    /// Nodes of the cluster.
    pub node_count: usize,
    /// How often things go wrong now.
    pub rates: Rates,
    /// All datagrams between nodes.
    pub wire: Wire,
    /// Entries that links handed to nodes: to which start of one, whose, and their places.
    pub by_link: BTreeSet<(u32, UserId, Seq)>,
    /// Whether to print what happens.
    pub is_traced: bool,
    /// What must not happen and did.
    pub violations: Vec<String>,
}

impl Outside {
    /// Prints a line of the trace.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>10.3} ms  {}", self.agenda.now_us() as f64 / 1_000.0, what());
        }
    }

    /// Notes what must not happen.
    pub fn violation(&mut self, what: String) {
        self.trace(|| format!("VIOLATION {what}"));
        self.violations.push(what);
    }
}
