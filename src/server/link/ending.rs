//! How far the link has come on its way out. Knows no session.

use std::time::{Duration, Instant};

/// Time for what was sent to be acknowledged when the node goes away.
pub const FLUSH_MAX: Duration = Duration::from_millis(500);
/// Time for the end of the sessions to be said after that, more than once.
pub const CLOSE_MAX: Duration = Duration::from_millis(150);

/// See the file's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The node stays.
    No,
    /// What was sent is waited for.
    Flushing {
        /// So long at most.
        until: Instant,
    },
    /// The sessions are closed.
    Closing {
        /// So long.
        until: Instant,
    },
}

impl Ending {
    /// When the next step is due.
    pub fn due_at(self) -> Option<Instant> {
        match self {
            Self::No => None,
            Self::Flushing { until } | Self::Closing { until } => Some(until),
        }
    }
}
