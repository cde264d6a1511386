//! Goal: a group that is too large for mailboxes is a stream that members follow, on whatever nodes they
//! are: pushed to those who are members and to nobody else, read from the store by those who were away,
//! and nothing is missing when a node dies.

use aldis_scenario::requests::{group_text, texts};
use aldis_scenario::{Cluster, RawClient, SeededUser, login, wait_for};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

/// Groups of more than so many are streams.
const FANOUT_MAX: usize = 4;
/// Messages of the one who sends while the other node dies.
const SENT: u64 = 20;

fn start() -> Cluster {
    Cluster::start_with(2, |_, options| {
        let tables = format!("[policy]\nfanout_max = {FANOUT_MAX}\ngroup_members_max = 7\n");
        aldis_scenario::NodeOptions { tables, ..options.with_link() }
    })
}

struct Member {
    client: RawClient,
    id: u64,
}

fn log_in(cluster: &Cluster, node: usize, user: &SeededUser) -> Member {
    Member { client: login(&cluster.nodes[node], user).0, id: user.id }
}

/// The members on alternating nodes, and a group of all of them.
fn members(cluster: &Cluster, users: &[SeededUser]) -> (Vec<Member>, u64) {
    let mut members: Vec<Member> = (0..)
        .zip(users)
        .map(|(index, user)| log_in(cluster, index % cluster.nodes.len(), user))
        .collect();
    let ids: Vec<u64> = users[1..].iter().map(|user| user.id).collect();
    let group = members[0].client.create_group(ids);
    for member in &mut members {
        until(&mut member.client, 0, |entry| is(entry, pb::GroupEventKind::GroupBecameStream));
    }
    (members, group)
}

fn is(entry: &pb::MessageData, kind: pb::GroupEventKind) -> bool {
    entry.r#type() == pb::MsgType::SystemGroup
        && pb::GroupEvent::decode(entry.content.as_ref()).is_ok_and(|event| event.kind() == kind)
}

/// The first entry that is pushed in a stream and fits. Hints and what is in other streams is passed over.
fn until(
    client: &mut RawClient,
    stream: u64,
    fits: impl Fn(&pb::MessageData) -> bool,
) -> pb::MessageData {
    loop {
        let push: pb::MsgPushNotify = client.notification(Command::MsgPushNotify).decode();
        if push.stream == stream
            && let Some(entry) = push.entries.into_iter().find(|entry| fits(entry))
        {
            assert_eq!(entry.group_id * u64::from(stream != 0), stream);
            return entry;
        }
    }
}

fn expect_text(client: &mut RawClient, group: u64, text: &str) -> pb::MessageData {
    until(client, group, |entry| entry.content == text.as_bytes())
}

/// What was pushed so far of a stream, by its seq; the heartbeat's answer comes after it.
fn pushed(client: &mut RawClient, stream: u64) -> Vec<u64> {
    let seq = client.send(Command::Heartbeat, &pb::HeartbeatReq::default());
    let mut seqs = Vec::new();
    loop {
        let reply = client.receive().expect("the connection is open");
        if reply.header.seq == seq {
            return seqs;
        }
        if reply.header.cmd == Command::MsgPushNotify.id() {
            let push: pb::MsgPushNotify = reply.decode();
            seqs.extend(push.entries.iter().filter(|_| push.stream == stream).map(|e| e.seq));
        }
    }
}

#[test]
fn members_on_both_nodes_are_pushed_what_is_said_and_it_is_in_no_mailbox() {
    let cluster = start();
    let users = cluster.nodes[0].seed_users("user", 6, DeviceClass::Phone);
    let (mut members, group) = members(&cluster, &users[..5]);
    let heads: Vec<u64> = members.iter_mut().map(|m| m.client.sync_page(0).head).collect();
    for round in 0..10 {
        let text = format!("round {round}");
        let sender = round % members.len();
        let sent = members[sender].client.send_message(&group_text(group, &text));
        assert_eq!((sent.seq, sent.conv_seq), (0, 3 + round as u64));
        for member in &mut members {
            let entry = expect_text(&mut member.client, group, &text);
            assert_eq!((entry.seq, entry.msg_id), (sent.conv_seq, sent.msg_id));
        }
    }
    for (member, head) in members.iter_mut().zip(heads) {
        assert_eq!(member.client.sync_page(0).head, head, "nothing is in the mailbox");
        let (entries, is_over) = member.client.stream_all(group, 0);
        assert_eq!((entries.len(), is_over), (10, false));
        let mark = pb::MarkDeliveredReq { stream: group, seq: 12 };
        assert_eq!(member.client.call(Command::MarkDelivered, &mark).code(), Code::Ok);
        let beyond = pb::MarkDeliveredReq { stream: group, seq: 13 };
        assert_eq!(member.client.call(Command::MarkDelivered, &beyond).code(), Code::BadRequest);
    }
    // To a stranger there is no such stream.
    let mut stranger = log_in(&cluster, 1, &users[5]).client;
    let ask = pb::MsgSyncReq { stream: group, after_seq: 0, limit: 0 };
    assert_eq!(stranger.call(Command::MsgSync, &ask).code(), Code::NotFound);
    let mark = pb::MarkDeliveredReq { stream: group, seq: 1 };
    assert_eq!(stranger.call(Command::MarkDelivered, &mark).code(), Code::NotFound);
    // A device that comes back learns of its streams, and of its own position.
    let mut again = RawClient::connect(cluster.nodes[0].address());
    let answer = again.login_with_token(&users[1]);
    let head = pb::StreamHead { stream: group, head: 12, cursor: 12 };
    assert!(answer.heads.contains(&head), "{:?}", answer.heads);
    cluster.assert_quiet();
}

#[test]
fn who_comes_and_goes_on_the_other_node_is_pushed_its_stay_and_no_more() {
    let cluster = start();
    let users = cluster.nodes[0].seed_users("user", 7, DeviceClass::Phone);
    let (mut members, group) = members(&cluster, &users[..5]);
    // One on each node, who come later.
    let mut late = [log_in(&cluster, 0, &users[5]), log_in(&cluster, 1, &users[6])];
    members[0].client.send_message(&group_text(group, "before"));
    let ids: Vec<u64> = late.iter().map(|member| member.id).collect();
    assert_eq!(members[1].client.invite(group, ids.clone()).code(), Code::Ok);
    let joined = |entry: &pb::MessageData| is(entry, pb::GroupEventKind::MembersJoined);
    let mut start = 0;
    for member in &mut late {
        let entry = until(&mut member.client, 0, joined);
        let event = pb::GroupEvent::decode(entry.content.as_ref()).expect("an event");
        assert!(event.is_stream);
        start = entry.conv_seq;
    }
    let during = members[2].client.send_message(&group_text(group, "during"));
    for member in members.iter_mut().chain(&mut late) {
        assert_eq!(expect_text(&mut member.client, group, "during").seq, during.conv_seq);
    }
    let removal = pb::GroupRemoveReq { group_id: group, user_ids: ids };
    assert_eq!(members[0].client.call(Command::GroupRemove, &removal).code(), Code::Ok);
    for member in &mut late {
        let removed = |entry: &pb::MessageData| is(entry, pb::GroupEventKind::MembersRemoved);
        until(&mut member.client, 0, removed);
    }
    let after = members[3].client.send_message(&group_text(group, "after"));
    for member in &mut members {
        expect_text(&mut member.client, group, "after");
    }
    for member in &mut late {
        let seqs = pushed(&mut member.client, group);
        assert!(!seqs.contains(&after.conv_seq), "{seqs:?}");
        let (entries, is_over) = member.client.stream_all(group, 0);
        assert_eq!((texts(&entries), is_over), (vec!["during".to_owned()], true));
        assert_eq!(entries[0].seq, start + 1);
        assert_eq!(member.client.send_code(&group_text(group, "no")), Code::NotFound);
    }
    cluster.assert_quiet();
}

#[test]
fn a_dissolved_stream_ends_for_who_is_there_and_for_who_was_away() {
    let cluster = start();
    let users = cluster.nodes[0].seed_users("user", 5, DeviceClass::Phone);
    let (mut members, group) = members(&cluster, &users);
    let away = members.pop().expect("five");
    drop(away);
    members[1].client.send_message(&group_text(group, "last words"));
    let body = pb::GroupDissolveReq { group_id: group };
    assert_eq!(members[0].client.call(Command::GroupDissolve, &body).code(), Code::Ok);
    let dissolved = |entry: &pb::MessageData| is(entry, pb::GroupEventKind::GroupDissolved);
    for member in &mut members {
        until(&mut member.client, group, dissolved);
    }
    let mut back = RawClient::connect(cluster.nodes[1].address());
    let heads = back.login_with_token(&users[4]).heads;
    assert!(heads.iter().all(|head| head.stream == 0), "it follows nothing: {heads:?}");
    let (entries, is_over) = back.stream_all(group, 2);
    assert_eq!(entries.len(), 2);
    assert!(is_over && dissolved(&entries[1]));
    assert_eq!(members[0].client.call(Command::GroupDissolve, &body).code(), Code::Ok, "a repeat");
    assert_eq!(members[1].client.send_code(&group_text(group, "no")), Code::NotFound);
    cluster.assert_quiet();
}

#[test]
fn a_node_that_dies_costs_nobody_an_entry() {
    let mut cluster = start();
    let users = cluster.nodes[0].seed_users("user", 5, DeviceClass::Phone);
    let (mut members, group) = members(&cluster, &users);
    for number in 0..SENT {
        if number == SENT / 2 {
            cluster.nodes[1].kill_9();
        }
        members[0].client.send_message(&group_text(group, &format!("message {number}")));
    }
    let links = cluster.links_of(0, 1);
    cluster.nodes[1].restart();
    wait_for("the nodes are linked again", || cluster.links_of(0, 1) > links);
    // Those of the node that died come back to it, the others were there all the time.
    for (index, user) in users.iter().enumerate().filter(|(index, _)| index % 2 == 1) {
        members[index] = log_in(&cluster, 1, user);
    }
    let expected: Vec<String> = (0..SENT).map(|number| format!("message {number}")).collect();
    for member in &mut members {
        let (entries, is_over) = member.client.stream_all(group, 0);
        assert_eq!((texts(&entries), is_over), (expected.clone(), false));
    }
    members[1].client.send_message(&group_text(group, "from the new life"));
    for member in &mut members {
        expect_text(&mut member.client, group, "from the new life");
    }
}
