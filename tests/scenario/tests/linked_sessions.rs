//! Goal: of one user and device class one session lives, whichever nodes its logins went through. With
//! a link the older one ends at once, and a login whose client has given up ends nobody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aldis_services::MariaDb;
use rustix::process::Signal;

use aldis_scenario::{Cluster, RawClient, SeededUser, Server, frame, login, wait_for};
use aldis_wire::{Command, DeviceClass, pb};

/// A kick by the link comes well before the head check that would find the same, 15 s later at most.
const KICK_MAX: Duration = Duration::from_secs(5);
/// The seq of heartbeats that are told apart from other requests by it.
const BEAT: u32 = 1 << 30;

fn expect_kick(client: &mut RawClient) {
    let kick: pb::KickNotify = client.notification(Command::KickNotify).decode();
    assert_eq!(kick.reason(), pb::KickReason::Replaced);
    assert!(client.is_closed_silently());
}

/// Whether a heartbeat is answered. What was pushed before it does not matter.
fn is_live(client: &mut RawClient) -> bool {
    client.try_send_bytes(&frame(Command::Heartbeat.id(), BEAT, &[]))
        && std::iter::from_fn(|| client.receive()).any(|reply| reply.header.seq == BEAT)
}

#[test]
fn a_login_on_another_node_ends_the_older_session_at_once() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 60, DeviceClass::Phone);
    let mut took = Vec::new();
    for (number, user) in users.iter().enumerate() {
        let (older, newer) = (number % 2, 1 - number % 2);
        let (mut old, old_epoch) = login(&cluster.nodes[older], user);
        let (mut new, new_epoch) = login(&cluster.nodes[newer], user);
        let began = Instant::now();
        expect_kick(&mut old);
        took.push(began.elapsed());
        assert!(new_epoch > old_epoch && is_live(&mut new));
    }
    took.sort();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("kicked after {median:?} in the median, {longest:?} at most");
    assert!(median < Duration::from_millis(200) && longest < KICK_MAX);
    cluster.assert_quiet();
}

#[test]
fn other_classes_of_the_same_user_are_left_alone() {
    let cluster = Cluster::start(2);
    let [phones, desktops] = [DeviceClass::Phone, DeviceClass::Desktop]
        .map(|class| cluster.nodes[0].seed_users("user", 1, class));
    let mut desktop = login(&cluster.nodes[0], &desktops[0]).0;
    let mut phone = login(&cluster.nodes[0], &phones[0]).0;
    let mut newer = login(&cluster.nodes[1], &phones[0]).0;
    expect_kick(&mut phone);
    assert!(is_live(&mut desktop) && is_live(&mut newer));
}

/// Logins per user; two users' worth of them are under way at a time, through both nodes at the same
/// moment each.
const PAIRS: usize = 80;
const USERS: usize = 26;

const _: () = assert!(PAIRS * USERS >= 2_000, "rare interleavings need many tries");

/// Both nodes are asked at the same moment, over two thousand times, and Redis forgets all meanwhile.
#[test]
fn of_logins_at_the_same_moment_through_both_nodes_one_session_stays() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", USERS, DeviceClass::Phone);
    std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(300));
                cluster.redis.cli(&["FLUSHALL"]);
            }
        });
        let half = USERS / 2;
        for users in users.chunks(half) {
            let cluster = &cluster;
            scope.spawn(move || users.iter().for_each(|user| log_in_together(cluster, user)));
        }
        flusher.join().expect("Redis is there");
    });
    let mut newest = BTreeMap::new();
    for user in &users {
        let (mut client, epoch) = login(&cluster.nodes[0], user);
        assert!(is_live(&mut client));
        newest.insert(user.id, epoch);
    }
    println!("{} pairs of logins, epochs now: {newest:?}", PAIRS * USERS);
    cluster.assert_quiet();
}

/// Pairs of logins, each at the same moment through both nodes: after each one session is left, the
/// one with the higher epoch.
fn log_in_together(cluster: &Cluster, user: &SeededUser) {
    let mut sessions: Vec<(RawClient, Option<u64>)> = Vec::new();
    for _ in 0..PAIRS {
        let connect = |node: &Server| RawClient::connect(node.address());
        let mut pair: Vec<RawClient> = cluster.nodes.iter().map(connect).collect();
        for client in &mut pair {
            client.send(Command::Login, &user.login_body());
        }
        sessions.extend(pair.into_iter().map(|mut client| {
            let epoch = answered_epoch(&mut client);
            (client, epoch)
        }));
        let newest = sessions.iter().filter_map(|(_, epoch)| *epoch).max();
        wait_for("all sessions but one end", || {
            sessions.retain_mut(|(client, _)| is_live(client));
            assert!(!sessions.is_empty(), "the newer session stays");
            sessions.len() == 1
        });
        assert!(newest.is_some() && sessions[0].1 == newest, "the higher epoch stays");
    }
}

/// The epoch that a login was answered with; none if it was kicked before.
fn answered_epoch(client: &mut RawClient) -> Option<u64> {
    while let Some(reply) = client.receive() {
        if reply.header.cmd == Command::LoginResp.id() {
            return Some(reply.ok::<pb::LoginResp>().session_id);
        }
    }
    None
}

/// Longer than every session takes to be compared with the store.
const CHECKED_AFTER: Duration = Duration::from_secs(18);

/// Clients that ask one node, lose patience, and log in on the other; the first node is told to go on
/// by `resume`. Nobody's second session may end.
fn second_logins_stay(cluster: &Cluster, users: &[SeededUser], resume: impl FnOnce()) {
    let ask = |user: &SeededUser| {
        let mut client = RawClient::connect(cluster.nodes[0].address());
        client.send(Command::Login, &user.login_body());
    };
    // Each connection is closed at once, by which time its LOGIN is on its way.
    users.iter().for_each(ask);
    let mut clients: Vec<RawClient> = users
        .iter()
        .map(|user| {
            let mut client = RawClient::connect(cluster.nodes[1].address());
            client.send(Command::Login, &user.login_body());
            client
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    resume();
    let epochs: Vec<Option<u64>> = clients.iter_mut().map(answered_epoch).collect();
    assert!(epochs.iter().all(Option::is_some), "everybody is logged in: {epochs:?}");
    let until = Instant::now() + CHECKED_AFTER;
    while Instant::now() < until {
        let lives = clients.iter_mut().filter_map(|client| is_live(client).then_some(())).count();
        assert_eq!(lives, users.len(), "somebody lost the session to a login that nobody has");
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("epochs {epochs:?}");
}

#[test]
fn logins_that_a_node_takes_late_do_not_end_those_that_their_clients_have_instead() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 20, DeviceClass::Phone);
    cluster.nodes[0].signal(Signal::STOP);
    second_logins_stay(&cluster, &users, || cluster.nodes[0].signal(Signal::CONT));
    cluster.assert_quiet();
}

#[test]
fn logins_that_the_database_takes_late_do_not_end_those_that_their_clients_have_instead() {
    let mariadb = MariaDb::start();
    let cluster = Cluster::start_on(&mariadb, 2, |_, options| options.with_link());
    let users = cluster.nodes[0].seed_users("user", 20, DeviceClass::Phone);
    mariadb.pause();
    second_logins_stay(&cluster, &users, || mariadb.resume());
}
