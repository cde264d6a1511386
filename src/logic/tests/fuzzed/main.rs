//! Goal: what fuzzers feed to commands, tokens and messages of other nodes breaks nothing. Replays the
//! corpora of tests/fuzz on stable Rust, and random inputs besides.

mod command;
mod node_message;
#[path = "../../../../tests/fuzz/replay.rs"]
mod replay;
mod scene;
mod token;

#[test]
fn any_body_of_any_command_is_answered_or_becomes_one_job_in_the_own_name() {
    replay::replay("command", command::run);
}

#[test]
fn any_token_is_refused_that_the_server_did_not_sign() {
    replay::replay("token", token::run);
}

#[test]
fn any_message_of_another_node_is_harmless() {
    replay::replay("node_message", node_message::run);
}
