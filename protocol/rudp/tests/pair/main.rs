//! Goal: two endpoints over a simulated link keep every promise that one session makes, mechanism by
//! mechanism. Time is simulated; seeds are in the tests.

mod link;
mod messages;
mod pair;
mod sessions;
