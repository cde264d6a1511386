//! The hub: what a node tells the others, what it makes of what they tell it. Several hubs are joined
//! by a link and a directory that the test controls.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod faults;
mod harness;
mod notices;
mod routing;
