//! Goal: the load that judges stores is right itself: against a server that keeps its promises its
//! history is valid, and it really holds what it is there for: members that come and go, messages
//! sent twice at once, several nodes, kills.

use aldis_check::Verdict;
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions, Moment};
use aldis_scenario::{Server, seed};

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
fn a_history_without_the_last_reads_is_not_judged() {
    let server = Server::start();
    let options = HammerOptions { sends_max: 200, ..options(&server) };
    let crowd = Crowd::seed(&server, "crowd", options.users());
    let mut hammer = Hammer::start(options, &crowd);
    hammer.wait_for_acks(100);
    hammer.stop();
    assert!(matches!(hammer.check(), Verdict::Unknown(_)));
}
