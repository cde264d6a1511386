//! Attempts at passwords and registrations, as all nodes of a cluster count them together.

use super::Ticket;
use crate::throttle::Attempt;

/// For the directory: an attempt, and who waits.
#[derive(Clone, Debug)]
pub struct AttemptRequest {
    /// Who waits; nobody waits for `Forgive`.
    pub ticket: Ticket,
    /// What to do.
    pub job: AttemptJob,
}

/// A change of what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptJob {
    /// It counts as failed until it is forgiven, so that parallel ones count too.
    Begin(Attempt),
    /// It was the right password.
    Forgive(Attempt),
}

/// Answer to `Begin`.
#[derive(Clone, Copy, Debug)]
pub struct AttemptReply {
    /// From the request.
    pub ticket: Ticket,
    /// What the others' attempts mean for it.
    pub verdict: Verdict,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is counted, and may be made.
    Counted,
    /// It is not, and must not be made before so many ms have passed.
    Wait(u32),
    /// Nobody can say: the node's own count decides.
    Unknown,
}
