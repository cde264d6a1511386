//! Goal: whatever happens to MariaDB under load, nothing acknowledged is lost and nothing is there
//! twice; while it is away answers are quick and say so; when it is back, so is everything, without
//! a restart of a node.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aldis_scenario::audit::assert_consistent;
use aldis_scenario::hammer::{Answers, Crowd, Hammer, HammerOptions, Moment};
use aldis_scenario::kernel::{Blackhole, SmallDisk};
use aldis_scenario::{NodeOptions, Server, migrate, runtime_account, seed, wait_for};
use aldis_services::{MariaDb, MariaDbOptions};

/// Kills of the database.
const KILLS: usize = 10;
/// Acknowledgements before a fault and after it, at least.
const ACKS_BETWEEN: usize = 300;
/// Until then a node has noticed that the database hangs: it trusts it for so long to answer.
const NOTICE_TIME: Duration = Duration::from_secs(8);
/// Longest wait for an answer that was asked before the outage was noticed, and for nearly all that
/// were asked after it. Both far above what a machine with nothing else to do takes.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const QUICK_ANSWER_MAX: Duration = Duration::from_secs(3);
/// What may be answered meanwhile. Those who read and write where they are not members, and beyond
/// the end, get the last two at any time; LOST is a cut by the client.
const CODES: [&str; 6] = ["OK", "UNAVAILABLE", "BUSY", "LOST", "NOT_FOUND", "RESYNC"];

/// One at a time: times are measured.
fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two nodes with a database of their own, under load.
struct Stage {
    hammer: Hammer,
    nodes: [Server; 2],
    mariadb: MariaDb,
    url: String,
    pids: [u32; 2],
}

impl Stage {
    fn start(options: MariaDbOptions) -> Self {
        let mariadb = MariaDb::start_with(options);
        let url = mariadb.fresh_database();
        let account_url = runtime_account(&mariadb, &url);
        assert!(migrate(&url, &[]).status.success());
        let nodes = [1, 2].map(|id| NodeOptions::new(id, &account_url).start());
        let pids = nodes.each_ref().map(Server::pid);
        let options = HammerOptions {
            hot_users: 20,
            groups: 3,
            group_members: 40,
            group_percent: 5,
            sends_per_s_max: 400,
            has_late_logins: true,
            // What the two of a feud are refused is no matter of the database.
            feuds: 0,
            ..HammerOptions::new(nodes.iter().map(Server::address).collect(), seed())
        };
        let crowd = Crowd::seed(&nodes[0], "crowd", options.users());
        let hammer = Hammer::start(options, &crowd);
        hammer.wait_for_acks(ACKS_BETWEEN);
        Self { hammer, nodes, mariadb, url, pids }
    }

    /// What was answered to what was asked since a moment, which must be documented codes.
    fn answers_since(&self, what: &str, from: Moment) -> Answers {
        let answers = self.hammer.answers(from, Moment::now());
        println!("{what}: {answers}");
        for (operation, code) in answers.counts.keys() {
            assert!(CODES.contains(&code.as_str()), "{operation} {code}");
        }
        answers
    }

    /// To be called when the fault is over: everything comes back, everything is there.
    fn finish(mut self) {
        self.hammer.wait_for_acks(ACKS_BETWEEN);
        self.hammer.stop();
        println!("{} acknowledged messages", self.hammer.acks());
        assert_eq!(self.hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused for good");
        let addresses = self.nodes.each_ref().map(Server::address);
        self.hammer.final_syncs(&addresses);
        self.hammer.record_stored(&self.mariadb, &self.url);
        self.hammer.expect_valid();
        assert_consistent(&self.mariadb, &self.url);
        for (node, pid) in self.nodes.iter_mut().zip(self.pids) {
            assert!(node.is_running() && node.pid() == pid, "no node was restarted");
            assert!(!node.log().contains("panicked"), "{}", node.log());
        }
    }
}

#[test]
fn ten_kills_of_the_database_lose_nothing_and_repeat_nothing() {
    let _alone = alone();
    let mut stage = Stage::start(MariaDbOptions::default());
    for kill in 1..=KILLS {
        let from = Moment::now();
        stage.mariadb.kill_9();
        stage.hammer.run_for(Duration::from_millis(200 * kill as u64));
        stage.mariadb.restart();
        stage.hammer.wait_for_acks(ACKS_BETWEEN);
        let answers = stage.answers_since("a kill", from);
        assert!(answers.longest() < ANSWER_MAX, "somebody waited too long");
    }
    stage.finish();
}

#[test]
fn a_database_that_hangs_for_20_seconds_costs_time_only() {
    let _alone = alone();
    let stage = Stage::start(MariaDbOptions::default());
    let from = Moment::now();
    stage.mariadb.pause();
    stage.hammer.run_for(NOTICE_TIME);
    let noticed = Moment::now();
    stage.hammer.run_for(Duration::from_secs(20) - NOTICE_TIME);
    let answers = stage.answers_since("while it hangs and that is known", noticed);
    assert!(answers.p99() < QUICK_ANSWER_MAX, "an outage that is known");
    assert!(answers.count("send", "UNAVAILABLE") > 0, "it says so: {answers}");
    stage.mariadb.resume();
    stage.hammer.wait_for_acks(ACKS_BETWEEN);
    let answers = stage.answers_since("since it hung", from);
    assert!(answers.longest() < ANSWER_MAX, "somebody waited too long");
    stage.finish();
}

#[test]
fn a_database_that_is_cut_off_comes_back() {
    let _alone = alone();
    let stage = Stage::start(MariaDbOptions::default());
    let from = Moment::now();
    let hole = Blackhole::of_port(stage.mariadb.port());
    stage.hammer.run_for(NOTICE_TIME);
    drop(hole);
    stage.hammer.wait_for_acks(ACKS_BETWEEN);
    let answers = stage.answers_since("a cut", from);
    assert!(answers.longest() < ANSWER_MAX, "somebody waited too long");
    stage.finish();
}

#[test]
fn a_database_that_is_read_only_for_a_while_is_read_and_not_written() {
    let _alone = alone();
    let stage = Stage::start(MariaDbOptions::default());
    for _ in 0..2 {
        let before = Moment::now();
        // It waits for statements that are under way, which may wait for locks of transactions whose
        // commits it holds up, until their time for that is over.
        stage.mariadb.sql("SET GLOBAL read_only = 1");
        let from = Moment::now();
        stage.hammer.run_for(Duration::from_secs(4));
        let answers = stage.answers_since("until it was read-only, and then", before);
        assert!(answers.longest() < ANSWER_MAX, "somebody waited too long");
        let answers = stage.answers_since("while it is read-only", from);
        assert!(answers.p99() < QUICK_ANSWER_MAX, "the database says so at once");
        assert!(answers.count("send", "UNAVAILABLE") > 0, "it says so: {answers}");
        stage.mariadb.sql("SET GLOBAL read_only = 0");
        stage.hammer.wait_for_acks(ACKS_BETWEEN);
    }
    stage.finish();
}

#[test]
fn a_full_disk_costs_time_only() {
    let _alone = alone();
    let disk = SmallDisk::mount(256);
    let parent = Some(disk.path().to_owned());
    let mut stage = Stage::start(MariaDbOptions { parent, ..MariaDbOptions::default() });
    let from = Moment::now();
    disk.fill();
    // Tables have some room left in their files.
    wait_for("a table cannot grow", || {
        stage.hammer.run_for(Duration::from_secs(1));
        stage.hammer.answers(from, Moment::now()).count("send", "UNAVAILABLE") > 100
    });
    stage.hammer.run_for(Duration::from_secs(3));
    let answers = stage.answers_since("while the disk is full", from);
    assert!(answers.longest() < ANSWER_MAX, "somebody waited too long");
    disk.free();
    // MariaDB survives some of its errors and dies of others, slowly; systemd would start it again.
    let acks = stage.hammer.acks();
    wait_for("it goes on", || {
        if stage.mariadb.has_ended() {
            println!("MariaDB has ended");
            stage.mariadb.restart();
        }
        stage.hammer.acks() >= acks + ACKS_BETWEEN
    });
    stage.finish();
}
