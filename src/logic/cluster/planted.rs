//! Bugs that can be switched on, so that the simulation can show that it would notice them. Without the
//! feature `planted-bugs` none of it is compiled in.

#[cfg(feature = "planted-bugs")]
use std::cell::Cell;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A login tells no other node that it took a session's place there.
    NoKick,
    /// A kick ends the session of its class, however new that is.
    KickOfTheNewer,
    /// A node that denies a recipient is not listened to.
    NotHereIgnored,
    /// A route is believed for ever.
    RoutesForEver,
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static ACTIVE: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Switches one bug on, or all off, for the hubs that this thread runs.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    ACTIVE.with(|active| active.set(bug));
}

/// Whether a bug is on.
#[cfg(feature = "planted-bugs")]
pub(super) fn is_active(bug: Bug) -> bool {
    ACTIVE.with(|active| active.get() == Some(bug))
}

/// Whether a bug is on.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub(super) fn is_active(_: Bug) -> bool {
    false
}
