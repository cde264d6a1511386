//! Several nodes on one MariaDB: mailboxes stay dense and complete while all of them write, a
//! message sent through two of them at once is one message, and each sees what the others changed.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod agreement;
mod at_random;
mod failures;
mod harness;
#[cfg(feature = "planted-bugs")]
mod planted;
