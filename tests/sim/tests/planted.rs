//! Bugs that are planted into the store and the hubs are found: a simulation that finds nothing proves
//! nothing. Goal: each is noticed within a few seeds.

use aldis_sim::{Bug, HubBug, Options, run};

/// Seeds within which a bug must be found.
const SEED_COUNT: u64 = 20;
/// The same of the hubs' bugs that need a rare order of events.
const RARE_SEED_COUNT: u64 = 200;

/// What the first seed that notices the bug says.
fn find(options: Options, seed_count: u64) -> String {
    let found = (0..seed_count).find_map(|seed| {
        let first = run(seed, options).violations.into_iter().next()?;
        Some(format!("seed {seed}: {first}"))
    });
    found.unwrap_or_else(|| panic!("{options:?}: not noticed in {seed_count} seeds"))
}

fn find_in_store(bug: Bug) -> String {
    find(Options { bug: Some(bug), ..Options::default() }, SEED_COUNT)
}

fn find_in_hub(bug: HubBug, seed_count: u64) -> String {
    let found = find(Options { hub_bug: Some(bug), ..Options::default() }, seed_count);
    println!("{found}");
    found
}

#[test]
fn an_acknowledgement_before_the_commit_is_noticed() {
    println!("{}", find_in_store(Bug::AckBeforeCommit));
}

#[test]
fn gaps_left_by_failed_batches_are_noticed() {
    println!("{}", find_in_store(Bug::SeqBeforeTransaction));
}

#[test]
fn a_resend_that_is_stored_twice_is_noticed() {
    println!("{}", find_in_store(Bug::NoDedupe));
}

#[test]
fn sessions_that_a_login_on_another_node_does_not_end_are_noticed() {
    println!("{}", find_in_store(Bug::NoEpochCheck));
}

#[test]
fn a_recall_that_leaves_the_content_is_noticed() {
    let found = find_in_store(Bug::RecallKeepsContent);
    assert!(found.contains("I9"), "{found}");
}

#[test]
fn a_block_that_is_forgotten_is_noticed() {
    let found = find_in_store(Bug::BlocksForgotten);
    assert!(found.contains("I14"), "{found}");
}

#[test]
fn kicks_that_no_other_node_is_told_of_are_noticed() {
    let found = find_in_hub(HubBug::NoKick, SEED_COUNT);
    assert!(found.contains("kick"), "{found}");
}

#[test]
fn kicks_that_end_the_newer_session_are_noticed() {
    let found = find_in_hub(HubBug::KickOfTheNewer, RARE_SEED_COUNT);
    assert!(found.contains("kicked out of the newest session"), "{found}");
}

#[test]
fn nodes_that_are_not_listened_to_when_they_deny_a_recipient_are_noticed() {
    let found = find_in_hub(HubBug::NotHereIgnored, SEED_COUNT);
    assert!(found.contains("not pushed by the link"), "{found}");
}

#[test]
fn routes_that_are_believed_for_ever_are_noticed() {
    let found = find_in_hub(HubBug::RoutesForEver, SEED_COUNT);
    assert!(found.contains("not pushed by the link"), "{found}");
}
