//! Goal: two endpoints over a simulated link keep every promise that one session makes, mechanism by
//! mechanism. Time is simulated; seeds are in the tests.

mod congestion;
mod link;
mod messages;
mod pair;
mod path;
mod recovery;
mod security;
mod sessions;
