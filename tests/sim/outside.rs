//! What is around the parts of a simulation: time, network, chance, and what is noted about a run.
//! Knows no part.

use crate::agenda::Agenda;
use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::network::Network;

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
    /// Jobs of the directory that meet a full queue now, per mille.
    pub directory_full: u64,
    /// Jobs of the directory that take long now, per mille.
    pub directory_slow: u64,
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
