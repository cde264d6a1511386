//! Goal: what a user's conversations are to that user is the same on every node, and reaches all
//! devices: the list and what is unread in it, pins, cleared histories, receipts and reactions.

use aldis_scenario::requests::{group_text, text_to};
use aldis_scenario::{Cluster, RawClient, login, next_entry};
use aldis_wire::{CLEARED, Code, Command, DeviceClass, Message, pb};

fn list(client: &mut RawClient) -> Vec<pb::ConversationInfo> {
    let mut all = Vec::new();
    let mut before_seq = 0;
    loop {
        // Small pages, so that there are several.
        let body = pb::ConversationListReq { before_seq, limit: 2, ..Default::default() };
        let page: pb::ConversationListResp = client.call(Command::ConversationList, &body).ok();
        all.extend(page.conversations);
        if page.next_before_seq == 0 {
            return all;
        }
        before_seq = page.next_before_seq;
    }
}

/// (peer, group, unread) of all conversations, the newest first.
fn unread(client: &mut RawClient) -> Vec<(u64, u64, u64)> {
    let shown = |one: &pb::ConversationInfo| {
        let view = one.view.expect("a view");
        (view.receiver_id, view.group_id, one.unread)
    };
    list(client).iter().map(shown).collect()
}

fn update(client: &mut RawClient, change: &pb::ConversationUpdateReq) -> u64 {
    client.call(Command::ConversationUpdate, change).ok::<pb::ConversationUpdateResp>().seq
}

fn view_in(entry: &pb::MessageData) -> pb::ConversationView {
    let event = pb::SelfEvent::decode(entry.content.as_ref()).expect("a SelfEvent");
    match event.what {
        Some(pb::self_event::What::View(view)) => view,
        other => panic!("{other:?}"),
    }
}

fn event(entry: &pb::MessageData) -> pb::MessageEvent {
    pb::MessageEvent::decode(entry.content.as_ref()).expect("a MessageEvent")
}

#[test]
fn the_list_counts_what_is_unread_wherever_it_is_asked() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 4, DeviceClass::Phone);
    let desktops = cluster.nodes[0].seed_users("user", 1, DeviceClass::Desktop);
    let id = |at: usize| users[at].id;
    let mut me = login(&cluster.nodes[0], &users[0]).0;
    let mut others: Vec<RawClient> =
        users[1..].iter().map(|user| login(&cluster.nodes[1], user).0).collect();
    let group = others[0].create_group(vec![id(0), id(2)]);
    for (sender, count) in [(1, 3), (2, 2), (3, 1)] {
        for _ in 0..count {
            others[sender - 1].send_message(&text_to(id(0), "hello"));
        }
    }
    others[0].send_message(&group_text(group, "all"));
    let mut desktop = login(&cluster.nodes[1], &desktops[0]).0;
    let wanted = [(0, group, 1), (id(3), 0, 1), (id(2), 0, 2), (id(1), 0, 3)];
    for device in [&mut me, &mut desktop] {
        assert_eq!(unread(device), wanted);
    }
    let mark = pb::MarkReadReq { receiver_id: id(1), group_id: 0, conv_seq: 2 };
    assert_eq!(me.call(Command::MarkRead, &mark).code(), Code::Ok);
    desktop.send_message(&text_to(id(2), "I answer from here"));
    let wanted = [(id(2), 0, 0), (0, group, 1), (id(3), 0, 1), (id(1), 0, 1)];
    for device in [&mut me, &mut desktop] {
        assert_eq!(unread(device), wanted);
        let first = &list(device)[0];
        assert_eq!(&first.last.as_ref().expect("a message").content[..], b"I answer from here");
    }
    cluster.assert_quiet();
}

#[test]
fn pins_and_cleared_histories_are_told_to_ones_device_on_the_other_node() {
    let cluster = Cluster::start(2);
    let [phones, desktops] = [DeviceClass::Phone, DeviceClass::Desktop]
        .map(|class| cluster.nodes[0].seed_users("user", 2, class));
    let (ada_id, ben_id) = (phones[0].id, phones[1].id);
    let mut ada = login(&cluster.nodes[0], &phones[0]).0;
    let mut phone = login(&cluster.nodes[0], &phones[1]).0;
    let mut desktop = login(&cluster.nodes[1], &desktops[1]).0;
    for text in ["one", "two", "three"] {
        let sent = ada.send_message(&text_to(ben_id, text));
        for device in [&mut phone, &mut desktop] {
            assert_eq!(next_entry(device).msg_id, sent.msg_id);
        }
    }
    let change = pb::ConversationUpdateReq {
        receiver_id: ada_id,
        pinned: Some(true),
        muted: Some(true),
        clear_conv_seq: 2,
        ..Default::default()
    };
    assert_eq!(update(&mut phone, &change), 4);
    assert_eq!(update(&mut phone, &change), 0, "a repeat changes nothing");
    let view = view_in(&next_entry(&mut desktop));
    assert!(view.pinned_ms > 0 && view.muted && view.cleared_conv_seq == 2, "{view:?}");
    let history = pb::HistoryReq { receiver_id: ada_id, ..Default::default() };
    for device in [&mut phone, &mut desktop] {
        let page: pb::HistoryResp = device.call(Command::History, &history).ok();
        let shown: Vec<u64> = page.entries.iter().map(|entry| entry.conv_seq).collect();
        assert_eq!((shown, page.more), (vec![3], false));
        let synced = device.sync_all(0);
        let blank = |entry: &&pb::MessageData| entry.flags & CLEARED != 0;
        assert_eq!(synced.iter().filter(blank).count(), 2);
        assert!(synced.iter().filter(blank).all(|entry| entry.content.is_empty()));
        let body = pb::ConversationListReq { pinned: true, ..Default::default() };
        let page: pb::ConversationListResp = device.call(Command::ConversationList, &body).ok();
        let pinned: Vec<_> = page.conversations.iter().map(|one| (one.view, one.unread)).collect();
        assert_eq!(pinned, [(Some(view), 1)]);
    }
    assert_eq!(ada.sync_all(0).len(), 3, "the other sees what it saw, and is not told");
    let unpin = pb::ConversationUpdateReq { pinned: Some(false), ..change };
    assert!(update(&mut desktop, &pb::ConversationUpdateReq { clear_conv_seq: 0, ..unpin }) > 0);
    assert_eq!(view_in(&next_entry(&mut phone)).pinned_ms, 0);
    cluster.assert_quiet();
}

#[test]
fn receipts_say_what_others_read_and_received_on_their_nodes() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 3, DeviceClass::Phone);
    let (ada_id, ben_id, cem_id) = (users[0].id, users[1].id, users[2].id);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    let group = ada.create_group(vec![ben_id, cem_id]);
    let receipts = |client: &mut RawClient, receiver_id: u64, group_id: u64| {
        let body = pb::ReceiptsReq { receiver_id, group_id, ..Default::default() };
        let page: pb::ReceiptsResp = client.call(Command::Receipts, &body).ok();
        let shown = |one: &pb::Receipt| (one.user_id, one.read_conv_seq, one.received_conv_seq);
        page.receipts.iter().map(shown).collect::<Vec<_>>()
    };
    let delivered = |client: &mut RawClient, seq: u64| {
        let body = pb::MarkDeliveredReq { stream: 0, seq };
        assert_eq!(client.call(Command::MarkDelivered, &body).code(), Code::Ok);
    };
    for _ in 0..3 {
        ada.send_message(&group_text(group, "all"));
    }
    let last = ada.send_message(&text_to(ben_id, "you"));
    assert_eq!(receipts(&mut ada, 0, group), [(ben_id, 0, 0), (cem_id, 0, 0)]);
    delivered(&mut ben, 2);
    assert_eq!(receipts(&mut ada, 0, group)[0], (ben_id, 0, 2));
    assert_eq!(receipts(&mut ada, ben_id, 0), [(ben_id, 0, 0)]);
    delivered(&mut ben, 5);
    let mark = pb::MarkReadReq { receiver_id: ada_id, group_id: 0, conv_seq: last.conv_seq };
    assert_eq!(ben.call(Command::MarkRead, &mark).code(), Code::Ok);
    assert_eq!(receipts(&mut ada, ben_id, 0), [(ben_id, 1, 1)]);
    assert_eq!(receipts(&mut ada, 0, group), [(ben_id, 0, 4), (cem_id, 0, 0)]);
    let stranger = pb::ReceiptsReq { group_id: group + 1, ..Default::default() };
    assert_eq!(ada.call(Command::Receipts, &stranger).code(), Code::NotFound);
    cluster.assert_quiet();
}

#[test]
fn reactions_reach_the_other_node_and_go_with_a_recall() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let (ada_id, ben_id) = (users[0].id, users[1].id);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    let sent = ada.send_message(&text_to(ben_id, "good news"));
    next_entry(&mut ben);
    let react = |reaction: &str, remove: bool| pb::ReactReq {
        receiver_id: ada_id,
        group_id: 0,
        conv_seq: sent.conv_seq,
        reaction: reaction.to_owned(),
        remove,
    };
    let reactions = |client: &mut RawClient, receiver_id: u64| {
        let conv_seq = sent.conv_seq;
        let body = pb::ReactionsReq { receiver_id, conv_seq, ..Default::default() };
        client.call(Command::Reactions, &body).ok::<pb::ReactionsResp>().users
    };
    for (reaction, remove, kind) in [
        ("👍🏽", false, pb::MessageEventKind::MessageReacted),
        ("🎉", false, pb::MessageEventKind::MessageReacted),
        ("👍🏽", true, pb::MessageEventKind::MessageUnreacted),
    ] {
        let answer: pb::ReactResp = ben.call(Command::React, &react(reaction, remove)).ok();
        assert!(answer.seq > 0);
        let told = next_entry(&mut ada);
        assert_eq!((event(&told).kind(), told.sender_id), (kind, ben_id));
        assert_eq!(event(&told).reaction, reaction);
        let again: pb::ReactResp = ben.call(Command::React, &react(reaction, remove)).ok();
        assert_eq!(again.seq, 0, "a repeat changes nothing");
    }
    for (client, peer) in [(&mut ada, ben_id), (&mut ben, ada_id)] {
        let wanted = pb::UserReactions { user_id: ben_id, reactions: vec!["🎉".to_owned()] };
        assert_eq!(reactions(client, peer), [wanted]);
    }
    let recall = pb::RecallReq { receiver_id: ben_id, group_id: 0, conv_seq: sent.conv_seq };
    assert_eq!(ada.call(Command::Recall, &recall).code(), Code::Ok);
    assert_eq!(reactions(&mut ben, ada_id), []);
    assert_eq!(ben.call(Command::React, &react("🎉", false)).code(), Code::Conflict);
    cluster.assert_quiet();
}
