//! Goal: whatever connections say, and in whatever order workers answer, the services hold their
//! promises. Replays the corpus of tests/fuzz on stable Rust, and random inputs besides.

mod judge;
#[path = "../../../fuzz/replay.rs"]
mod replay;
mod script;
mod session;
mod workers;
mod world;

#[test]
fn any_sequence_of_frames_and_replies_keeps_the_promises_of_a_session() {
    replay::replay("session", session::run);
}
