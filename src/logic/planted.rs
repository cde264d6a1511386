//! Bugs in what requests get that can be planted, to prove that the packet fuzzer finds them. Without the
//! feature `planted-bugs` none of it is compiled in.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RequestBug {
    /// A HISTORY after the highest of all numbers panics, as one that adds 1 to it would.
    Panic = 1,
    /// To leave a group that there is not is a CONFLICT.
    WrongCode,
    /// MSG_SYNC takes a stream that is no group for the mailbox of the user with this id.
    OthersMailbox,
    /// USER_GET is answered before the login.
    Unauthenticated,
}

#[cfg(feature = "planted-bugs")]
static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// Switches one bug on for this process, or all off.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<RequestBug>) {
    ACTIVE.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
}

/// Whether a bug is on.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is_active(bug: RequestBug) -> bool {
    ACTIVE.load(Ordering::Relaxed) == bug as u8
}

/// Whether a bug is on.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub(crate) fn is_active(_: RequestBug) -> bool {
    false
}
