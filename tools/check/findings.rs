//! What checking found: violations, doubts, and the verdict that follows. Knows no invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::LineRef;

/// Violations of one invariant that are described; the rest are counted.
const DESCRIBED_MAX: usize = 20;
/// Doubts that are described.
const DOUBTS_MAX: usize = 20;

/// A promise of the server that histories can show broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// Every acknowledged send is in every entitled member's final sync.
    I1,
    /// One (conversation, sender, client_msg_id) has one place; retries return it.
    I2,
    /// Nothing is read that nobody sent, and no refused send appears.
    I3,
    /// (conversation, conv_seq) and (owner, seq) are one value for all readers, nodes and paths.
    I4,
    /// Whoever sees seq n can at that moment read all of 1..n.
    I5,
    /// A sync returns every entry above its start, ascending, and paging ends; so does history.
    I6,
    /// An acknowledgement before another send's start means a smaller conv_seq; each sender's own
    /// order holds.
    I7,
    /// Nobody reads outside their membership.
    I8,
    /// No request begun after a recall's acknowledgement returns the content, none begun after an
    /// edit's an older one; read marks never go back.
    I9,
    /// Unread equals messages above the mark.
    I10,
    /// Ids are unique.
    I12,
    /// A mailbox holds each conversation in conv_seq order.
    I13,
    /// What somebody may not send any more is refused: after a block, a leave, a removal, the end of
    /// the group.
    I14,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Invariant::I1 => "I1 an acknowledged send is in every member's final sync",
            Invariant::I2 => "I2 a client_msg_id has one place",
            Invariant::I3 => "I3 only what was sent is read",
            Invariant::I4 => "I4 a position is one value for all",
            Invariant::I5 => "I5 who sees n can read 1..n",
            Invariant::I6 => "I6 pages are complete, ascending and end",
            Invariant::I7 => "I7 order of sends",
            Invariant::I8 => "I8 nobody reads outside their membership",
            Invariant::I9 => {
                "I9 neither what was recalled or said before nor a read mark comes back"
            }
            Invariant::I10 => "I10 unread equals messages above the mark",
            Invariant::I12 => "I12 ids are unique",
            Invariant::I13 => "I13 mailboxes keep the order of conversations",
            Invariant::I14 => "I14 what may not be sent any more is refused",
        };
        f.write_str(text)
    }
}

/// One case of a broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// What happened.
    pub what: String,
    /// The lines that show it.
    pub lines: Vec<LineRef>,
}

/// The judgement of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing contradicts the promises, and everything needed to say so was recorded.
    Valid,
    /// A promise was broken.
    Invalid {
        /// The first cases of each invariant.
        violations: Vec<Violation>,
        /// All cases, by invariant.
        counts: BTreeMap<Invariant, usize>,
    },
    /// The history does not allow a judgement, for these reasons. It counts as a failure.
    Unknown(Vec<String>),
}

/// Collects what the checks find.
#[derive(Debug, Default)]
pub struct Findings {
    violations: Vec<Violation>,
    counts: BTreeMap<Invariant, usize>,
    doubts: BTreeSet<String>,
}

impl Findings {
    /// A promise was broken. The description is made only for the first cases.
    pub fn violation(
        &mut self,
        invariant: Invariant,
        lines: &[LineRef],
        what: impl FnOnce() -> String,
    ) {
        let count = self.counts.entry(invariant).or_default();
        *count += 1;
        if *count <= DESCRIBED_MAX {
            let mut lines = lines.to_vec();
            lines.sort();
            lines.dedup();
            self.violations.push(Violation { invariant, what: what(), lines });
        }
    }

    /// Something needed for a judgement is missing.
    pub fn doubt(&mut self, what: impl FnOnce() -> String) {
        if self.doubts.len() < DOUBTS_MAX {
            self.doubts.insert(what());
        }
    }

    /// The judgement.
    pub fn verdict(self) -> Verdict {
        if !self.counts.is_empty() {
            Verdict::Invalid { violations: self.violations, counts: self.counts }
        } else if !self.doubts.is_empty() {
            Verdict::Unknown(self.doubts.into_iter().collect())
        } else {
            Verdict::Valid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_outweighs_a_doubt_and_many_are_counted() {
        assert_eq!(Findings::default().verdict(), Verdict::Valid);
        let mut findings = Findings::default();
        findings.doubt(|| "no final sync".to_owned());
        for _ in 0..100 {
            findings.violation(Invariant::I4, &[], || "twice".to_owned());
        }
        let Verdict::Invalid { violations, counts } = findings.verdict() else { panic!() };
        assert_eq!((violations.len(), counts[&Invariant::I4]), (DESCRIBED_MAX, 100));
    }
}
