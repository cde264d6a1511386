//! Goal: what a cluster promises beyond correctness, counted: a group's message crosses the link once
//! for each node, however many members are there; all devices of a user are one user wherever they
//! are; nodes that are restarted in turn let go of their clients without an error.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aldis_scenario::http::{assert_clean, metric, scrape};
use aldis_scenario::requests::{group_text, text_to, texts};
use aldis_scenario::{Cluster, RawClient, SeededUser, Server, login, next_entry, wait_for};
use aldis_wire::{Code, Command, DeviceClass, pb};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
/// The largest group whose messages are written to each member's mailbox.
const MEMBERS: usize = 500;
/// Messages to it.
const MESSAGES: usize = 5;

fn cluster() -> Cluster {
    Cluster::start_with(3, |_, mut options| {
        options.tables = ADMIN.to_owned();
        options.with_link()
    })
}

/// Deliveries that a node sent to another, both by their number.
fn delivered(cluster: &Cluster, from: usize, to: usize) -> f64 {
    let page = scrape(cluster.nodes[from - 1].http_address("admin"));
    let name = format!("aldis_link_messages_sent_total{{peer=\"{to}\",kind=\"deliver\"}}");
    metric(&page, &name).unwrap_or(0.0)
}

/// Logged in again; the head of the mailbox by then.
fn move_to(node: &Server, user: &SeededUser) -> (RawClient, u64) {
    let mut client = RawClient::connect(node.address());
    let heads = client.login_with_token(user).heads;
    (client, heads.first().expect("the mailbox's").head)
}

/// Entries that were pushed and not looked at yet.
fn pushed_since(client: &mut RawClient) -> usize {
    let beat = client.send(Command::Heartbeat, &pb::HeartbeatReq::default());
    let mut count = 0;
    loop {
        let reply = client.receive().expect("the connection stays");
        if reply.header.seq == beat {
            return count;
        }
        if reply.header.cmd == Command::MsgPushNotify.id() {
            count += reply.decode::<pb::MsgPushNotify>().entries.len();
        }
    }
}

#[test]
fn a_message_to_a_group_crosses_the_link_once_for_each_node() {
    let cluster = cluster();
    let users = cluster.nodes[0].seed_users("member", MEMBERS, DeviceClass::Phone);
    let mut clients: Vec<RawClient> = users
        .iter()
        .enumerate()
        .map(|(number, user)| login(&cluster.nodes[number % 3], user).0)
        .collect();
    let group = clients[0].create_group(users[1..].iter().map(|user| user.id).collect());
    for client in &mut clients[1..] {
        assert_eq!(next_entry(client).r#type, pb::MsgType::SystemGroup as i32);
    }
    // Where nobody ever was looked for, it takes one question; those who came meanwhile are known.
    wait_for("the group's beginning is counted", || {
        delivered(&cluster, 1, 2) >= 1.0 && delivered(&cluster, 1, 3) >= 1.0
    });
    let before = [2, 3].map(|to| delivered(&cluster, 1, to));
    for number in 0..MESSAGES {
        let said = format!("message {number}");
        let answer = clients[0].send_message(&group_text(group, &said));
        for client in &mut clients[1..] {
            let entry = next_entry(client);
            assert_eq!((&entry.content[..], entry.msg_id), (said.as_bytes(), answer.msg_id));
        }
    }
    let more: usize = clients.iter_mut().map(pushed_since).sum();
    assert_eq!(more, 0, "everybody got everything once");
    let goal = before.map(|count| count + MESSAGES as f64);
    wait_for("all is counted", || [2, 3].map(|to| delivered(&cluster, 1, to)) >= goal);
    std::thread::sleep(Duration::from_millis(300));
    let after = [2, 3].map(|to| delivered(&cluster, 1, to));
    println!("{MESSAGES} messages to {MEMBERS} members: link messages {before:?} -> {after:?}");
    assert_eq!(after, goal, "one message of the link for each node");
    for node in &cluster.nodes {
        assert_clean(&scrape(node.http_address("admin")));
    }
    cluster.assert_quiet();
}

#[test]
fn devices_of_a_user_on_three_nodes_are_one_user() {
    let cluster = cluster();
    let nodes = &cluster.nodes;
    let seed = |class| nodes[0].seed_users("user", 2, class);
    let [phones, desktops, webs] =
        [DeviceClass::Phone, DeviceClass::Desktop, DeviceClass::Web].map(seed);
    let mut phone = login(&nodes[0], &phones[0]).0;
    let mut desktop = login(&nodes[1], &desktops[0]).0;
    let mut web = login(&nodes[2], &webs[0]).0;
    let mut ben = login(&nodes[1], &desktops[1]).0;
    for round in 0..50 {
        let to_ada = ben.send_message(&text_to(phones[0].id, &format!("to ada {round}")));
        for device in [&mut phone, &mut desktop, &mut web] {
            assert_eq!(next_entry(device).msg_id, to_ada.msg_id, "each device gets it");
        }
        let from_ada = phone.send_message(&text_to(phones[1].id, &format!("to ben {round}")));
        for device in [&mut desktop, &mut web, &mut ben] {
            assert_eq!(next_entry(device).msg_id, from_ada.msg_id, "her other devices, and Ben");
        }
    }
    // Her phone logs in on another node each time: the one before is told, and nobody else.
    let mut took = Vec::new();
    for round in 0..20 {
        let (mut newer, local) = move_to(&nodes[(round + 1) % 3], &phones[0]);
        let began = Instant::now();
        let kick: pb::KickNotify = phone.notification(Command::KickNotify).decode();
        took.push(began.elapsed());
        assert_eq!(kick.reason(), pb::KickReason::Replaced);
        assert!(phone.is_closed_silently());
        let answer = ben.send_message(&text_to(phones[0].id, &format!("after kick {round}")));
        for device in [&mut desktop, &mut web] {
            assert_eq!(next_entry(device).msg_id, answer.msg_id, "the others stay");
        }
        // Within a second after a login a message may not find the new session: then a hint does.
        let push: pb::MsgPushNotify = newer.notification(Command::MsgPushNotify).decode();
        assert!(push.head > local || push.entries.iter().any(|entry| entry.seq > local));
        assert_eq!(newer.sync_all(local).last().map(|entry| entry.msg_id), Some(answer.msg_id));
        phone = newer;
    }
    took.sort();
    println!("kicked across nodes after {:?} in the median, {:?} at most", took[10], took[19]);
    cluster.assert_quiet();
}

/// Clients that are moved by restarts, and their unanswered messages.
const CLIENTS: usize = 24;
const WINDOW: usize = 4;
/// Pause of a client after each answer.
const PAUSE: Duration = Duration::from_millis(10);

/// What a client says until it is over, moving when it is told to: every answer must be OK, and no
/// connection may end before the client ends it.
fn talk(
    (user, to): (&SeededUser, u64),
    (mut node, addresses): (usize, &[SocketAddr]),
    is_over: &AtomicBool,
    moves: &AtomicUsize,
) -> usize {
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut client = RawClient::login_seeded(addresses[node], user);
        let (mut unanswered, mut is_leaving) = (0, false);
        while unanswered > 0 || !(is_leaving || is_over.load(Ordering::Relaxed)) {
            while unanswered < WINDOW && !is_leaving && !is_over.load(Ordering::Relaxed) {
                sent += 1;
                unanswered += 1;
                client.send(Command::MsgSend, &text_to(to, &sent.to_string()));
            }
            let reply = client.receive();
            let reply = reply.unwrap_or_else(|| {
                panic!("cut at node {}, {unanswered} unanswered, leaving: {is_leaving}", node + 1)
            });
            if reply.header.cmd == Command::MsgSendResp.id() {
                assert_eq!(reply.code(), Code::Ok, "{:?}", reply.error());
                unanswered -= 1;
                std::thread::sleep(PAUSE);
            } else if reply.header.cmd == Command::GoawayNotify.id() {
                is_leaving = true;
            }
        }
        if is_leaving {
            moves.fetch_add(1, Ordering::Relaxed);
            // The one that was restarted before, or will be last: never the next one.
            node = (node + addresses.len() - 1) % addresses.len();
        }
    }
    sent
}

#[test]
fn clients_that_go_when_told_to_see_no_error_while_all_nodes_are_restarted() {
    let mut cluster = cluster();
    let users = cluster.nodes[0].seed_users("polite", 2 * CLIENTS, DeviceClass::Phone);
    let (users, readers) = users.split_at(CLIENTS);
    let addresses: Vec<SocketAddr> = cluster.nodes.iter().map(|node| node.address()).collect();
    let (is_over, moves) = (AtomicBool::new(false), AtomicUsize::new(0));
    let sent: Vec<usize> = std::thread::scope(|scope| {
        let talkers: Vec<_> = users
            .iter()
            .zip(readers)
            .enumerate()
            .map(|(number, (user, reader))| {
                let (addresses, is_over, moves) = (&addresses, &is_over, &moves);
                let at = (number % 3, addresses.as_slice());
                scope.spawn(move || talk((user, reader.id), at, is_over, moves))
            })
            .collect();
        let all_talk = || assert!(!talkers.iter().any(|talker| talker.is_finished()), "see above");
        for node in &mut cluster.nodes {
            std::thread::sleep(Duration::from_secs(1));
            all_talk();
            assert!(node.terminate(Duration::from_secs(60)), "it ends in order");
            node.restart();
            all_talk();
        }
        std::thread::sleep(Duration::from_secs(1));
        is_over.store(true, Ordering::Relaxed);
        talkers.into_iter().map(|talker| talker.join().expect("a client")).collect()
    });
    println!("{} messages, {} moves", sent.iter().sum::<usize>(), moves.load(Ordering::Relaxed));
    assert!(moves.load(Ordering::Relaxed) >= CLIENTS, "all nodes had clients that had to go");
    for (reader, sent) in readers.iter().zip(sent) {
        let mut client = login(&cluster.nodes[0], reader).0;
        let expected: Vec<String> = (1..=sent).map(|number| number.to_string()).collect();
        assert_eq!(texts(&client.sync_all(0)), expected, "each once, in order");
    }
    cluster.assert_quiet();
}
