//! What a reactor counts. Plain numbers of one thread; knows nothing else.

use crate::CloseReason;

/// Totals since the reactor was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections opened.
    pub accepted: u64,
    /// Connections closed at once because `connections_max` were open or `handshakes_max` under way.
    pub refused: u64,
    /// TLS handshakes that were completed.
    pub handshakes: u64,
    /// Failed accepts for want of descriptors or memory.
    pub accept_failures: u64,
    /// Connections closed, by `CloseReason` as index.
    pub closed: [u64; CloseReason::ALL.len()],
    /// Frames given to the handler, those that waited once more each time.
    pub frames_in: u64,
    /// Frames queued.
    pub frames_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// System calls that read.
    pub read_calls: u64,
    /// System calls that write.
    pub write_calls: u64,
    /// Times that a connection was not read for a while because it had sent more than it may.
    pub pauses: u64,
    /// Pushes dropped because their reader was slow.
    pub pushes_dropped: u64,
    /// Times that a sender of mail woke the reactor.
    pub wakeups: u64,
    /// Turns.
    pub turns: u64,
}

impl Counters {
    /// Connections closed for this reason.
    pub fn closed_by(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }
}
