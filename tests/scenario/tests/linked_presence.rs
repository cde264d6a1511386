//! Goal: who is online is known on every node, to those who may see it: who comes and goes is told, a flap
//! is not, a node that dies takes its users with it, and a storm of logins is told in bounded pieces.

use std::time::{Duration, Instant};

use aldis_scenario::{Cluster, RawClient, SeededUser, login, wait_for};
use aldis_wire::{Code, Command, DeviceClass, pb};

/// Users who come back together in the storm.
const STORM_USERS: usize = 200;
/// Notifications of each user that a storm of a few seconds may make: gone, and back, and some room for
/// a machine that is slow.
const TOLD_PER_USER_MAX: usize = 4;

fn subscribe(client: &mut RawClient, user_ids: &[u64]) -> Vec<pb::PresenceInfo> {
    let body = pb::PresenceSubscribeReq { user_ids: user_ids.to_vec() };
    client.call(Command::PresenceSubscribe, &body).ok::<pb::PresenceSubscribeResp>().users
}

fn query(client: &mut RawClient, user_ids: &[u64]) -> Vec<pb::PresenceInfo> {
    let body = pb::PresenceQueryReq { user_ids: user_ids.to_vec() };
    client.call(Command::PresenceQuery, &body).ok::<pb::PresenceQueryResp>().users
}

/// Waits until it is told that the user has these classes; how often something else was told before.
fn await_told(client: &mut RawClient, user: u64, online: &[DeviceClass]) -> usize {
    let online: Vec<i32> = online.iter().map(|class| class.number() as i32).collect();
    for count in 0.. {
        let told: pb::PresenceNotify = client.notification(Command::PresenceNotify).decode();
        if told.users.iter().any(|info| info.user_id == user && info.online == online) {
            return count;
        }
        println!("told before: {told:?}");
    }
    unreachable!("the client waits for as long")
}

fn befriend(a: &mut RawClient, a_id: u64, b: &mut RawClient, b_id: u64) {
    let apply = pb::FriendApplyReq { user_id: b_id, reason: String::new() };
    assert_eq!(a.call(Command::FriendApply, &apply).code(), Code::Ok);
    let accept = pb::FriendHandleReq { user_id: a_id, accept: true };
    assert_eq!(b.call(Command::FriendHandle, &accept).code(), Code::Ok);
}

fn show_to(client: &mut RawClient, audience: pb::PresenceAudience) {
    let body = pb::UserUpdateReq { presence_audience: Some(audience.into()), ..Default::default() };
    assert_eq!(client.call(Command::UserUpdate, &body).code(), Code::Ok);
}

#[test]
fn friends_on_two_nodes_see_each_other_come_and_go() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 3, DeviceClass::Phone);
    let (ada_id, ben_id) = (users[0].id, users[1].id);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    assert_eq!(query(&mut ada, &[ben_id, 2_000_000_000]), [], "a stranger sees nobody");
    befriend(&mut ada, ada_id, &mut ben, ben_id);
    let seen = subscribe(&mut ada, &[ben_id, users[2].id]);
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].user_id, &seen[0].online[..]), (ben_id, &[1][..]));

    // A second device comes, and both go.
    let desktop = cluster.nodes[1].seed_users("user", 2, DeviceClass::Desktop);
    let desktop = login(&cluster.nodes[0], &desktop[1]).0;
    await_told(&mut ada, ben_id, &[DeviceClass::Phone, DeviceClass::Desktop]);
    drop(desktop);
    await_told(&mut ada, ben_id, &[DeviceClass::Phone]);
    drop(ben);
    await_told(&mut ada, ben_id, &[]);
    wait_for("when the last session ended is stored", || {
        let seen = query(&mut ada, &[ben_id]);
        seen[0].online.is_empty() && seen[0].last_seen_ms > 0
    });

    // Who is back at once was not away.
    let ben = login(&cluster.nodes[1], &users[1]).0;
    await_told(&mut ada, ben_id, &[DeviceClass::Phone]);
    drop(ben);
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    std::thread::sleep(Duration::from_secs(5));
    ada.call(Command::Heartbeat, &pb::HeartbeatReq::default());
    while let Some(reply) = ada.kept() {
        assert_ne!(reply.header.cmd, Command::PresenceNotify.id(), "{:?}", reply.body);
    }

    // Whoever hides or blocks is not seen.
    show_to(&mut ben, pb::PresenceAudience::PresenceToNobody);
    assert_eq!(query(&mut ada, &[ben_id]), []);
    show_to(&mut ben, pb::PresenceAudience::PresenceToEverybody);
    let mut carl = login(&cluster.nodes[0], &users[2]).0;
    assert_eq!(query(&mut carl, &[ben_id]).len(), 1);
    let block = pb::BlockReq { user_id: users[2].id };
    assert_eq!(ben.call(Command::Block, &block).code(), Code::Ok);
    assert_eq!(query(&mut carl, &[ben_id]), []);
    cluster.assert_quiet();
}

#[test]
fn users_of_a_node_that_was_killed_are_offline_when_its_lease_has_run_out() {
    let mut cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    show_to(&mut ben, pb::PresenceAudience::PresenceToEverybody);
    let seen = subscribe(&mut ada, &[users[1].id]);
    assert_eq!(seen[0].online, [1]);
    let began = Instant::now();
    cluster.nodes[1].kill_9();
    assert_eq!(await_told(&mut ada, users[1].id, &[]), 0, "nothing else is told before");
    println!("offline after {:?}", began.elapsed());
    // Back on the node that is left.
    let _ben = login(&cluster.nodes[0], &users[1]).0;
    await_told(&mut ada, users[1].id, &[DeviceClass::Phone]);
    let log = cluster.nodes[0].log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

#[test]
fn a_storm_of_reconnects_is_told_in_bounded_pieces() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("storm", STORM_USERS + 1, DeviceClass::Phone);
    let (watcher, crowd) = users.split_first().expect("there are some");
    let mut clients: Vec<RawClient> = log_all_in(&cluster, crowd);
    for client in &mut clients {
        show_to(client, pb::PresenceAudience::PresenceToEverybody);
    }
    let mut ada = login(&cluster.nodes[0], watcher).0;
    let ids: Vec<u64> = crowd.iter().map(|user| user.id).collect();
    let seen = subscribe(&mut ada, &ids);
    assert_eq!(seen.len(), STORM_USERS);
    for _ in 0..5 {
        drop(clients);
        clients = log_all_in(&cluster, crowd);
    }
    // All are there in the end, and that is what the watcher knows.
    let mut told = 0;
    let mut online: std::collections::BTreeMap<u64, bool> =
        seen.iter().map(|info| (info.user_id, !info.online.is_empty())).collect();
    let until = Instant::now() + Duration::from_secs(45);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_secs(1));
        ada.call(Command::Heartbeat, &pb::HeartbeatReq::default());
        while let Some(reply) = ada.kept() {
            if reply.header.cmd == Command::PresenceNotify.id() {
                for info in reply.decode::<pb::PresenceNotify>().users {
                    told += 1;
                    online.insert(info.user_id, !info.online.is_empty());
                }
            }
        }
        if online.values().all(|is_online| *is_online) {
            break;
        }
    }
    println!("told {told} times of {STORM_USERS} users who came back five times");
    assert!(online.values().all(|is_online| *is_online));
    assert!(told <= STORM_USERS * TOLD_PER_USER_MAX, "{told}");
    cluster.assert_quiet();
}

fn log_all_in(cluster: &Cluster, users: &[SeededUser]) -> Vec<RawClient> {
    let each = users.iter().enumerate();
    each.map(|(number, user)| login(&cluster.nodes[number % 2], user).0).collect()
}
