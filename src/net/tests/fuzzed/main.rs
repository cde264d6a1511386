//! Goal: what fuzzers feed to the deframer, in whatever chunks, breaks nothing. Replays the corpus of
//! tests/fuzz on stable Rust, and random inputs besides.

mod deframer;
#[path = "../../../../tests/fuzz/replay.rs"]
mod replay;

#[test]
fn any_bytes_in_any_chunks_are_the_frames_that_are_in_them() {
    replay::replay("deframer", deframer::run);
}
