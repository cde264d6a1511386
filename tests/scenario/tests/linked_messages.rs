//! Goal: people on different nodes talk as on one: what is committed on a node is pushed to whoever is
//! on others, groups and further devices included, in order and with its entry. Hints, which head
//! checks bring too, do not count here.

use aldis_scenario::requests::{group_text, text_to, texts};
use aldis_scenario::{Cluster, RawClient, login, next_entry};
use aldis_wire::{DeviceClass, pb};

/// Rounds of a conversation.
const ROUNDS: u64 = 200;

fn text(entry: &pb::MessageData) -> &str {
    std::str::from_utf8(&entry.content).expect("texts are UTF-8")
}

#[test]
fn two_people_on_two_nodes_write_to_each_other() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let mut ends: Vec<RawClient> =
        users.iter().zip(&cluster.nodes).map(|(user, node)| login(node, user).0).collect();
    let mut seqs = [0, 0];
    for round in 0..ROUNDS {
        for from in [0, 1] {
            let to = 1 - from;
            let said = format!("round {round} from {from}: 你好");
            let answer = ends[from].send_message(&text_to(users[to].id, &said));
            let entry = next_entry(&mut ends[to]);
            assert_eq!((text(&entry), entry.msg_id), (said.as_str(), answer.msg_id));
            seqs = [seqs[0] + 1, seqs[1] + 1];
            assert_eq!((answer.seq, entry.seq), (seqs[from], seqs[to]));
        }
    }
    cluster.assert_quiet();
}

#[test]
fn all_devices_of_a_user_get_everything_whichever_nodes_they_are_on() {
    let cluster = Cluster::start(3);
    let [phones, desktops, tablets] =
        [DeviceClass::Phone, DeviceClass::Desktop, DeviceClass::Tablet]
            .map(|class| cluster.nodes[0].seed_users("user", 2, class));
    let nodes = &cluster.nodes;
    let mut ada = login(&nodes[0], &phones[0]).0;
    let mut adas = [login(&nodes[1], &desktops[0]).0, login(&nodes[2], &tablets[0]).0];
    let mut bens = [login(&nodes[1], &phones[1]).0, login(&nodes[2], &desktops[1]).0];
    for round in 0..50 {
        let said = format!("round {round}");
        let answer = ada.send_message(&text_to(phones[1].id, &said));
        // What she says herself reaches her other devices, and not the one she said it on.
        for client in adas.iter_mut().chain(&mut bens) {
            let entry = next_entry(client);
            assert_eq!((text(&entry), entry.msg_id), (said.as_str(), answer.msg_id));
        }
    }
    let last = bens[0].send_message(&text_to(phones[0].id, "the end"));
    assert_eq!(next_entry(&mut ada).msg_id, last.msg_id);
    cluster.assert_quiet();
}

#[test]
fn a_group_over_three_nodes_sees_one_order() {
    let cluster = Cluster::start(3);
    let users = cluster.nodes[0].seed_users("user", 30, DeviceClass::Phone);
    let mut clients: Vec<RawClient> = users
        .iter()
        .enumerate()
        .map(|(number, user)| login(&cluster.nodes[number % 3], user).0)
        .collect();
    let members = users[1..].iter().map(|user| user.id).collect();
    let group = clients[0].create_group(members);
    for client in &mut clients[1..] {
        assert_eq!(next_entry(client).r#type, pb::MsgType::SystemGroup as i32);
    }
    for round in 0..20 {
        // Three at once, one on each node: their commits overtake each other.
        let bodies = [0, 1, 2].map(|from| group_text(group, &format!("{round} from {from}")));
        let asked: Vec<u32> = bodies
            .iter()
            .enumerate()
            .map(|(from, body)| clients[from].send(aldis_wire::Command::MsgSend, body))
            .collect();
        for (from, seq) in asked.into_iter().enumerate() {
            clients[from].response(seq).ok::<pb::MsgSendResp>();
        }
    }
    let histories: Vec<Vec<String>> = clients.iter_mut().map(|c| texts(&c.sync_all(0))).collect();
    assert_eq!(histories[0].len(), 60);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(histories[number], histories[0]);
        let own = if number < 3 { 20 } else { 0 };
        let mut pushed: Vec<pb::MessageData> = (own..60).map(|_| next_entry(client)).collect();
        // A gap that was not filled in time is the client's to fill; nothing is missing for good.
        pushed.sort_by_key(|entry| entry.seq);
        let mine = format!("from {number}");
        let others: Vec<String> = histories[0]
            .iter()
            .filter(|said| number > 2 || !said.ends_with(&mine))
            .cloned()
            .collect();
        assert_eq!(texts(&pushed), others);
    }
    cluster.assert_quiet();
}

#[test]
fn without_redis_nodes_that_the_configuration_names_tell_each_other_everything() {
    // Without a directory each must be told where the other is.
    let free = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.local_addr().expect("it is bound")
    };
    let addresses = [free(), free()];
    let mariadb = aldis_services::MariaDb::shared();
    let url = mariadb.fresh_database();
    let nodes = [0, 1].map(|index: usize| {
        let (own, other) = (addresses[index], addresses[1 - index]);
        let keys = format!(
            "listen = \"{own}\"\npeers = [{{ node = {}, address = \"{other}\" }}]",
            2 - index
        );
        aldis_scenario::NodeOptions::new(1 + index as u16, &url).with_cluster_keys(&keys).start()
    });
    for (node, other) in nodes.iter().zip([2, 1]) {
        let line = format!("node {other} is linked");
        aldis_scenario::wait_for(&line, || node.log().contains(&line));
    }
    let users = nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let (mut ada, mut ben) = (login(&nodes[0], &users[0]).0, login(&nodes[1], &users[1]).0);
    for round in 0..20 {
        ada.send_message(&text_to(users[1].id, &format!("{round}")));
        assert_eq!(text(&next_entry(&mut ben)), round.to_string());
    }
    // A second login elsewhere ends the first although nobody knows where it is.
    let (mut newer, _) = login(&nodes[1], &users[0]);
    let kick: pb::KickNotify = ada.notification(aldis_wire::Command::KickNotify).decode();
    assert_eq!(kick.reason(), pb::KickReason::Replaced);
    ben.send_message(&text_to(users[0].id, "welcome back"));
    assert_eq!(text(&next_entry(&mut newer)), "welcome back");
}
