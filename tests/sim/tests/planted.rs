//! Bugs that are planted into the store are found: a simulation that finds nothing proves nothing.

use aldis_sim::{Bug, Options, run};

/// Seeds within which a bug must be found.
const SEED_COUNT: u64 = 20;

/// What the first seed that notices the bug says.
fn find(bug: Bug) -> String {
    let options = Options { bug: Some(bug), ..Options::default() };
    let found = (0..SEED_COUNT).find_map(|seed| run(seed, options).violations.into_iter().next());
    found.unwrap_or_else(|| panic!("{bug:?} was not noticed in {SEED_COUNT} seeds"))
}

#[test]
fn an_acknowledgement_before_the_commit_is_noticed() {
    println!("{}", find(Bug::AckBeforeCommit));
}

#[test]
fn gaps_left_by_failed_batches_are_noticed() {
    println!("{}", find(Bug::SeqBeforeTransaction));
}

#[test]
fn a_resend_that_is_stored_twice_is_noticed() {
    println!("{}", find(Bug::NoDedupe));
}

#[test]
fn sessions_that_a_login_on_another_node_does_not_end_are_noticed() {
    println!("{}", find(Bug::NoEpochCheck));
}
