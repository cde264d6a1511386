//! Goal: the load that judges stores is right itself: against a server that keeps its promises its
//! history is valid, and it really holds what it is there for: members that come and go, messages
//! sent twice at once, recalls, edits, blocks, groups that end, several nodes, kills.

use std::time::Duration;

use aldis_check::Verdict;
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions, Moment};
use aldis_scenario::{Server, seed};

/// Time for some groups to begin and end.
const FEUD: Duration = Duration::from_secs(3);

/// Small enough for a debug build: the tests of stores use more.
fn options(server: &Server) -> HammerOptions {
    HammerOptions {
        hot_users: 20,
        groups: 3,
        group_members: 40,
        group_percent: 5,
        // Some are always on the wire when the server dies.
        sends_per_s_max: 4_000,
        sends_max: 30_000,
        // One server, as two nodes.
        ..HammerOptions::new(vec![server.address(); 2], seed())
    }
}

#[test]
fn a_hammered_server_that_is_killed_meanwhile_has_a_valid_history() {
    let mut server = Server::start();
    let options = options(&server);
    let crowd = Crowd::seed(&server, "crowd", options.users());
    let began = Moment::now();
    let mut hammer = Hammer::start(options, &crowd);
    hammer.wait_for_twins(1);
    for _ in 0..3 {
        hammer.wait_for_acks(1_000);
        server.kill_9();
        server.restart();
    }
    hammer.wait_for_acks(500);
    hammer.stop();
    let answers = hammer.answers(began, Moment::now());
    println!("{} twins, {answers}", hammer.twins());
    assert_eq!(hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused");
    assert!(hammer.twins() > 0 && answers.count("send", "LOST") > 0, "{answers}");
    assert!(answers.count("group_leave", "OK") > 0 && answers.count("sync", "OK") > 0, "{answers}");
    hammer.final_syncs(&[server.address(), server.address()]);
    hammer.expect_valid();
}

#[test]
fn recalls_edits_blocks_and_ends_of_groups_keep_their_promises_while_the_server_is_killed() {
    let mut server = Server::start();
    let options = HammerOptions {
        // As many as let no two readers meet at one.
        hot_users: 8,
        writers: 2,
        churners: 1,
        group_members: 15,
        feuds: 3,
        sends_per_s_max: 100,
        ..options(&server)
    };
    let crowd = Crowd::seed(&server, "crowd", options.users());
    let began = Moment::now();
    let mut hammer = Hammer::start(options, &crowd);
    for _ in 0..3 {
        hammer.run_for(FEUD);
        server.kill_9();
        server.restart();
    }
    hammer.run_for(FEUD);
    hammer.stop();
    let answers = hammer.answers(began, Moment::now());
    println!("{answers}");
    for op in ["recall", "edit", "block", "unblock", "group_remove", "group_dissolve"] {
        assert!(answers.count(op, "OK") > 0, "{op}: {answers}");
    }
    assert!(answers.count("send", "FORBIDDEN") > 0, "nobody wrote behind a block: {answers}");
    assert!(answers.count("send", "NOT_FOUND") > 0, "nobody wrote from outside: {answers}");
    hammer.final_syncs(&[server.address(), server.address()]);
    hammer.expect_valid();
}

#[test]
fn a_history_without_the_last_reads_is_not_judged() {
    let server = Server::start();
    let options = HammerOptions { sends_max: 200, ..options(&server) };
    let crowd = Crowd::seed(&server, "crowd", options.users());
    let mut hammer = Hammer::start(options, &crowd);
    hammer.wait_for_acks(100);
    hammer.stop();
    assert!(matches!(hammer.check(), Verdict::Unknown(_)));
}
