//! The memory store's faults and planted bugs do what simulations rely on.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::collections::BTreeSet;

use aldis_logic::job::{
    Append, JobError, OpenSession, ReactorId, ReadJob, ReadResult, SyncPage, Ticket, WriteJob,
    WriteRequest,
};
use aldis_store::memory::{Bug, Fate, MemoryStore, MemoryWriter};
use aldis_store::{MSG_ID_EPOCH_MS, Reader, SeedUsers, Store, Writer};
use aldis_wire::{ClientMsgId, Command, ConnId, ConversationKey, DeviceClass, Seq, UserId, pb};
use bytes::Bytes;

const NOW_MS: u64 = MSG_ID_EPOCH_MS + 1_000;

fn note(user: UserId, number: u8) -> WriteRequest {
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::MsgSend;
    WriteRequest {
        ticket: Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 },
        fence: 0,
        job: WriteJob::Append(Append {
            conversation: ConversationKey::direct(user, user),
            sender: user,
            client_msg_id: ClientMsgId([number; 16]),
            kind: pb::MsgType::Text,
            content: Bytes::from(vec![number]),
            extra: Bytes::new(),
            refs: Bytes::new(),
            friends_only: false,
        }),
    }
}

fn start() -> (MemoryStore, MemoryWriter, UserId) {
    let store = MemoryStore::new(0, 7).unwrap();
    let users = store.seed_users(&SeedUsers { prefix: "u".into(), count: 1 }, NOW_MS).unwrap();
    let writer = store.writer().unwrap();
    (store, writer, users[0])
}

fn sync(store: &MemoryStore, user: UserId) -> SyncPage {
    let job = ReadJob::Sync { user, after: Seq(0), limit: 100 };
    match store.reader().unwrap().read(&job) {
        Ok(ReadResult::Sync(page)) => page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_staged_batch_is_seen_when_it_is_settled() {
    let (store, mut writer, user) = start();
    writer.stage(NOW_MS, &[note(user, 1)]);
    assert_eq!(sync(&store, user).head, Seq(0));
    let committed = writer.settle(Fate::Commit).unwrap();
    assert!(committed.results[0].is_ok());
    assert_eq!(sync(&store, user).head, Seq(1));
    assert!(writer.settle(Fate::Commit).is_none());
}

#[test]
fn a_crash_takes_what_is_staged_and_leaves_what_is_committed() {
    let (store, mut writer, user) = start();
    writer.commit(NOW_MS, &[note(user, 1)]);
    writer.stage(NOW_MS, &[note(user, 2)]);
    store.plan([Fate::Fail]);
    store.crash();
    assert!(writer.settle(Fate::Commit).is_none());
    assert_eq!(sync(&store, user).entries.len(), 1);
    let mut after = store.writer().unwrap();
    assert!(after.commit(NOW_MS, &[note(user, 2)]).results[0].is_ok());
    let ids: Vec<_> = sync(&store, user).entries.iter().map(|(_, entry)| entry.msg_id).collect();
    assert!(ids[0] < ids[1]);
}

#[test]
fn failed_batches_did_not_happen_and_unknown_ones_did() {
    let (store, mut writer, user) = start();
    store.plan([Fate::Fail, Fate::Unknown]);
    for head in [0, 1] {
        let outcome = writer.commit(NOW_MS, &[note(user, 1)]);
        assert_eq!(outcome.results, [Err(JobError::Unavailable)]);
        assert!(outcome.events.is_empty());
        assert_eq!(sync(&store, user).head, Seq(head));
    }
}

#[test]
fn planted_bugs_break_what_they_say() {
    let (store, mut writer, user) = start();
    store.plant(Some(Bug::AckBeforeCommit));
    store.plan([Fate::Fail]);
    let outcome = writer.commit(NOW_MS, &[note(user, 1)]);
    assert!(outcome.results[0].is_ok() && sync(&store, user).entries.is_empty());

    store.plant(Some(Bug::SeqBeforeTransaction));
    store.plan([Fate::Fail]);
    writer.commit(NOW_MS, &[note(user, 2)]);
    writer.commit(NOW_MS, &[note(user, 3)]);
    let seqs: Vec<_> = sync(&store, user).entries.iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(seqs, [2]);

    store.plant(Some(Bug::NoDedupe));
    writer.commit(NOW_MS, &[note(user, 3)]);
    assert_eq!(sync(&store, user).entries.len(), 2);

    store.plant(None);
    writer.commit(NOW_MS, &[note(user, 3)]);
    assert_eq!(sync(&store, user).entries.len(), 2);
}

#[test]
fn nodes_commit_one_after_the_other_in_the_order_of_their_settling() {
    let (store, mut first, user) = start();
    let other = store.for_node(5).unwrap();
    let mut second = other.writer().unwrap();
    first.stage(NOW_MS, &[note(user, 1), note(user, 2)]);
    second.stage(NOW_MS, &[note(user, 2), note(user, 3)]);
    let committed = second.settle(Fate::Commit).unwrap();
    assert_eq!(committed.events.len(), 2);
    let committed = first.settle(Fate::Commit).unwrap();
    assert_eq!(committed.events.len(), 1, "the other node has stored the second one");
    let page = sync(&store, user);
    let contents: Vec<_> = page.entries.iter().map(|(_, entry)| entry.content[0]).collect();
    assert_eq!(contents, [2, 3, 1]);
    let ids: BTreeSet<_> = page.entries.iter().map(|(_, entry)| entry.msg_id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(sync(&other, user), page);
}

#[test]
fn a_crash_of_one_node_leaves_the_batch_of_another() {
    let (store, mut first, user) = start();
    let other = store.for_node(5).unwrap();
    let mut second = other.writer().unwrap();
    second.commit(NOW_MS + 1_000, &[note(user, 1)]);
    first.commit(NOW_MS, &[note(user, 2)]);
    first.stage(NOW_MS, &[note(user, 3)]);
    second.stage(NOW_MS, &[note(user, 4)]);
    other.crash();
    assert!(second.settle(Fate::Commit).is_none());
    assert_eq!(first.settle(Fate::Commit).unwrap().events.len(), 1);
    // The second one's clock went back, and the newest entry is not the one with the largest id.
    second.commit(NOW_MS, &[note(user, 4)]);
    let ids: BTreeSet<_> = sync(&store, user).entries.iter().map(|(_, e)| e.msg_id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_planted_lack_of_epochs_shows_in_head_checks_only() {
    let (store, mut writer, user) = start();
    let open = OpenSession {
        user,
        device_id: "d".into(),
        class: DeviceClass::Phone,
        device_name: String::new(),
        generations: None,
        asked_ms: 0,
    };
    let request = WriteRequest { job: WriteJob::OpenSession(open), ..note(user, 1) };
    assert!(writer.commit(NOW_MS, &[request]).results[0].is_ok());
    let epoch_count = || match store.reader().unwrap().read(&ReadJob::Heads { users: vec![user] }) {
        Ok(ReadResult::Heads(heads)) => heads[0].epochs.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(epoch_count(), 1);
    store.plant(Some(Bug::NoEpochCheck));
    assert_eq!(epoch_count(), 0);
}
