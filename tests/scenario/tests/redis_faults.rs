//! Goal: what Redis holds is a hint. Flushed, killed, hanging or cut off, it disturbs neither
//! messages nor sync nor logins, sessions and leases come back to it by themselves, and of two
//! sessions of one user and class only the newer lives, on whatever node, with Redis or without.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aldis_scenario::kernel::Blackhole;
use aldis_scenario::requests::{text_to, texts};
use aldis_scenario::{NodeOptions, Pair, RawClient, SeededUser, Server, frame, wait_for};
use aldis_services::{MariaDb, Redis, RedisCluster};
use aldis_wire::{Command, DeviceClass, pb};

/// Far above what an answer may take while Redis is away, for slow machines.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// A fenced session ends within one head check, 15 s, and what a slow machine adds.
const FENCE_MAX: Duration = Duration::from_secs(25);
/// The seq of heartbeats that are told apart from other requests by it.
const BEAT: u32 = 1 << 30;

/// Two nodes with one database and one Redis.
fn two_nodes(redis_urls: &[String]) -> [Server; 2] {
    let url = MariaDb::shared().fresh_database();
    [1, 2].map(|id| {
        let redis_urls = redis_urls.to_vec();
        NodeOptions { redis_urls, ..NodeOptions::new(id, &url) }.start()
    })
}

/// Which node Redis says that a session is on, as (epoch, node).
fn announced(cli: impl Fn(&[&str]) -> String, user: u64, class: DeviceClass) -> Option<(u64, u16)> {
    let key = format!("im:session:{{{user}}}");
    let record = cli(&["HGET", &key, &class.number().to_string()]);
    let mut fields = record.split(' ');
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Logged in with its token; the epoch of the session.
fn login(node: &Server, user: &SeededUser) -> (RawClient, u64) {
    let mut client = RawClient::connect(node.address());
    let session = client.login_with_token(user).session_id;
    (client, session)
}

fn beat(client: &mut RawClient) {
    client.call(Command::Heartbeat, &pb::HeartbeatReq::default()).ok::<pb::HeartbeatResp>();
}

/// Waits for the KICK that ends a session which was replaced elsewhere.
fn expect_fenced(client: &mut RawClient) {
    let asked_at = Instant::now();
    let kick: pb::KickNotify = client.notification(Command::KickNotify).decode();
    assert_eq!(kick.reason(), pb::KickReason::Replaced);
    assert!(client.is_closed_silently());
    let waited = asked_at.elapsed();
    assert!(waited < FENCE_MAX, "the older session lived on for {waited:?}");
}

/// People at work on two nodes.
struct Stage {
    nodes: [Server; 2],
    redis: Redis,
    pair: Pair,
    /// Users with a session that stays, their connection and its epoch.
    settled: Vec<(SeededUser, RawClient, u64)>,
    /// Users without a session.
    rest: Vec<SeededUser>,
}

impl Stage {
    fn start() -> Self {
        let redis = Redis::start();
        let nodes = two_nodes(&[redis.url()]);
        let pair = Pair::start_on_node(&nodes[0]);
        let mut rest = nodes[0].seed_users("user", 60, DeviceClass::Phone);
        let mut settle = |(number, user): (usize, SeededUser)| {
            let (client, epoch) = login(&nodes[number % 2], &user);
            (user, client, epoch)
        };
        let settled = rest.drain(..20).enumerate().map(&mut settle).collect();
        let stage = Self { nodes, redis, pair, settled, rest };
        stage.expect_all_announced();
        stage
    }

    /// Waits until Redis knows what it should: leases, load, and every session's node.
    fn expect_all_announced(&self) {
        let cli = |command: &[&str]| self.redis.cli(command);
        for node in ["1", "2"] {
            wait_for("the lease is there", || {
                cli(&["EXISTS", &format!("im:node:{{{node}}}")]) == "1"
            });
            wait_for("the load is there", || !cli(&["ZSCORE", "im:gateway:load", node]).is_empty());
        }
        for (number, (user, _, epoch)) in self.settled.iter().enumerate() {
            let expected = Some((*epoch, 1 + (number % 2) as u16));
            wait_for("the session is there", || announced(cli, user.id, user.class) == expected);
        }
    }

    /// Life as usual, for some seconds: logins, messages, sync, sessions that end.
    fn live(&mut self) {
        self.pair.wait_rounds(50);
        for number in 0..10 {
            let user = self.rest.pop().expect("enough users");
            let asked_at = Instant::now();
            let (mut client, epoch) = login(&self.nodes[self.settled.len() % 2], &user);
            let (friend, friends_client, _) = &mut self.settled[number];
            client.send_message(&text_to(friend.id, "hello"));
            assert!(!texts(&client.sync_all(0)).is_empty());
            assert_eq!(
                texts(&friends_client.sync_all(0)).last().map(String::as_str),
                Some("hello")
            );
            let waited = asked_at.elapsed();
            assert!(waited < ANSWER_MAX, "login, message and sync took {waited:?}");
            self.settled.push((user, client, epoch));
        }
        // Every other new session ends again, before Redis can be told.
        let newest = self.settled.split_off(self.settled.len() - 2);
        for (user, mut client, _) in newest {
            client.call(Command::Logout, &pb::LogoutReq {}).ok::<pb::LogoutResp>();
            self.rest.insert(0, SeededUser { token: String::new(), ..user });
        }
    }

    /// Redis is as it should be, and nobody noticed anything.
    fn finish(mut self) {
        self.expect_all_announced();
        for (_, client, _) in &mut self.settled {
            beat(client);
        }
        let cli = |command: &[&str]| self.redis.cli(command);
        for user in self.rest.iter().filter(|user| user.token.is_empty()) {
            wait_for("an ended session is gone", || announced(cli, user.id, user.class).is_none());
        }
        let slowest = self.pair.finish();
        assert!(slowest < ANSWER_MAX, "a round of the pair took {slowest:?}");
        for log in self.nodes.each_ref().map(Server::log) {
            assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
        }
    }
}

#[test]
fn a_flushed_redis_is_filled_again() {
    let mut stage = Stage::start();
    for _ in 0..2 {
        stage.redis.cli(&["FLUSHALL"]);
        stage.live();
        stage.expect_all_announced();
    }
    stage.finish();
}

#[test]
fn life_goes_on_while_redis_is_dead_and_it_is_told_all_when_it_is_back() {
    let mut stage = Stage::start();
    for _ in 0..2 {
        stage.redis.kill_9();
        stage.live();
        stage.redis.restart();
        stage.expect_all_announced();
    }
    stage.finish();
}

#[test]
fn life_goes_on_while_redis_hangs() {
    let mut stage = Stage::start();
    stage.redis.pause();
    stage.live();
    stage.redis.resume();
    stage.finish();
}

#[test]
fn life_goes_on_while_redis_is_cut_off() {
    let mut stage = Stage::start();
    let hole = Blackhole::of_port(stage.redis.port());
    stage.live();
    drop(hole);
    stage.finish();
}

#[test]
fn of_a_cluster_one_server_may_die_and_come_back_empty() {
    let mut cluster = RedisCluster::start();
    let nodes = two_nodes(&cluster.urls());
    let users = nodes[0].seed_users("user", 60, DeviceClass::Phone);
    let sessions: Vec<_> = users.iter().map(|user| login(&nodes[1], user)).collect();
    let expect_from = |first: usize, cluster: &RedisCluster| {
        for (user, (_, epoch)) in users.iter().zip(&sessions).skip(first) {
            let cli = |command: &[&str]| cluster.cli(command);
            wait_for("it is there", || announced(cli, user.id, user.class) == Some((*epoch, 2)));
        }
    };
    expect_from(0, &cluster);
    cluster.nodes[1].kill_9();
    let (mut ann, mut bob) = (login(&nodes[0], &users[0]).0, login(&nodes[0], &users[1]).0);
    let asked_at = Instant::now();
    ann.send_message(&text_to(users[1].id, "hello"));
    assert_eq!(texts(&bob.sync_all(0)), ["hello"]);
    assert!(asked_at.elapsed() < ANSWER_MAX);
    drop((ann, bob));
    cluster.nodes[1].restart();
    cluster.wait_until_whole();
    // All but Ann and Bob, who have been elsewhere.
    expect_from(2, &cluster);
}

#[test]
fn a_login_on_another_node_ends_the_older_session() {
    let redis = Redis::start();
    let nodes = two_nodes(&[redis.url()]);
    let users = nodes[0].seed_users("user", 20, DeviceClass::Phone);
    let mut older: Vec<_> = users.iter().map(|user| login(&nodes[0], user)).collect();
    let mut newer: Vec<_> = users.iter().map(|user| login(&nodes[1], user)).collect();
    for (((old, old_epoch), (new, new_epoch)), user) in older.iter_mut().zip(&mut newer).zip(&users)
    {
        expect_fenced(old);
        beat(new);
        assert!(new_epoch > old_epoch);
        let cli = |command: &[&str]| redis.cli(command);
        assert_eq!(announced(cli, user.id, user.class), Some((*new_epoch, 2)));
    }
}

#[test]
fn a_login_on_another_node_ends_the_older_session_without_redis_too() {
    let mut redis = Redis::start();
    let nodes = two_nodes(&[redis.url()]);
    let users = nodes[0].seed_users("user", 20, DeviceClass::Phone);
    let mut older: Vec<_> = users.iter().map(|user| login(&nodes[0], user)).collect();
    redis.kill_9();
    let mut newer: Vec<_> = users.iter().map(|user| login(&nodes[1], user)).collect();
    for ((old, _), (new, _)) in older.iter_mut().zip(&mut newer) {
        expect_fenced(old);
        beat(new);
    }
    redis.restart();
    for (user, (_, epoch)) in users.iter().zip(&newer) {
        let cli = |command: &[&str]| redis.cli(command);
        wait_for("it is there", || announced(cli, user.id, user.class) == Some((*epoch, 2)));
    }
}

/// Both nodes are asked at the same moment, again and again, and Redis forgets all meanwhile.
#[test]
fn of_logins_at_the_same_moment_through_both_nodes_one_session_stays() {
    let redis = Redis::start();
    let nodes = two_nodes(&[redis.url()]);
    let users = nodes[0].seed_users("user", 10, DeviceClass::Phone);
    let mut clients: Vec<Vec<RawClient>> = users
        .iter()
        .map(|_| (0..20).map(|number| RawClient::connect(nodes[number % 2].address())).collect())
        .collect();
    for number in 0..20 {
        for (user, clients) in users.iter().zip(&mut clients) {
            clients[number].send(Command::Login, &user.login_body());
        }
        if number % 7 == 3 {
            redis.cli(&["FLUSHALL"]);
        }
    }
    let mut epochs = BTreeSet::new();
    for (user, clients) in users.iter().zip(&mut clients) {
        wait_for("all sessions but one end", || {
            clients.retain_mut(is_live);
            assert!(!clients.is_empty(), "the last login stays");
            clients.len() == 1
        });
        let cli = |command: &[&str]| redis.cli(command);
        let (epoch, _) = announced(cli, user.id, user.class).expect("it is announced");
        assert!(epoch >= 20, "each login has an epoch: {epoch}");
        epochs.insert(epoch);
    }
    println!("the epochs that stayed: {epochs:?}");
}

/// A heartbeat behind the login is answered by who is still there.
fn is_live(client: &mut RawClient) -> bool {
    client.try_send_bytes(&frame(Command::Heartbeat.id(), BEAT, &[]))
        && std::iter::from_fn(|| client.receive()).any(|reply| reply.header.seq == BEAT)
}
