//! What can happen to a transaction on its way: connections that end, deadlocks, a commit whose
//! outcome nobody learns, another node that stops in the middle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aldis_logic::job::{JobError, WriteRequest, Written};
use aldis_store::mysql::{MysqlStore, MysqlWriter};
use aldis_store::{Store, Writer};
use aldis_wire::{ConversationKey, UserId};
use mysql::Conn;
use mysql::prelude::Queryable;

use crate::harness::{appended, fresh_database, history, open, seed, send, unix_ms};

/// Far above what coming back takes.
const RECOVERY_MAX: Duration = Duration::from_secs(30);

struct Pair {
    url: String,
    store: MysqlStore,
    ann: UserId,
    key: ConversationKey,
}

impl Pair {
    fn new() -> Self {
        let url = fresh_database();
        let store = open(&url, 1);
        let users = seed(&store, 2);
        let key = ConversationKey::direct(users[0], users[1]);
        Self { url, store, ann: users[0], key }
    }

    fn send(&self, number: u64) -> WriteRequest {
        send(self.key, self.ann, number)
    }

    fn stored_count(&self) -> usize {
        history(&mut self.store.reader().unwrap(), self.ann, self.key).len()
    }

    fn connect(&self) -> Conn {
        Conn::new(self.url.as_str()).unwrap()
    }
}

/// Sends again until it is acknowledged, as clients do.
fn until_acknowledged(writer: &mut MysqlWriter, batch: &[WriteRequest]) -> Vec<Written> {
    let begun = Instant::now();
    loop {
        let committed = writer.commit(unix_ms(), batch);
        let results: Result<Vec<_>, _> = committed.results.into_iter().collect();
        match results {
            Ok(written) => return written,
            Err(why) => assert_eq!(why, JobError::Unavailable),
        }
        assert!(begun.elapsed() < RECOVERY_MAX, "it does not come back");
        writer.maintain(unix_ms()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ids of the connections that writers have to this database, newest last.
fn writer_connections(admin: &mut Conn) -> Vec<u64> {
    let sql = "SELECT id FROM information_schema.processlist
               WHERE db = DATABASE() AND id <> CONNECTION_ID() ORDER BY id";
    admin.query(sql).unwrap()
}

#[test]
fn connections_that_end_at_any_moment_lose_and_double_nothing() {
    const KILLS: u64 = 6;
    const BATCH: u64 = 20;
    let pair = Pair::new();
    let mut writer = pair.store.writer().unwrap();
    let is_over = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut admin = pair.connect();
            for number in 0..KILLS {
                // Longer than a batch takes, and another part of it each time.
                std::thread::sleep(Duration::from_micros(1_200_000 + 1_700 * number));
                for id in writer_connections(&mut admin) {
                    let _ = admin.query_drop(format!("KILL {id}"));
                }
            }
            is_over.store(true, Ordering::SeqCst);
        });
        let mut acknowledged = Vec::new();
        let mut number = 0;
        while !is_over.load(Ordering::SeqCst) {
            let batch: Vec<_> = (number..number + BATCH).map(|number| pair.send(number)).collect();
            number += BATCH;
            acknowledged.extend(until_acknowledged(&mut writer, &batch));
        }
        acknowledged
    });
    let found = history(&mut pair.store.reader().unwrap(), pair.ann, pair.key);
    assert_eq!(found.len(), acknowledged.len());
    for (entry, written) in found.iter().zip(&acknowledged) {
        let Written::Appended(appended) = written else { panic!("{written:?}") };
        assert_eq!((entry.msg_id, entry.conv_seq), (appended.msg_id, appended.conv_seq));
    }
}

#[test]
fn the_victim_of_a_deadlock_is_tried_again() {
    let pair = Pair::new();
    let mut writer = pair.store.writer().unwrap();
    appended(&writer.commit(unix_ms(), &[pair.send(0)]));
    let mut other = pair.connect();
    // It has changed more than the writer's transaction, so that one is the victim.
    other.query_drop("BEGIN").unwrap();
    for n in 0..200 {
        other.query_drop(format!("INSERT INTO im_barrier VALUES ({}, 1)", 1_000_000 + n)).unwrap();
    }
    other.query_drop("SELECT * FROM im_mailbox FOR UPDATE").unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            appended(&writer.commit(unix_ms(), &[pair.send(1), pair.send(2)]));
            writer.retry_count()
        });
        wait_for_a_lock_wait(&mut pair.connect());
        other.query_drop("SELECT * FROM im_conversation FOR UPDATE").unwrap();
        other.query_drop("COMMIT").unwrap();
        assert!(writing.join().unwrap() > 0);
    });
    assert_eq!(pair.stored_count(), 3);
}

fn wait_for_a_lock_wait(admin: &mut Conn) {
    let begun = Instant::now();
    let sql = "SELECT COUNT(*) FROM information_schema.innodb_lock_waits";
    while admin.query_first::<u64, _>(sql).unwrap() == Some(0) {
        assert!(begun.elapsed() < RECOVERY_MAX, "nobody waits");
        // The server keeps the answer for a tenth of a second after it was last asked.
        std::thread::sleep(Duration::from_millis(150));
    }
}

#[test]
fn rows_that_a_stopped_node_has_locked_come_free() {
    let pair = Pair::new();
    let mut writer = pair.store.writer().unwrap();
    appended(&writer.commit(unix_ms(), &[pair.send(0)]));
    // A node between two packets of a batch, with the settings of a writer's connection.
    let mut stopped = pair.connect();
    stopped.query_drop("SET SESSION idle_transaction_timeout = 2").unwrap();
    stopped.query_drop("BEGIN").unwrap();
    stopped.query_drop("SELECT * FROM im_conversation FOR UPDATE").unwrap();
    until_acknowledged(&mut writer, &[pair.send(1)]);
    assert!(stopped.query_drop("COMMIT").is_err(), "its transaction was ended");
}

#[test]
fn tables_that_are_locked_for_a_backup_are_waited_for_in_bounded_time() {
    let pair = Pair::new();
    let mut writer = pair.store.writer().unwrap();
    appended(&writer.commit(unix_ms(), &[pair.send(0)]));
    let mut backup = pair.connect();
    backup.query_drop("LOCK TABLES im_message_body READ, im_message_index READ").unwrap();
    let unavailable = writer.commit(unix_ms(), &[pair.send(1)]);
    assert_eq!(unavailable.results, [Err(JobError::Unavailable)]);
    assert!(unavailable.events.is_empty());
    backup.query_drop("UNLOCK TABLES").unwrap();
    until_acknowledged(&mut writer, &[pair.send(2)]);
    assert_eq!(pair.stored_count(), 2);
}
