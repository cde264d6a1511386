//! Checks recorded histories of clients against the promises of the server. Knows what clients
//! did and saw, never how a server works.
//!
//! A history is a set of JSON lines (see [`record`]); [`History`] reads them, [`check`] judges
//! them: every invariant is a file of `invariants/`.

mod edits;
mod facts;
mod findings;
mod history;
mod invariants;
mod membership;
mod model;
mod reader;
mod reader_marks;
pub mod record;
mod versions;

pub use findings::{Invariant, Verdict, Violation};
pub use history::{History, LineRef, Problem, Summary};

use facts::Facts;
use findings::Findings;

/// Judges a history. A violation outweighs a doubt: what was seen stays seen.
pub fn check(history: &History) -> Verdict {
    let mut findings = Findings::default();
    let facts = Facts::of(history, &mut findings);
    for check in invariants::ALL {
        check(&facts, &mut findings);
    }
    findings.verdict()
}
