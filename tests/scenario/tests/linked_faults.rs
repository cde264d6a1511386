//! Goal: whatever happens to a link costs time and no message: a node that dies and comes back, a link
//! that is cut for some seconds in both directions or in one. Clients do nothing special: they get a
//! push, or a hint and sync.

use std::time::{Duration, Instant};

use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions, Moment};
use aldis_scenario::kernel::Blackhole;
use aldis_scenario::requests::text_to;
use aldis_scenario::{Cluster, RawClient, Server, login, next_entry, seed, wait_for};
use aldis_wire::{Command, DeviceClass, pb};

/// Silence after which a session of the link counts as lost is 10 s; this is well beyond.
const LONG_CUT: Duration = Duration::from_secs(14);
/// The link repeats what it lost by itself.
const SHORT_CUT: Duration = Duration::from_secs(3);
/// Until then a healed link has told everything, on a slow machine. A session without one learns by
/// its head check.
const HEALED_MAX: Duration = Duration::from_secs(10);

/// Two people on two nodes.
struct Stage {
    cluster: Cluster,
    ada: RawClient,
    ben: RawClient,
    ben_id: u64,
    /// Of what Ben has.
    local: u64,
    sent: u64,
}

impl Stage {
    fn start() -> Self {
        Self::start_on(Cluster::start(2))
    }

    fn start_on(cluster: Cluster) -> Self {
        let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
        let ada = login(&cluster.nodes[0], &users[0]).0;
        let ben = login(&cluster.nodes[1], &users[1]).0;
        let ben_id = users[1].id;
        Self { cluster, ada, ben, ben_id, local: 0, sent: 0 }
    }

    fn send(&mut self) -> u64 {
        self.sent += 1;
        let body = text_to(self.ben_id, &format!("message {}", self.sent));
        self.ada.send_message(&body);
        self.sent
    }

    /// A message is pushed with its entry: the link works.
    fn expect_push(&mut self) {
        let seq = self.send();
        loop {
            let entry = next_entry(&mut self.ben);
            if entry.seq == seq {
                self.local = seq;
                return;
            }
        }
    }

    /// Ben is told that his mailbox reaches as far as what was sent, by a push or a hint, and reads it.
    fn expect_told(&mut self) {
        let mut head = self.local;
        while head < self.sent {
            let push: pb::MsgPushNotify = self.ben.notification(Command::MsgPushNotify).decode();
            head = head.max(push.head);
        }
        let entries = self.ben.sync_all(self.local);
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (self.local + 1..=self.sent).collect::<Vec<_>>());
        self.local = self.sent;
    }
}

#[test]
fn a_link_that_is_cut_for_seconds_repeats_what_it_lost() {
    let mut stage = Stage::start();
    stage.expect_push();
    // The head check after the login is over.
    std::thread::sleep(Duration::from_secs(2));
    let hole = Blackhole::of_udp_port(stage.cluster.link_address(1).port());
    for _ in 0..20 {
        stage.send();
    }
    std::thread::sleep(SHORT_CUT);
    drop(hole);
    let healed_at = Instant::now();
    for seq in stage.local + 1..=stage.sent {
        assert_eq!(next_entry(&mut stage.ben).seq, seq, "what was sent meanwhile is pushed");
    }
    println!("everything was there {:?} after the cut", healed_at.elapsed());
    assert!(healed_at.elapsed() < HEALED_MAX);
    stage.local = stage.sent;
    stage.expect_push();
    assert_eq!(stage.cluster.links_of(0, 1), 1, "it is the same session of the link");
    stage.cluster.assert_quiet();
}

#[test]
fn a_link_that_was_lost_comes_back_and_whoever_missed_something_is_told() {
    let mut stage = Stage::start();
    stage.expect_push();
    let hole = Blackhole::of_udp_port(stage.cluster.link_address(1).port());
    for _ in 0..20 {
        stage.send();
    }
    std::thread::sleep(LONG_CUT);
    wait_for("the loss is noticed", || {
        stage.cluster.nodes.iter().all(|node| node.log().contains("is lost"))
    });
    for _ in 0..20 {
        stage.send();
    }
    drop(hole);
    let healed_at = Instant::now();
    wait_for("the link is back", || {
        stage.cluster.links_of(0, 1) == 2 && stage.cluster.links_of(1, 0) == 2
    });
    println!("the link was back {:?} after the cut", healed_at.elapsed());
    stage.expect_told();
    println!("everything was there {:?} after the cut", healed_at.elapsed());
    assert!(healed_at.elapsed() < HEALED_MAX);
    stage.expect_push();
    stage.cluster.assert_quiet();
}

#[test]
fn a_link_that_is_cut_in_one_direction_comes_back_too() {
    let mut stage = Stage::start();
    stage.expect_push();
    // What goes to node 2 vanishes; what it says itself arrives.
    let hole = Blackhole::of_udp_datagrams_to(stage.cluster.link_address(1).port());
    for _ in 0..20 {
        stage.send();
    }
    std::thread::sleep(LONG_CUT);
    drop(hole);
    let healed_at = Instant::now();
    stage.expect_told();
    assert!(healed_at.elapsed() < HEALED_MAX);
    wait_for("the link is back", || stage.cluster.links_of(0, 1) >= 2);
    stage.expect_push();
}

/// Bursts of messages under each rate of loss, and messages of each.
const BURSTS: usize = 40;
const BURST: usize = 10;

#[test]
fn on_a_link_that_loses_datagrams_everything_is_pushed_once() {
    for redundancy in [false, true] {
        println!("redundancy: {redundancy}");
        let keys = format!("listen = \"127.0.0.1:0\"\nredundancy = {redundancy}");
        let cluster = Cluster::start_with(2, |_, options| options.with_cluster_keys(&keys));
        lose_datagrams(Stage::start_on(cluster));
    }
}

fn lose_datagrams(mut stage: Stage) {
    stage.expect_push();
    for percent in [1, 10, 30] {
        let port = stage.cluster.link_address(1).port();
        let loss = Blackhole::of_some_udp_datagrams(port, percent);
        let mut took = Vec::new();
        for _ in 0..BURSTS {
            let began = Instant::now();
            for _ in 0..BURST {
                stage.send();
            }
            // What waits for too long for its predecessor is pushed without it, for the client to sync.
            let mut seqs: Vec<u64> = (0..BURST).map(|_| next_entry(&mut stage.ben).seq).collect();
            seqs.sort_unstable();
            assert_eq!(seqs, (stage.local + 1..=stage.sent).collect::<Vec<_>>());
            stage.local = stage.sent;
            took.push(began.elapsed());
        }
        drop(loss);
        took.sort();
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        println!("{percent} % lost: a burst took {median:?} in the median, {longest:?} at most");
    }
    assert_eq!(stage.cluster.links_of(0, 1), 1, "it is the same session of the link");
    stage.cluster.assert_quiet();
}

#[test]
fn a_redis_that_forgets_delays_messages_for_seconds_only() {
    let mut stage = Stage::start();
    stage.expect_push();
    std::thread::sleep(Duration::from_secs(2));
    stage.cluster.redis.cli(&["FLUSHALL"]);
    let flushed_at = Instant::now();
    // For a moment nobody knows where Ben is, and that is believed for a second.
    while flushed_at.elapsed() < Duration::from_millis(1_500) {
        stage.send();
        std::thread::sleep(Duration::from_millis(50));
    }
    stage.expect_told();
    println!("everything was there {:?} after the flush", flushed_at.elapsed());
    assert!(flushed_at.elapsed() < HEALED_MAX);
    stage.expect_push();
    stage.cluster.assert_quiet();
}

#[test]
fn nodes_that_are_restarted_one_after_the_other_lose_nothing() {
    let mut cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(Server::address).collect();
    let options = HammerOptions {
        hot_users: 20,
        groups: 2,
        group_members: 30,
        group_percent: 5,
        sends_per_s_max: 300,
        ..HammerOptions::new(addresses.clone(), seed())
    };
    let crowd = Crowd::seed(&cluster.nodes[0], "crowd", options.users());
    let mut hammer = Hammer::start(options, &crowd);
    for node in 0..3 {
        hammer.wait_for_acks(200);
        assert!(cluster.nodes[node].terminate(Duration::from_secs(60)), "it ends in order");
        hammer.wait_for_acks(100);
        cluster.nodes[node].restart();
    }
    hammer.wait_for_acks(200);
    hammer.stop();
    assert_eq!(hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused for good");
    hammer.final_syncs(&addresses);
    hammer.expect_valid();
    cluster.assert_quiet();
}

#[test]
fn a_node_that_is_killed_and_started_again_is_linked_again() {
    let mut stage = Stage::start();
    let users = stage.cluster.nodes[0].seed_users("other", 4, DeviceClass::Phone);
    for round in 1..=3 {
        stage.expect_push();
        stage.cluster.nodes[0].kill_9();
        stage.cluster.nodes[0].restart();
        wait_for("both are linked again", || {
            stage.cluster.links_of(0, 1) == 1 + round && stage.cluster.links_of(1, 0) == 1 + round
        });
        let (ada, carl) = (&users[0], &users[round]);
        stage.ada = login(&stage.cluster.nodes[0], ada).0;
        let mut carl_client = login(&stage.cluster.nodes[1], carl).0;
        stage.ada.send_message(&text_to(carl.id, "hello"));
        assert_eq!(&next_entry(&mut carl_client).content[..], b"hello");
    }
    // At a node's end in order the others hear of it.
    assert!(stage.cluster.nodes[0].terminate(Duration::from_secs(30)));
    wait_for("the end is said", || {
        stage.cluster.nodes[1].log().contains("the link to node 1 was closed")
    });
    assert!(!stage.cluster.nodes[1].log().contains("is lost"), "{}", stage.cluster.nodes[1].log());
}

#[test]
fn under_load_links_that_are_cut_and_nodes_that_die_lose_nothing() {
    let mut cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(Server::address).collect();
    let options = HammerOptions {
        hot_users: 20,
        groups: 3,
        group_members: 40,
        group_percent: 5,
        sends_per_s_max: 300,
        has_late_logins: false,
        ..HammerOptions::new(addresses.clone(), seed())
    };
    let crowd = Crowd::seed(&cluster.nodes[0], "crowd", options.users());
    let began = Moment::now();
    let mut hammer = Hammer::start(options, &crowd);
    hammer.wait_for_acks(300);
    for round in 0..3 {
        let hole = Blackhole::of_udp_port(cluster.link_address(round).port());
        hammer.run_for(Duration::from_secs(2 + 5 * round as u64));
        drop(hole);
        hammer.wait_for_acks(200);
        cluster.nodes[round].kill_9();
        hammer.wait_for_acks(100);
        cluster.nodes[round].restart();
        hammer.wait_for_acks(200);
    }
    hammer.stop();
    println!("{}", hammer.answers(began, Moment::now()));
    assert_eq!(hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused for good");
    hammer.final_syncs(&addresses);
    hammer.expect_valid();
}
