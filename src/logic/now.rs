//! The time that is handed to the logic, which has no clock.

/// The time of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed moment; never goes back. ms
    pub mono_ms: u64,
    /// Unix time, for tokens and for clients. ms
    pub unix_ms: u64,
}
