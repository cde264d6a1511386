//! The service by itself: inputs in, effects out. Replies of other threads are made up here, so
//! that each can come at the worst moment.
#![allow(clippy::unwrap_used)] // a test may fail by panicking, helpers included

mod accounts;
mod api;
mod attempts;
mod harness;
mod head_checks;
mod linked;
mod messages;
mod presence;
mod rates;
mod search;
mod stream_ends;
