//! Streams: what is applied, synced, marked and kept. The core against a scripted server.

use super::*;

#[test]
fn a_gap_waits_and_then_syncs_from_local() {
    let mut rig = Rig::online(10);
    rig.push(11, &[11]);
    rig.push(13, &[13]);
    assert_eq!(rig.applied(), [11]);
    assert!(rig.take().is_empty());
    rig.advance(99);
    assert!(rig.take().is_empty());
    rig.advance(1);
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 11);
    rig.push(14, &[14]);
    let page = pb::MsgSyncResp { entries: vec![entry(12)], head: 12, ..Default::default() };
    rig.answer(&asked, &page);
    assert_eq!(rig.applied(), [12, 13, 14]);
    assert!(rig.take().is_empty());
}

#[test]
fn the_answer_to_a_send_is_the_own_entry() {
    let mut rig = Rig::online(4);
    let id = rig.send(8, "hello");
    let asked = rig.take_one(Command::MsgSend);
    rig.answer(&asked, &ack(5));
    let events = rig.events();
    assert!(matches!(&events[0], Event::SendAcked { client_msg_id, .. } if *client_msg_id == id));
    let Event::Entry { entry, via: Via::Own, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((entry.seq, entry.sender_id, entry.receiver_id), (5, 7, 8));
    assert_eq!((&entry.content[..], &entry.client_msg_id[..]), (&b"hello"[..], &id.0[..]));
}

#[test]
fn an_own_entry_above_a_gap_waits_for_it() {
    let mut rig = Rig::online(4);
    rig.send(8, "hello");
    let asked = rig.take_one(Command::MsgSend);
    rig.answer(&asked, &ack(6));
    assert!(rig.applied().is_empty());
    rig.push(6, &[5]);
    assert_eq!(rig.applied(), [5, 6]);
}

#[test]
fn an_answer_with_an_old_seq_or_none_changes_no_position() {
    let mut rig = Rig::online(4);
    rig.send(8, "a");
    rig.send(9, "b");
    for (asked, seq) in rig.take().iter().zip([3, 0]) {
        rig.answer(asked, &ack(seq));
    }
    assert!(rig.applied().is_empty());
    assert_eq!(rig.core.local_seq(0), Some(4));
    assert_eq!(rig.core.unanswered_send_count(), 0);
}

#[test]
fn another_store_epoch_or_a_lower_head_starts_at_the_heads() {
    let saved =
        SavedState { user_id: 7, token: "t".into(), store_epoch: 98, streams: vec![(0, 50)] };
    for (epoch, head, expected) in [(98, 60, None), (99, 60, Some(60)), (98, 40, Some(40))] {
        let config = Config::new("dev", DeviceClass::Desktop);
        let mut rig = Rig::with_config(config, saved.clone());
        rig.core.login(0, Credentials::SavedToken);
        rig.open();
        let asked = rig.take_one(Command::Login);
        assert_eq!(asked.decode::<pb::LoginReq>().token, "t");
        rig.answer(&asked, &pb::LoginResp { store_epoch: epoch, ..login_resp(head) });
        let resynced = rig.events().into_iter().find_map(|event| match event {
            Event::Resynced { local, head, .. } => Some((local, head)),
            _ => None,
        });
        assert_eq!(resynced, expected.map(|head| (50, head)), "epoch {epoch} head {head}");
        assert_eq!(rig.core.local_seq(0), Some(expected.unwrap_or(50)));
    }
}

#[test]
fn resync_takes_the_head_of_a_heartbeat() {
    let mut rig = Rig::online(4);
    rig.push(9, &[]);
    let asked = rig.take_one(Command::MsgSync);
    rig.refuse(&asked, Code::Resync, 0);
    let asked = rig.take_one(Command::Heartbeat);
    rig.answer(&asked, &pb::HeartbeatResp { head_seq: 9, ..Default::default() });
    assert!(rig.events().contains(&Event::Resynced { stream: 0, local: 4, head: 9 }));
    rig.push(10, &[10]);
    assert_eq!(rig.applied(), [10]);
}

#[test]
fn a_heartbeat_with_a_higher_head_syncs() {
    let mut rig = Rig::online(4);
    rig.advance(30_000);
    let asked = rig.take_one(Command::Heartbeat);
    assert_eq!(asked.decode::<pb::HeartbeatReq>().local_seq, 4);
    rig.answer(&asked, &pb::HeartbeatResp { head_seq: 6, ..Default::default() });
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 4);
}

#[test]
fn a_heartbeat_between_a_send_and_its_answer_waits_for_the_answer() {
    let mut rig = Rig::online(4);
    rig.advance(30_000);
    rig.send(8, "a");
    let asked = rig.take();
    rig.answer(&asked[0], &pb::HeartbeatResp { head_seq: 5, ..Default::default() });
    assert!(rig.take().is_empty());
    rig.answer(&asked[1], &ack(5));
    assert_eq!(rig.applied(), [5]);
    rig.advance(100);
    assert!(rig.take().is_empty());
}

#[test]
fn deliveries_are_marked_in_batches() {
    let mut rig = Rig::online(0);
    for seq in 1..=63 {
        rig.push(seq, &[seq]);
    }
    assert!(rig.take().is_empty());
    rig.push(64, &[64]);
    let asked = rig.take_one(Command::MarkDelivered);
    assert_eq!(asked.decode::<pb::MarkDeliveredReq>().seq, 64);
    rig.push(65, &[65]);
    rig.answer(&asked, &pb::MarkDeliveredResp {});
    assert!(rig.take().is_empty());
    rig.advance(1_000);
    let asked = rig.take_one(Command::MarkDelivered);
    assert_eq!(asked.decode::<pb::MarkDeliveredReq>().seq, 65);
}

#[test]
fn one_paged_read_is_on_the_wire_at_a_time() {
    let mut rig = Rig::online(0);
    for _ in 0..2 {
        rig.core.request(Request::History(pb::HistoryReq::default())).unwrap();
    }
    rig.core.request(Request::UserFind(pb::UserFindReq::default())).unwrap();
    let asked = rig.take_one(Command::History);
    rig.push(3, &[]);
    assert!(rig.take().is_empty(), "a sync is such a read too");
    rig.answer(&asked, &pb::HistoryResp::default());
    let commands: Vec<_> = rig.take().iter().map(|asked| asked.cmd).collect();
    assert_eq!(commands, [Command::History, Command::UserFind]);
}

#[test]
fn a_group_change_of_this_device_is_fetched_by_sync() {
    let mut rig = Rig::online(4);
    rig.core.request(Request::GroupCreate(pb::GroupCreateReq::default())).unwrap();
    let asked = rig.take_one(Command::GroupCreate);
    rig.answer(&asked, &pb::GroupCreateResp { group_id: 9, seq: 5 });
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 4);
}

#[test]
fn state_survives_a_restart_of_the_application() {
    let mut rig = Rig::online(4);
    rig.push(6, &[5, 6]);
    let json = serde_json::to_string(&rig.core.export_state()).unwrap();
    let saved: SavedState = serde_json::from_str(&json).unwrap();
    assert_eq!(saved.streams, [(0, 6)]);
    let mut rig = Rig::with_config(Config::new("dev", DeviceClass::Desktop), saved);
    rig.core.login(0, Credentials::SavedToken);
    rig.open();
    rig.answer_login(&login_resp(8));
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 6);
}
