//! Goal: a node that dies or stands still under load takes nothing with it: what it acknowledged is
//! there, what it left open in the database disturbs the others for seconds only, and a node that
//! is back serves as if nothing had happened.

use std::time::{Duration, Instant};

use aldis_scenario::audit::assert_consistent;
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions};
use aldis_scenario::{NodeOptions, Server, seed};
use aldis_services::{MariaDb, Redis};
use rustix::process::Signal;

/// Kills of a node.
const KILLS: usize = 8;
/// Acknowledgements between two faults, at least.
const ACKS_BETWEEN: usize = 300;
/// How long a node stands still: longer than its lease, and than the database keeps its connection.
const STANDSTILL: Duration = Duration::from_secs(15);
/// Until then the other node serves as before: a few lock wait timeouts, on slow machines.
const DISTURBANCE_MAX: Duration = Duration::from_secs(15);

struct Stage {
    hammer: Hammer,
    nodes: [Server; 2],
    mariadb: MariaDb,
    url: String,
    _redis: Redis,
}

impl Stage {
    fn start() -> Self {
        let (mariadb, redis) = (MariaDb::start(), Redis::start());
        let url = mariadb.fresh_database();
        let node = |id| NodeOptions::new(id, &url).with_redis(redis.url()).with_link().start();
        let nodes = [1, 2].map(node);
        let options = HammerOptions {
            hot_users: 20,
            groups: 3,
            group_members: 40,
            group_percent: 5,
            sends_per_s_max: 400,
            has_late_logins: false,
            ..HammerOptions::new(nodes.iter().map(Server::address).collect(), seed())
        };
        let crowd = Crowd::seed(&nodes[0], "crowd", options.users());
        let hammer = Hammer::start(options, &crowd);
        hammer.wait_for_acks(ACKS_BETWEEN);
        Self { hammer, nodes, mariadb, url, _redis: redis }
    }

    fn finish(mut self) {
        self.hammer.wait_for_acks(ACKS_BETWEEN);
        self.hammer.stop();
        println!("{} acknowledged messages", self.hammer.acks());
        assert_eq!(self.hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused for good");
        self.hammer.final_syncs(&self.nodes.each_ref().map(Server::address));
        self.hammer.expect_valid();
        assert_consistent(&self.mariadb, &self.url);
        for log in self.nodes.each_ref().map(Server::log) {
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

#[test]
fn kills_of_a_node_lose_nothing_and_repeat_nothing() {
    let mut stage = Stage::start();
    for kill in 0..KILLS {
        stage.nodes[kill % 2].kill_9();
        // The other one goes on alone.
        stage.hammer.wait_for_acks(ACKS_BETWEEN);
        stage.nodes[kill % 2].restart();
        stage.hammer.wait_for_acks(ACKS_BETWEEN);
    }
    stage.finish();
}

#[test]
fn a_node_that_stands_still_holds_nobody_up_and_goes_on_later() {
    let mut stage = Stage::start();
    stage.nodes[0].signal(Signal::STOP);
    let stopped_at = Instant::now();
    stage.hammer.wait_for_acks(ACKS_BETWEEN);
    let disturbed = stopped_at.elapsed();
    println!("the other node served after {disturbed:?}");
    assert!(disturbed < DISTURBANCE_MAX, "the other node was held up for {disturbed:?}");
    stage.hammer.run_for(STANDSTILL.saturating_sub(disturbed));
    stage.nodes[0].signal(Signal::CONT);
    stage.hammer.wait_for_acks(ACKS_BETWEEN);
    assert!(stage.nodes[0].is_running(), "nobody took its number");
    stage.finish();
}
