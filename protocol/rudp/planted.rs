//! Bugs that can be switched on, so that a simulation can show that it would notice them. Without
//! the feature `planted-bugs` and outside of tests none of it is compiled in.

#[cfg(any(test, feature = "planted-bugs"))]
use std::cell::Cell;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Messages that arrive again are delivered again.
    NoDedupe,
    /// Acknowledgements name a packet that did not arrive.
    AckOfTheMissing,
    /// Probe timeouts follow each other without growing.
    NoBackoff,
    /// Probes carry a ping instead of the data that is missing.
    ProbeWithoutData,
    /// Plain datagrams are not checked, so that a fuzzer gets past that.
    NoChecksum,
}

#[cfg(any(test, feature = "planted-bugs"))]
thread_local! {
    static ACTIVE: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Switches one bug on, or all off, for the endpoints that this thread runs.
#[cfg(any(test, feature = "planted-bugs"))]
pub fn plant(bug: Option<Bug>) {
    ACTIVE.with(|active| active.set(bug));
}

/// Whether a bug is on.
#[cfg(any(test, feature = "planted-bugs"))]
pub(crate) fn is_active(bug: Bug) -> bool {
    ACTIVE.with(|active| active.get() == Some(bug))
}

/// Whether a bug is on.
#[cfg(not(any(test, feature = "planted-bugs")))]
#[inline(always)]
pub(crate) fn is_active(_: Bug) -> bool {
    false
}
