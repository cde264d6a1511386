//! What became of the sessions of a link since it began. Data only.

/// See the file's first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Sessions that came up.
    pub connected: u64,
    /// Sessions, or tries, that ended because the node had restarted.
    pub restarted: u64,
    /// Sessions, or tries, that ended in silence.
    pub lost: u64,
    /// Sessions that one of both sides closed.
    pub closed: u64,
    /// Times that a node was silent for long.
    pub suspected: u64,
}
