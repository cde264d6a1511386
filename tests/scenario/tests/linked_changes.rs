//! Goal: what becomes of a message after it was sent holds on every node at once: no request begun after
//! the acknowledgement of a recall returns what was said, wherever it is asked, and whoever is online
//! anywhere is told by an entry.

use aldis_scenario::requests::{group_text, text_to};
use aldis_scenario::{Cluster, RawClient, login, next_entry};
use aldis_wire::{Code, Command, DeviceClass, EDITED, Message, RECALLED, pb};

/// Messages that are changed.
const ROUNDS: u64 = 30;

fn event(entry: &pb::MessageData) -> pb::MessageEvent {
    assert_eq!(entry.r#type(), pb::MsgType::SystemMessage);
    pb::MessageEvent::decode(entry.content.as_ref()).expect("a MessageEvent")
}

fn recall(client: &mut RawClient, receiver_id: u64, group_id: u64, conv_seq: u64) -> Code {
    let body = pb::RecallReq { receiver_id, group_id, conv_seq };
    client.call(Command::Recall, &body).code()
}

fn holds(entries: &[pb::MessageData], text: &str) -> bool {
    let text = text.as_bytes();
    entries.iter().any(|entry| entry.content.windows(text.len()).any(|part| part == text))
}

#[test]
fn an_edit_and_a_recall_hold_on_the_other_node_once_they_are_answered() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 2, DeviceClass::Phone);
    let (ada_id, ben_id) = (users[0].id, users[1].id);
    let mut ada = login(&cluster.nodes[0], &users[0]).0;
    let mut ben = login(&cluster.nodes[1], &users[1]).0;
    for round in 0..ROUNDS {
        let said = format!("first text {round}.");
        let body = pb::MsgSendReq {
            reply_to_msg_id: round + 1,
            mention_ids: vec![ada_id, ben_id],
            ..text_to(ben_id, &said)
        };
        let sent = ada.send_message(&body);
        let pushed = next_entry(&mut ben);
        assert_eq!((pushed.msg_id, pushed.reply_to_msg_id), (sent.msg_id, round + 1));
        assert_eq!(pushed.mention_ids, [ada_id, ben_id]);
        let edited = format!("second text {round}.");
        let edit = pb::EditReq {
            receiver_id: ben_id,
            conv_seq: sent.conv_seq,
            request_id: vec![round as u8; 16].into(),
            content: edited.clone().into(),
            ..Default::default()
        };
        let answer: pb::EditResp = ada.call(Command::Edit, &edit).ok();
        assert_eq!(answer.seq, sent.seq + 1);
        let history = pb::HistoryReq { receiver_id: ada_id, limit: 500, ..Default::default() };
        let page: pb::HistoryResp = ben.call(Command::History, &history).ok();
        assert!(holds(&page.entries, &edited) && !holds(&page.entries, &said));
        let told = next_entry(&mut ben);
        assert_eq!(
            (event(&told).kind(), told.sender_id),
            (pb::MessageEventKind::MessageEdited, ada_id)
        );
        assert_eq!(ada.call(Command::Edit, &edit).ok::<pb::EditResp>().seq, 0, "a repeat");

        assert_eq!(recall(&mut ben, ada_id, 0, sent.conv_seq), Code::Forbidden);
        assert_eq!(recall(&mut ada, ben_id, 0, sent.conv_seq), Code::Ok);
        let page: pb::HistoryResp = ben.call(Command::History, &history).ok();
        let synced = ben.sync_all(sent.seq - 1);
        for entries in [&page.entries, &synced] {
            assert!(!holds(entries, "text"), "of round {round} nothing is left");
        }
        assert_eq!(synced[0].flags, RECALLED | EDITED);
        assert_eq!((synced[0].reply_to_msg_id, synced[0].mention_ids.len()), (0, 0));
        assert_eq!(event(&next_entry(&mut ben)).kind(), pb::MessageEventKind::MessageRecalled);
        assert_eq!(recall(&mut ada, ben_id, 0, sent.conv_seq), Code::Ok, "a repeat");
    }
    cluster.assert_quiet();
}

#[test]
fn an_owner_recalls_what_a_member_said_on_another_node() {
    let cluster = Cluster::start(2);
    let users = cluster.nodes[0].seed_users("user", 3, DeviceClass::Phone);
    let mut owner = login(&cluster.nodes[0], &users[0]).0;
    let mut member = login(&cluster.nodes[1], &users[1]).0;
    let group = owner.create_group(vec![users[1].id, users[2].id]);
    next_entry(&mut member);
    let sent = member.send_message(&group_text(group, "a rude text"));
    assert_eq!(recall(&mut owner, 0, group, sent.conv_seq), Code::Ok);
    assert!(!holds(&member.group_history(group).entries, "rude"));
    let told = next_entry(&mut member);
    assert_eq!((told.sender_id, event(&told).conv_seq), (users[0].id, sent.conv_seq));
    assert_eq!(recall(&mut owner, 0, group + 1, 1), Code::NotFound);
    assert_eq!(recall(&mut owner, 0, group, 1), Code::NotFound, "no message of a user");
    cluster.assert_quiet();
}

#[test]
fn a_read_mark_is_told_to_ones_device_on_the_other_node() {
    let cluster = Cluster::start(2);
    let [phones, desktops] = [DeviceClass::Phone, DeviceClass::Desktop]
        .map(|class| cluster.nodes[0].seed_users("user", 2, class));
    let (ada_id, ben_id) = (phones[0].id, phones[1].id);
    let mut ada = login(&cluster.nodes[0], &phones[0]).0;
    let mut phone = login(&cluster.nodes[0], &phones[1]).0;
    let mut desktop = login(&cluster.nodes[1], &desktops[1]).0;
    let sent = ada.send_message(&text_to(ben_id, "read me"));
    for device in [&mut phone, &mut desktop] {
        assert_eq!(next_entry(device).msg_id, sent.msg_id);
    }
    let mark = |conv_seq| pb::MarkReadReq { receiver_id: ada_id, group_id: 0, conv_seq };
    let answer: pb::MarkReadResp = phone.call(Command::MarkRead, &mark(sent.conv_seq)).ok();
    let told = next_entry(&mut desktop);
    assert_eq!((told.seq, told.r#type()), (answer.seq, pb::MsgType::SystemSelf));
    let event = pb::SelfEvent::decode(told.content.as_ref()).expect("a SelfEvent");
    let view = pb::ConversationView { receiver_id: ada_id, read_conv_seq: 1, ..Default::default() };
    assert_eq!(event.what, Some(pb::self_event::What::View(view)));
    assert_eq!(phone.call(Command::MarkRead, &mark(sent.conv_seq)).ok::<pb::MarkReadResp>().seq, 0);
    assert_eq!(desktop.call(Command::MarkRead, &mark(sent.conv_seq + 1)).code(), Code::NotFound);
    let sender: Vec<_> = ada.sync_all(0).iter().map(pb::MessageData::r#type).collect();
    assert_eq!(sender, [pb::MsgType::Text], "the sender is not told");
    cluster.assert_quiet();
}
