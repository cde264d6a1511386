//! Goal: a node that dies or stands still under load takes nothing with it: what it acknowledged is
//! there, what it left open in the database disturbs the others for seconds only, and a node that
//! is back serves as if nothing had happened.

use std::time::{Duration, Instant};

use aldis_scenario::audit::assert_consistent;
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions};
use aldis_scenario::requests::{text_to, texts};
use aldis_scenario::{NodeOptions, RawClient, Server, seed};
use aldis_services::{MariaDb, Redis};
use aldis_wire::{Code, Command, DeviceClass};
use rustix::process::Signal;

/// Kills of a node.
const KILLS: usize = 8;
/// Acknowledgements between two faults, at least.
const ACKS_BETWEEN: usize = 300;
/// How long a node stands still: longer than its lease, and than the database keeps its connection.
const STANDSTILL: Duration = Duration::from_secs(15);
/// Until then a process without its number has ended.
const FENCED_MAX: Duration = Duration::from_secs(30);
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

/// Of two processes with one number, one serves: the second is refused while the first lives. When the
/// first stands still for longer than its lease, the second takes the number over, and the first,
/// going on, finds out before it answers anybody, and ends.
#[test]
fn of_two_processes_with_one_number_one_serves() {
    let (mariadb, redis) = (MariaDb::start(), Redis::start());
    let url = mariadb.fresh_database();
    let options = NodeOptions::new(1, &url).with_redis(redis.url());
    let mut first = options.start();
    let users = first.seed_users("twin", 2, DeviceClass::Phone);
    let mut sender = RawClient::login_seeded(first.address(), &users[0]);
    sender.send_message(&text_to(users[1].id, "through the first"));
    let refused = Server::try_start_with(options.server_options()).err().expect("it is refused");
    assert!(refused.contains("another running process"), "{refused}");
    sender.send_message(&text_to(users[1].id, "through the first, still"));

    first.signal(Signal::STOP);
    sender.send(Command::MsgSend, &text_to(users[1].id, "to a process that stands still"));
    let second = options.start();
    let mut reader = RawClient::login_seeded(second.address(), &users[1]);
    first.signal(Signal::CONT);
    assert!(!first.wait_end(FENCED_MAX), "it ends with an error");
    assert!(!first.is_running(), "it found out");
    assert!(first.log().contains("was claimed by another process"), "{}", first.log());
    let answered = sender.receive().is_some_and(|reply| reply.code() == Code::Ok);
    let mut again = RawClient::login_seeded(second.address(), &users[0]);
    again.send_message(&text_to(users[1].id, "through the second"));
    let read = texts(&reader.sync_all(0));
    let expected = [
        "through the first",
        "through the first, still",
        "to a process that stands still",
        "through the second",
    ];
    let is_there = read.contains(&expected[2].to_owned());
    assert!(is_there || !answered, "an acknowledged message is lost: {read:?}");
    let expected = expected.into_iter().filter(|text| is_there || *text != expected[2]);
    assert_eq!(read, expected.collect::<Vec<_>>());
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
