//! SQLite with readers and other writers at the same time: nobody sees a gap, nobody's counters
//! collide, and the log stays bounded.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aldis_logic::job::{
    Append, CreateGroup, GroupLimits, NewUser, ReactorId, ReadJob, ReadResult, Ticket, WriteJob,
    WriteRequest, Written,
};
use aldis_store::sqlite::{SqliteReader, SqliteStore};
use aldis_store::{MSG_ID_EPOCH_MS, Reader, SeedUsers, Store, Writer};
use aldis_wire::{ClientMsgId, Command, ConnId, ConversationKey, RequestId, Seq, UserId, pb};
use bytes::Bytes;

const NOW_MS: u64 = MSG_ID_EPOCH_MS + 1_000_000_000;

struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aldis-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.0.join("store.sqlite"), 0).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn request(job: WriteJob) -> WriteRequest {
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::MsgSend;
    let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
    WriteRequest { ticket, fence: 0, job }
}

fn send(conversation: ConversationKey, sender: UserId, number: u64) -> WriteRequest {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&NOW_MS.to_be_bytes()[2..]);
    id[8..].copy_from_slice(&number.to_be_bytes());
    request(WriteJob::Append(Append {
        conversation,
        sender,
        client_msg_id: ClientMsgId(id),
        kind: pb::MsgType::Text,
        content: Bytes::from(format!("message {number}")),
        extra: Bytes::new(),
        refs: Bytes::new(),
        friends_only: false,
    }))
}

fn head(reader: &mut SqliteReader, user: UserId) -> u64 {
    match reader.read(&ReadJob::Heads { users: vec![user] }) {
        Ok(ReadResult::Heads(heads)) => heads[0].head.0,
        other => panic!("{other:?}"),
    }
}

/// Reads on from `position` to the head and checks that every entry is there, in order.
fn read_on(reader: &mut SqliteReader, user: UserId, position: &mut u64, last_id: &mut u64) {
    let promised = head(reader, user);
    while *position < promised {
        let job = ReadJob::Sync { user, after: Seq(*position), limit: 500 };
        let Ok(ReadResult::Sync(page)) = reader.read(&job) else { panic!() };
        assert!(!page.entries.is_empty(), "{promised} was promised, {position} is the end");
        for (seq, entry) in &page.entries {
            assert_eq!(seq.0, *position + 1, "dense");
            assert!(entry.msg_id.0 > *last_id, "in commit order");
            (*position, *last_id) = (seq.0, entry.msg_id.0);
        }
        assert!(page.head.0 >= *position);
    }
}

#[test]
fn readers_see_dense_mailboxes_while_a_writer_appends() {
    const BATCHES: u64 = 400;
    let dir = TempDir::new("dense");
    let store = dir.open();
    let users = store.seed_users(&SeedUsers { prefix: "u".into(), count: 24 }, NOW_MS).unwrap();
    let mut writer = store.writer().unwrap();
    let group = WriteJob::CreateGroup(CreateGroup {
        owner: users[0],
        name: "all".into(),
        members: users[1..].to_vec(),
        open_history: false,
        request_id: RequestId([1; 16]),
        limits: GroupLimits::default(),
    });
    let group = match writer.commit(NOW_MS, &[request(group)]).results.pop() {
        Some(Ok(Written::GroupCreated { group, .. })) => group,
        other => panic!("{other:?}"),
    };
    let (is_over, passes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for start in 0..3 {
            let (users, is_over, passes) = (&users, &is_over, &passes);
            let mut reader = store.reader().unwrap();
            scope.spawn(move || {
                let mut positions = vec![(0, 0); users.len()];
                let mut was_over = false;
                while !was_over {
                    was_over = is_over.load(Ordering::SeqCst);
                    for n in 0..users.len() {
                        let at = (start * 7 + n) % users.len();
                        let (position, last_id) = &mut positions[at];
                        read_on(&mut reader, users[at], position, last_id);
                    }
                    passes.fetch_add(1, Ordering::SeqCst);
                }
                for (user, (position, _)) in users.iter().zip(&positions) {
                    assert_eq!(*position, head(&mut reader, *user));
                }
            });
        }
        let mut number = 0;
        for batch in 0..BATCHES {
            let requests: Vec<_> = (0..1 + batch % 90)
                .map(|_| {
                    number += 1;
                    let (a, b) = (users[number as usize % 24], users[number as usize * 5 % 23]);
                    match number % 3 {
                        0 => send(ConversationKey::group(group), a, number),
                        _ => send(ConversationKey::direct(a, b), a, number),
                    }
                })
                .collect();
            let committed = writer.commit(NOW_MS + batch, &requests);
            assert!(committed.results.iter().all(Result::is_ok));
            writer.maintain(0).unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(passes.into_inner() >= 3);
}

#[test]
fn the_log_stays_bounded_although_readers_always_hold_a_snapshot() {
    let dir = TempDir::new("log");
    let store = dir.open();
    let users = store.seed_users(&SeedUsers { prefix: "u".into(), count: 2 }, NOW_MS).unwrap();
    let mut writer = store.writer().unwrap();
    let key = ConversationKey::direct(users[0], users[1]);
    let is_over = AtomicBool::new(false);
    let content = Bytes::from(vec![b'x'; 500_000]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let is_over = &is_over;
            let mut reader = store.reader().unwrap();
            let job = ReadJob::Sync { user: users[0], after: Seq(0), limit: 500 };
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    reader.read(&job).unwrap();
                }
            });
        }
        // About 150 MiB, more than twice what the log may hold.
        for number in 0..300 {
            let mut one = send(key, users[0], number);
            if let WriteJob::Append(job) = &mut one.job {
                job.content = content.clone();
            }
            assert!(writer.commit(NOW_MS, &[one]).results[0].is_ok());
            writer.maintain(0).unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let log_bytes = std::fs::metadata(dir.0.join("store.sqlite-wal")).unwrap().len();
    assert!(log_bytes < 100 << 20, "{log_bytes}");
}

#[test]
fn two_writers_on_one_file_notice_each_other() {
    let dir = TempDir::new("two");
    let store = dir.open();
    let users = store.seed_users(&SeedUsers { prefix: "u".into(), count: 2 }, NOW_MS).unwrap();
    let mut writers = [store.writer().unwrap(), dir.open().writer().unwrap()];
    let key = ConversationKey::direct(users[0], users[1]);
    for number in 0..20u64 {
        let writer = &mut writers[usize::from(number % 3 == 0)];
        let committed = writer.commit(NOW_MS + number, &[send(key, users[0], number)]);
        match &committed.results[0] {
            Ok(Written::Appended(placed)) => assert_eq!(placed.seq, Seq(number + 1)),
            other => panic!("{other:?}"),
        }
        let resend = writer.commit(NOW_MS + 500, &[send(key, users[0], number / 2)]);
        assert!(resend.events.is_empty());
    }
}

#[test]
fn users_may_be_added_while_a_writer_runs() {
    let dir = TempDir::new("admin");
    let store = dir.open();
    let users = store.seed_users(&SeedUsers { prefix: "u".into(), count: 2 }, NOW_MS).unwrap();
    let key = ConversationKey::direct(users[0], users[1]);
    let new_user = |name: String| NewUser {
        nickname: name.clone(),
        username: name,
        password_phc: String::new(),
        request_id: RequestId::default(),
    };
    let (mut registered, added) = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut writer = store.writer().unwrap();
            let mut registered = Vec::new();
            for number in 0..100 {
                let user = new_user(format!("server{number}"));
                let batch = [send(key, users[0], number), request(WriteJob::Register(user))];
                let committed = writer.commit(NOW_MS, &batch);
                assert!(committed.results[0].is_ok());
                match committed.results[1] {
                    Ok(Written::Registered(user)) => registered.push(user),
                    ref other => panic!("{other:?}"),
                }
            }
            registered
        });
        let admin = dir.open();
        let mut added = Vec::new();
        for number in 0..50 {
            added.push(admin.add_user(new_user(format!("admin{number}")), NOW_MS).unwrap());
        }
        let seed = SeedUsers { prefix: "more".into(), count: 1_000 };
        added.extend(admin.seed_users(&seed, NOW_MS).unwrap());
        (server.join().unwrap(), added)
    });
    registered.extend(added);
    let count = registered.len();
    registered.sort();
    registered.dedup();
    assert_eq!(registered.len(), count, "no id twice");
    assert_eq!(count, 1_150);
    let mut reader = store.reader().unwrap();
    assert_eq!(head(&mut reader, users[1]), 100);
    assert!(!registered.contains(&users[0]));
}
