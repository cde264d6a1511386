//! Goal: a search gives the same on every node, finds what was committed anywhere before it was asked, and
//! never what its asker may not read at that moment.

use aldis_scenario::requests::{group_text, text_to, texts};
use aldis_scenario::{Cluster, NodeOptions, RawClient, login};
use aldis_wire::{Code, Command, DeviceClass, pb};

/// Groups of more are streams.
const FANOUT_MAX: usize = 2;
/// Messages, each searched for on both nodes as soon as it is answered.
const ROUNDS: u64 = 100;

/// The texts of all hits, newest first.
fn search(client: &mut RawClient, query: &str, group_id: u64) -> Vec<String> {
    let mut body = pb::SearchReq { query: query.into(), group_id, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page: pb::SearchResp = client.call(Command::Search, &body).ok();
        found.extend(texts(&page.entries));
        body.cursor = page.cursor;
        if page.cursor == 0 {
            return found;
        }
    }
}

#[test]
fn what_is_answered_on_one_node_is_found_on_the_other() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let (ada_id, ben_id) = (users[0].id, users[1].id);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    for round in 0..ROUNDS {
        let text = format!("第{round}条 message");
        let (sender, receiver_id) =
            if round % 2 == 0 { (&mut ada, ben_id) } else { (&mut ben, ada_id) };
        let sent = sender.send_message(&text_to(receiver_id, &text));
        for client in [&mut ada, &mut ben] {
            assert_eq!(search(client, &format!("第{round}条"), 0), [text.as_str()]);
        }
        if round % 10 != 0 {
            continue;
        }
        let place = (receiver_id, sent.conv_seq);
        let edit = pb::EditReq {
            receiver_id: place.0,
            conv_seq: place.1,
            request_id: vec![round as u8; 16].into(),
            content: format!("changed c{round}").into(),
            ..Default::default()
        };
        ada.call(Command::Edit, &edit).ok::<pb::EditResp>();
        assert_eq!(search(&mut ben, &format!("第{round}条"), 0), [""; 0]);
        assert_eq!(search(&mut ben, &format!("c{round}"), 0), [format!("changed c{round}")]);
        let recall = pb::RecallReq { receiver_id: place.0, group_id: 0, conv_seq: place.1 };
        ada.call(Command::Recall, &recall).ok::<pb::RecallResp>();
        assert_eq!(search(&mut ben, "changed", 0), [""; 0], "what was recalled");
    }
    assert_eq!(search(&mut ada, "message", 0), search(&mut ben, "message", 0));
    cluster.assert_quiet();
}

#[test]
fn who_left_or_was_removed_finds_no_more_than_was_said_before() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 4, DeviceClass::Phone);
    let mut owner = login(&cluster.nodes[0], &users[0]).0;
    let mut others: Vec<_> =
        users[1..].iter().map(|user| login(&cluster.nodes[1], user).0).collect();
    let group = owner.create_group(vec![users[1].id, users[2].id]);
    owner.send_message(&group_text(group, "plan one"));
    others[0]
        .call(Command::GroupLeave, &pb::GroupLeaveReq { group_id: group })
        .ok::<pb::GroupLeaveResp>();
    owner.send_message(&group_text(group, "plan two"));
    let remove = pb::GroupRemoveReq { group_id: group, user_ids: vec![users[2].id] };
    owner.call(Command::GroupRemove, &remove).ok::<pb::GroupRemoveResp>();
    owner.invite(group, vec![users[3].id]).ok::<pb::GroupInviteResp>();
    owner.send_message(&group_text(group, "plan three"));
    for scope in [0, group] {
        assert_eq!(search(&mut owner, "plan", scope), ["plan three", "plan two", "plan one"]);
        assert_eq!(search(&mut others[0], "plan", scope), ["plan one"], "left");
        assert_eq!(search(&mut others[1], "plan", scope), ["plan two", "plan one"], "removed");
        assert_eq!(search(&mut others[2], "plan", scope), ["plan three"], "came later");
    }
    owner
        .call(Command::GroupDissolve, &pb::GroupDissolveReq { group_id: group })
        .ok::<pb::GroupDissolveResp>();
    assert_eq!(search(&mut others[2], "plan", group), ["plan three"], "as HISTORY has it");
    let nothing = pb::SearchReq { query: "%".into(), ..Default::default() };
    assert_eq!(owner.call(Command::Search, &nothing).code(), Code::BadRequest);
    cluster.assert_quiet();
}

#[test]
fn what_is_said_in_a_large_group_is_found_on_every_node_by_who_was_there() {
    let cluster = Cluster::start_with(2, |_, options| {
        let tables = format!("[policy]\nfanout_max = {FANOUT_MAX}\n");
        NodeOptions { tables, ..options.with_link() }
    });
    let users = cluster.nodes[0].seed_users("user", 4, DeviceClass::Phone);
    let mut owner = login(&cluster.nodes[0], &users[0]).0;
    let mut others: Vec<_> =
        users[1..].iter().map(|user| login(&cluster.nodes[1], user).0).collect();
    let group = owner.create_group(vec![users[1].id, users[2].id]);
    let first = owner.send_message(&group_text(group, "plan one"));
    others[0].send_message(&text_to(users[0].id, "plan for two"));
    owner.invite(group, vec![users[3].id]).ok::<pb::GroupInviteResp>();
    let remove = pb::GroupRemoveReq { group_id: group, user_ids: vec![users[2].id] };
    owner.call(Command::GroupRemove, &remove).ok::<pb::GroupRemoveResp>();
    others[0].send_message(&group_text(group, "plan two"));
    assert_eq!(search(&mut owner, "plan", group), ["plan two", "plan one"]);
    assert_eq!(search(&mut owner, "plan", 0), ["plan for two", "plan two", "plan one"]);
    assert_eq!(search(&mut others[0], "plan", group), ["plan two", "plan one"]);
    assert_eq!(search(&mut others[1], "plan", 0), ["plan one"], "removed");
    assert_eq!(search(&mut others[2], "plan", 0), ["plan two"], "came later");
    let recall = pb::RecallReq { receiver_id: 0, group_id: group, conv_seq: first.conv_seq };
    owner.call(Command::Recall, &recall).ok::<pb::RecallResp>();
    assert_eq!(search(&mut others[1], "plan", 0), [""; 0], "recalled");
    cluster.assert_quiet();
}
