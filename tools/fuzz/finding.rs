//! What is wrong with a server: kinds of findings, and what is kept of one. Knows how to tell whether two
//! are the same, not how they are found.

use serde::{Deserialize, Serialize};

use crate::case::Case;

/// Which oracle spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The process ended, or another one is in its place.
    Died,
    /// The log speaks of a panic.
    Panicked,
    /// It takes no connection or answers nobody.
    Unresponsive,
    /// A request has no answer although its connection is open.
    NoAnswer,
    /// A code that PROTOCOL.md does not give this command in this state.
    WrongCode,
    /// INTERNAL: the server says itself that it is wrong.
    Internal,
    /// A frame that breaks a rule of PROTOCOL.md.
    BadReply,
    /// Somebody got what only others may see.
    Disclosed,
    /// A request was served before a login.
    Unauthenticated,
    /// Something was said on a connection that is over.
    AfterEnd,
    /// A connection was closed that had given no reason.
    ClosedWithoutReason,
    /// The pair that behaves well waited too long, or lost something.
    PairDisturbed,
    /// Memory does not come back.
    Memory,
    /// Descriptors do not come back.
    Descriptors,
    /// Threads do not come back.
    Threads,
    /// More bytes are answered to a stranger than it sent, times three.
    Amplified,
}

impl Kind {
    /// Its name in files and reports.
    pub fn name(self) -> String {
        let name = serde_json::to_value(self).expect("a unit variant");
        name.as_str().expect("a unit variant is a string").to_owned()
    }
}

/// Something wrong, as an oracle says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// See there.
    pub kind: Kind,
    /// The same for the same defect, as far as that can be told: a command, a code.
    pub about: String,
    /// In words.
    pub what: String,
}

impl Problem {
    /// See the fields.
    pub fn new(kind: Kind, about: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind, about: about.into(), what: what.into() }
    }

    /// Whether it is most probably the same defect.
    pub fn is_like(&self, other: &Problem) -> bool {
        self.kind == other.kind && self.about == other.about
    }
}

/// A problem with the case that shows it, as it is written to a file and played again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Of the run.
    pub seed: u64,
    /// Of the case in the run.
    pub number: u64,
    /// See there.
    pub kind: Kind,
    /// See [`Problem::about`].
    pub about: String,
    /// In words.
    pub what: String,
    /// Seconds into the run.
    pub at_s: f64,
    /// How often it was seen in the run.
    pub count: u64,
    /// Whether playing the case again showed it again.
    pub is_confirmed: bool,
    /// What shows it; `None`: it is of no single case.
    pub case: Option<Case>,
    /// Datagrams in the place of a case, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datagrams: Vec<String>,
}

impl Finding {
    /// The problem that it is.
    pub fn problem(&self) -> Problem {
        Problem::new(self.kind, self.about.clone(), self.what.clone())
    }
}
