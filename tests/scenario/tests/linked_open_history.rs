//! Goal: where a group lets newcomers read what was said before, they read it on every node from the entry
//! that turned it on, by HISTORY and SEARCH; nothing before that, and nothing of it by push or sync.

use aldis_scenario::requests::{group_text, texts};
use aldis_scenario::{Cluster, NodeOptions, RawClient, login};
use aldis_wire::{Code, Command, DeviceClass, pb};

/// Groups of more are streams.
const FANOUT_MAX: usize = 3;

fn found(client: &mut RawClient, query: &str, group_id: u64) -> Vec<String> {
    let body = pb::SearchReq { query: query.into(), group_id, ..Default::default() };
    let mut found = texts(&client.call(Command::Search, &body).ok::<pb::SearchResp>().entries);
    found.sort_unstable();
    found
}

fn set_open(client: &mut RawClient, group_id: u64, is_open: bool) {
    let body = pb::GroupUpdateReq { group_id, open_history: Some(is_open), ..Default::default() };
    client.call(Command::GroupUpdate, &body).ok::<pb::GroupUpdateResp>();
}

#[test]
fn newcomers_on_every_node_read_from_where_all_were_told_and_no_further() {
    let cluster = Cluster::start_with(2, |_, options| {
        let tables = format!("[policy]\nfanout_max = {FANOUT_MAX}\n");
        NodeOptions { tables, ..options.with_link() }
    });
    let users = cluster.nodes[0].seed_users("user", 6, DeviceClass::Phone);
    let mut owner = login(&cluster.nodes[0], &users[0]).0;
    let mut others: Vec<_> =
        users[1..].iter().map(|user| login(&cluster.nodes[1], user).0).collect();
    let group = owner.create_group(vec![users[1].id]); // 1
    owner.send_message(&group_text(group, "plan private")); // 2
    set_open(&mut owner, group, true); // 3
    owner.send_message(&group_text(group, "plan one")); // 4
    owner.invite(group, vec![users[2].id]).ok::<pb::GroupInviteResp>(); // 5
    let small = &mut others[1];
    assert_eq!(texts(&small.group_history(group).entries), ["plan one"]);
    assert_eq!(found(small, "plan", group), ["plan one"]);
    assert_eq!(found(small, "plan", 0), ["plan one"]);
    assert_eq!(texts(&small.sync_all(0)), [""; 0], "the mailbox begins with coming in");

    // 6, 7: with a fourth member it is a stream, which begins where one comes in as well.
    owner.invite(group, vec![users[3].id]).ok::<pb::GroupInviteResp>();
    others[0].send_message(&group_text(group, "plan two")); // 8
    owner.invite(group, vec![users[4].id]).ok::<pb::GroupInviteResp>(); // 9
    others[0].send_message(&group_text(group, "plan three")); // 10
    for late in [2, 3] {
        let client = &mut others[late];
        let all = ["plan one", "plan two", "plan three"];
        assert_eq!(texts(&client.group_history(group).entries), all);
        assert_eq!(found(client, "plan", 0), ["plan one", "plan three", "plan two"]);
    }
    let (synced, is_over) = others[3].stream_all(group, 0);
    assert_eq!((texts(&synced), is_over), (vec!["plan three".to_owned()], false));

    // Turned off, it is so for who comes then, and for nobody before.
    set_open(&mut owner, group, false);
    owner.invite(group, vec![users[5].id]).ok::<pb::GroupInviteResp>();
    let last = &mut others[4];
    assert_eq!(texts(&last.group_history(group).entries), [""; 0]);
    assert_eq!(found(last, "plan", group), [""; 0]);
    assert_eq!(found(&mut others[3], "private", group), [""; 0]);
    assert_eq!(found(&mut others[3], "one", group), ["plan one"]);
    let read = pb::HistoryReq { group_id: group, before_conv_seq: 3, ..Default::default() };
    assert!(others[3].call(Command::History, &read).ok::<pb::HistoryResp>().entries.is_empty());
    let body =
        pb::GroupUpdateReq { group_id: group, open_history: Some(true), ..Default::default() };
    assert_eq!(others[3].call(Command::GroupUpdate, &body).code(), Code::Forbidden);
    cluster.assert_quiet();
}
