//! What the Redis directory does when Redis forgets, hangs, refuses or goes away: nobody waits for
//! long, and every session comes back.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod attempts;
mod away;
mod cluster;
mod conflicts;
mod harness;
mod losses;
mod refusals;
