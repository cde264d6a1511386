//! Work for the password pool.

use super::Ticket;
/// Work for the password pool.
#[derive(Clone, Debug)]
pub struct HashRequest {
    /// Who waits.
    pub ticket: Ticket,
    /// The work.
    pub job: HashJob,
}

/// Work for the password pool. `Debug` does not show the password.
#[derive(Clone)]
pub enum HashJob {
    /// Make a PHC string.
    Hash {
        /// Plain text.
        password: String,
    },
    /// Compare. An empty PHC string takes the same time and never fits.
    Verify {
        /// Plain text.
        password: String,
        /// What it should be.
        password_phc: String,
    },
}

impl std::fmt::Debug for HashJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            HashJob::Hash { .. } => "Hash",
            HashJob::Verify { .. } => "Verify",
        })
    }
}

/// Result of hashing.
#[derive(Clone, Debug)]
pub struct HashReply {
    /// From the request.
    pub ticket: Ticket,
    /// What came of it.
    pub result: HashResult,
}

/// Result of hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashResult {
    /// Of `Hash`: the PHC string.
    Hashed(String),
    /// Of `Verify`.
    Verified(bool),
    /// The pool could not do it (out of memory).
    Failed,
}
