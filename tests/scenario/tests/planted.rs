//! Goal: the checker finds what it is there for in histories of real nodes: with each bug that can
//! be planted in the store the history under load is invalid, by the invariant that the bug breaks;
//! without one the same load on the same programs is valid.

use std::path::PathBuf;

use aldis_check::{Invariant, Verdict};
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions};
use aldis_scenario::{NodeOptions, Server, ServerOptions, seed};
use aldis_services::MariaDb;

/// Acknowledged messages before the verdict: a bug has shown itself many times by then.
const ACKS: usize = 8_000;

/// `aldisd` with the feature `planted-bugs`.
fn program() -> PathBuf {
    let path = std::env::var_os("ALDISD_PLANTED_BIN").map(PathBuf::from);
    path.expect(
        "run tests/run, or build aldisd with --features planted-bugs and name it in \
         ALDISD_PLANTED_BIN",
    )
}

/// The history of two nodes with this bug under load.
fn hammered(bug: Option<&str>) -> Hammer {
    let mariadb = MariaDb::start();
    let url = mariadb.fresh_database();
    let wrapper = bug.map(|bug| vec!["env".into(), format!("ALDIS_PLANTED_BUG={bug}")]);
    let nodes = [1, 2].map(|id| {
        Server::start_with(ServerOptions {
            wrapper: wrapper.clone().unwrap_or_default(),
            program: Some(program()),
            ..NodeOptions::new(id, &url).server_options()
        })
    });
    let addresses: Vec<_> = nodes.iter().map(Server::address).collect();
    let options = HammerOptions {
        // Small transactions of many conversations that share mailboxes: more at once would wait
        // for each other's conversations, and a bug of mailboxes would not show.
        hot_users: 16,
        writers: 14,
        twins: 2,
        window: 4,
        sends_per_s_max: 10_000,
        groups: 2,
        group_members: 30,
        group_percent: 1,
        ..HammerOptions::new(addresses.clone(), seed())
    };
    let crowd = Crowd::seed(&nodes[0], "crowd", options.users());
    let mut hammer = Hammer::start(options, &crowd);
    hammer.wait_for_acks(ACKS);
    hammer.stop();
    hammer.final_syncs(&addresses);
    hammer.record_stored(&mariadb, &url);
    hammer
}

fn expect_found(bug: &str, invariant: Invariant) {
    match hammered(Some(bug)).check() {
        Verdict::Invalid { counts, .. } => {
            println!("{bug}: {counts:?}");
            assert!(counts.contains_key(&invariant), "{bug} breaks {invariant}: {counts:?}");
        }
        verdict => panic!("{bug} is not noticed: {verdict:?}"),
    }
}

#[test]
fn without_a_bug_the_history_is_valid() {
    hammered(None).expect_valid();
}

#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    expect_found("ack-before-commit", Invariant::I1);
}

#[test]
fn a_seq_taken_before_the_transaction_is_found() {
    expect_found("seq-before-transaction", Invariant::I4);
}

#[test]
fn a_store_that_does_not_know_resends_is_found() {
    expect_found("no-dedupe", Invariant::I2);
}
