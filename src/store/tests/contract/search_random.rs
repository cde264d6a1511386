//! Random texts, changes and queries: a search finds what reading everything finds, on every backend.

use aldis_logic::search::SearchQuery;
use aldis_wire::{ConvSeq, ConversationKey, UserId};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::{Bench, direct, on_every_backend};
use crate::random::seed;
use crate::search::{Ask, edit, fill, recall};

/// Users who write to each other.
const USERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Say { from: usize, to: usize, texts: Vec<String> },
    Edit { from: usize, to: usize, at: u64, text: String },
    Recall { from: usize, to: usize, at: u64 },
    Search { user: usize, of: Option<usize>, query: String, limit: usize, is_old: bool },
}

/// Few words, so that queries meet them, in several scripts and forms.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("a"),
        Just("Ab"),
        Just("abc"),
        Just("abcd"),
        Just("ABCDE"),
        Just("ｂｃ"),
        Just("12"),
        Just("北"),
        Just("京"),
        Just("北京"),
        Just("カ"),
        Just("ｶ"),
        Just("한"),
        Just("ไท"),
        Just("é"),
        Just("e\u{301}"),
        Just("-"),
        Just("\""),
        Just("%"),
        Just("\0"),
        Just("_"),
        Just("'"),
    ];
    let space = prop_oneof![Just(" "), Just(""), Just(", ")];
    proptest::collection::vec((word, space), 1..6)
        .prop_map(|parts| parts.iter().map(|(word, space)| format!("{word}{space}")).collect())
}

fn step() -> impl Strategy<Value = Step> {
    let user = || 0..USERS;
    let query = prop_oneof![5 => text(), 1 => any::<String>()];
    prop_oneof![
        4 => (user(), user(), proptest::collection::vec(text(), 1..90))
            .prop_map(|(from, to, texts)| Step::Say { from, to, texts }),
        1 => (user(), user(), 1..100u64, text())
            .prop_map(|(from, to, at, text)| Step::Edit { from, to, at, text }),
        1 => (user(), user(), 1..100u64).prop_map(|(from, to, at)| Step::Recall { from, to, at }),
        8 => (user(), proptest::option::of(user()), query, 1..30usize, any::<bool>()).prop_map(
            |(user, of, query, limit, is_old)| Step::Search { user, of, query, limit, is_old }
        ),
    ]
}

#[test]
fn a_search_finds_what_reading_everything_finds() {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed());
    let mut runner = TestRunner::new_with_rng(config, rng);
    let steps = proptest::collection::vec(step(), 1..40);
    let run = |steps: Vec<Step>| {
        on_every_backend(|bench| {
            let users = bench.users(USERS as u32);
            // What an old search has indexed can be edited no more.
            let mut is_final = false;
            for (number, step) in (0..).zip(steps.clone()) {
                run_step(bench, &users, number, step, &mut is_final);
            }
        });
        Ok(())
    };
    runner.run(&steps, run).unwrap();
}

fn run_step(bench: &mut Bench, users: &[UserId], number: u64, step: Step, is_final: &mut bool) {
    let key = |from: usize, to: usize| -> ConversationKey { direct(users[from], users[to]) };
    match step {
        Step::Say { from, to, texts } => fill(bench, key(from, to), users[from], &texts),
        // It may be no message of the user's.
        Step::Edit { .. } if *is_final => {}
        Step::Edit { from, to, at, text } => {
            let _ = bench.run(edit(users[from], key(from, to), ConvSeq(at), number, &text));
        }
        Step::Recall { from, to, at } => {
            let _ = bench.run(recall(users[from], key(from, to), ConvSeq(at)));
        }
        Step::Search { query, .. } if SearchQuery::parse(&query).is_none() => {}
        Step::Search { user, of, query, limit, is_old } => {
            *is_final |= is_old;
            let conversation = of.map(|other| key(user, other));
            let ask = Ask { conversation, limit, ..Ask::aged(users[user], is_old) };
            assert_eq!(ask.all(bench, &query), ask.naive(bench, &query), "{query:?}");
        }
    }
}
