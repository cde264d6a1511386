//! A Redis Cluster of three: one server is away, flushed, emptied of slots, or replaced.

use std::ops::Range;

use aldis_logic::job::Registration;
use aldis_services::RedisCluster;

use crate::harness::{LIVE, Node, keep_log, logged};

const USERS: Range<u64> = 0..1_500;

fn everybody() -> Vec<u64> {
    USERS.collect()
}

/// Users whose sessions are on one server, by what is there.
fn users_on(cluster: &RedisCluster, server: usize) -> Vec<u64> {
    let port = cluster.nodes[server].port().to_string();
    let output = std::process::Command::new("redis-cli")
        .args(["-p", &port, "--raw", "KEYS", "im:session:*"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let user = |line: &str| line.split(['{', '}']).nth(1)?.parse().ok();
    let mut users: Vec<u64> = text.lines().filter_map(user).collect();
    users.sort_unstable();
    users
}

#[test]
fn a_server_that_is_away_takes_only_its_own_users_with_it() {
    let mut cluster = RedisCluster::start();
    // One of them is enough to find the others.
    let mut node = Node::start(1, cluster.urls()[..1].to_vec());
    assert!(node.register_all(USERS).iter().all(|answer| *answer == LIVE));
    let shares: Vec<_> = (0..3).map(|server| users_on(&cluster, server)).collect();
    assert!(shares.iter().all(|users| users.len() > 300), "{shares:?}");
    cluster.nodes[1].kill_9();
    node.wait("one server known to be away", |node| node.online(USERS).1 == shares[1].len());
    let (online, _) = node.online(USERS);
    let others = everybody().into_iter().filter(|user| !shares[1].contains(user));
    assert_eq!(online, others.collect::<Vec<_>>());
    assert_eq!(
        node.register(shares[0][0], 2),
        Registration::Live { replaced: Some(node.record(shares[0][0], 1)) }
    );
    assert_eq!(node.register(shares[1][0], 2), Registration::Unavailable);
    node.unregister(shares[1][1], 1);
    cluster.nodes[1].restart();
    let gone = shares[1][1];
    let online: Vec<_> = everybody().into_iter().filter(|user| *user != gone).collect();
    node.wait_online(USERS, &online);
}

#[test]
fn two_servers_that_hang_delay_nobody_else() {
    let cluster = RedisCluster::start();
    let mut node = Node::start(1, cluster.urls());
    node.register_all(USERS);
    cluster.nodes[0].pause();
    cluster.nodes[2].pause();
    let away = users_on_after(&cluster);
    for user in USERS {
        node.maintain();
        let answer = node.register(user, 2);
        assert!(answer != Registration::Fenced, "{user}");
    }
    assert_eq!(node.online(USERS).1, USERS.end as usize - away.len());
    cluster.nodes[0].resume();
    cluster.nodes[2].resume();
    cluster.wait_until_whole();
    node.wait_online(USERS, &everybody());
}

/// Users on the one server that answers.
fn users_on_after(cluster: &RedisCluster) -> Vec<u64> {
    users_on(cluster, 1)
}

#[test]
fn a_flush_of_one_server_is_noticed() {
    let cluster = RedisCluster::start();
    let mut node = Node::start(1, cluster.urls());
    node.register_all(USERS);
    for server in 0..3 {
        let share = users_on(&cluster, server);
        let port = cluster.nodes[server].port().to_string();
        let flushed = std::process::Command::new("redis-cli")
            .args(["-p", &port, "FLUSHALL"])
            .output()
            .unwrap();
        assert!(flushed.status.success());
        assert_eq!(node.online(USERS).0.len(), everybody().len() - share.len());
        node.wait_online(USERS, &everybody());
    }
}

#[test]
fn slots_may_move_while_sessions_begin() {
    keep_log();
    let cluster = RedisCluster::start();
    let mut node = Node::start(1, cluster.urls());
    node.register_all(USERS);
    let ids: Vec<_> = cluster.nodes.iter().map(|server| server.cli(&["CLUSTER", "MYID"])).collect();
    let mut moving = std::process::Command::new("redis-cli")
        .args(["--cluster", "reshard", &format!("127.0.0.1:{}", cluster.nodes[0].port())])
        .args(["--cluster-from", &ids[0], "--cluster-to", &ids[1]])
        .args(["--cluster-slots", "2000", "--cluster-yes"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut epoch, mut count, mut unavailable) = (2, 0, 0);
    while moving.try_wait().unwrap().is_none() {
        for user in USERS.step_by(7) {
            node.maintain();
            count += 1;
            match node.register(user, epoch) {
                Registration::Fenced => panic!("{user} has no newer session"),
                Registration::Unavailable => unavailable += 1,
                Registration::Live { .. } => {}
            }
        }
        epoch += 1;
    }
    assert!(moving.wait().unwrap().success());
    assert!(unavailable * 10 < count, "{unavailable} of {count} registrations met a moving slot");
    node.wait_online(USERS, &everybody());
    for server in &cluster.nodes {
        assert_eq!(logged(&format!(":{} is away", server.port())), Vec::<String>::new());
    }
}

#[test]
fn an_empty_server_that_takes_over_is_told_everything() {
    let mut cluster = RedisCluster::start();
    let mut node = Node::start(1, cluster.urls());
    node.register_all(USERS);
    let lost = cluster.nodes[2].cli(&["CLUSTER", "MYID"]);
    cluster.nodes[2].kill_9();
    // As after a failover to a replica that had nothing: the others agree on a new owner.
    let (slots, taker) = (owned_by(&cluster, &lost), &cluster.nodes[1]);
    for server in &cluster.nodes[..2] {
        server.cli(&["CLUSTER", "DELSLOTSRANGE", &slots.0, &slots.1]);
    }
    taker.cli(&["CLUSTER", "ADDSLOTSRANGE", &slots.0, &slots.1]);
    taker.cli(&["CLUSTER", "BUMPEPOCH"]);
    node.wait_online(USERS, &everybody());
}

/// First and last of the slots that a server has.
fn owned_by(cluster: &RedisCluster, id: &str) -> (String, String) {
    let table = cluster.nodes[0].cli(&["CLUSTER", "NODES"]);
    let line = table.lines().find(|line| line.starts_with(id)).unwrap();
    let (first, last) = line.rsplit(' ').next().unwrap().split_once('-').unwrap();
    (first.to_owned(), last.to_owned())
}
