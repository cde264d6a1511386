//! Two nodes with sessions of one user and class: exactly the newer one stays, and somebody is told
//! of the older one.

use std::collections::HashSet;
use std::time::Duration;

use aldis_directory::{Conflict, Directory};
use aldis_logic::job::{DirectoryJob, Registration, SessionRecord};
use aldis_services::Redis;
use aldis_wire::UserId;

use crate::harness::{LIVE, Node};

#[test]
fn a_session_that_lost_while_redis_had_forgotten_is_found_out() {
    let redis = Redis::start();
    let (mut old, mut new) = (Node::start(1, vec![redis.url()]), Node::start(2, vec![redis.url()]));
    assert_eq!(old.register(1, 1), LIVE);
    redis.cli(&["FLUSHALL"]);
    assert_eq!(new.register(1, 2), LIVE, "nobody knows of the older one");
    let lost = Conflict::Fenced(old.record(1, 1));
    old.wait("the loser to be told", |node| node.conflicts == [lost]);
    new.wait_online(1..2, &[1]);
}

#[test]
fn a_session_that_was_replaced_while_redis_refused_is_found_out() {
    let redis = Redis::start();
    let (mut old, mut new) = (Node::start(1, vec![redis.url()]), Node::start(2, vec![redis.url()]));
    assert_eq!(old.register(1, 1), LIVE);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(new.register(1, 2), Registration::Unavailable);
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let replaced = Conflict::Replaced(old.record(1, 1));
    new.wait("the winner to know", |node| node.conflicts == [replaced]);
    assert_eq!(old.register(1, 1), Registration::Fenced);
}

#[test]
fn a_session_that_was_replaced_while_redis_hung_is_found_out() {
    let redis = Redis::start();
    let (mut old, mut new) = (Node::start(1, vec![redis.url()]), Node::start(2, vec![redis.url()]));
    assert_eq!(old.register(1, 1), LIVE);
    redis.pause();
    // Redis carries it out when it goes on, and nobody hears the answer; but the older session's node
    // has been without an answer too.
    assert_eq!(new.register(1, 2), Registration::Unavailable);
    old.wait("the outage", |node| node.register(2, 1) == Registration::Unavailable);
    redis.resume();
    let lost = Conflict::Fenced(old.record(1, 1));
    let replaced = Conflict::Replaced(old.record(1, 1));
    old.wait("somebody to be told", |old| {
        new.maintain();
        old.conflicts.contains(&lost) || new.conflicts.contains(&replaced)
    });
    new.wait_online(1..2, &[1]);
}

const USERS: u64 = 3_000;
const ROUNDS: u64 = 4;

/// User and epoch: each epoch is of one node.
type Session = (u64, u64);

fn session(record: &SessionRecord) -> Session {
    (record.user.0, record.epoch.0)
}

/// Of two sessions the newer one has an odd epoch.
fn is_newer(record: &SessionRecord) -> bool {
    record.epoch.0 % 2 == 1
}

/// One node's part of a race: registers its sessions in batches, and hears who is over.
fn race(node: &mut Node, records: &[SessionRecord], told: &mut HashSet<Session>) {
    for batch in records.chunks(64) {
        let now_ms = node.now_ms();
        let jobs: Vec<_> = batch.iter().copied().map(DirectoryJob::Register).collect();
        for (record, answer) in batch.iter().zip(node.directory.apply(now_ms, &jobs)) {
            match answer {
                Some(Registration::Fenced) => told.extend([session(record)]),
                Some(Registration::Live { replaced }) => {
                    told.extend(replaced.as_ref().map(session))
                }
                Some(Registration::Unavailable) | None => {}
            }
        }
        node.maintain();
    }
}

#[test]
fn of_thousands_of_races_exactly_the_newer_sessions_stay() {
    let redis = Redis::start();
    let mut nodes = [1, 2].map(|number| Node::start(number, vec![redis.url()]));
    for round in 0..ROUNDS {
        // Who is newer differs by user, and who is first by user and round.
        let records = [0, 1].map(|side| {
            let epoch = |user: u64| 10 * (round + 1) + u64::from(user % 2 == side);
            let node = &nodes[side as usize];
            let mut records: Vec<_> =
                (0..USERS).map(|user| node.record(user, epoch(user))).collect();
            let middle = (USERS / 2) as usize;
            if side == round % 2 {
                records.rotate_left(middle);
            }
            records
        });
        let mut told = [HashSet::new(), HashSet::new()];
        std::thread::scope(|scope| {
            for ((node, records), told) in nodes.iter_mut().zip(&records).zip(&mut told) {
                scope.spawn(move || race(node, records, told));
            }
            scope.spawn(|| {
                for _ in 0..3 {
                    std::thread::sleep(Duration::from_millis(20));
                    redis.cli(&["FLUSHALL"]);
                }
            });
        });
        let is_won = |node: &mut Node| {
            let users: Vec<_> = (0..USERS).map(UserId).collect();
            let now_ms = node.now_ms();
            let found = node.directory.sessions_of(now_ms, &users).found;
            let is_newest =
                |record: &SessionRecord| is_newer(record) && record.epoch.0 / 10 == round + 1;
            found.len() == users.len() && found.iter().all(is_newest)
        };
        let [left, right] = &mut nodes;
        left.wait("exactly the newer sessions", |left| {
            right.maintain();
            is_won(left) && is_won(right)
        });
        end_the_older(&mut nodes, &records, &mut told);
    }
}

/// Somebody was told of each older session; its node ends it.
fn end_the_older(
    nodes: &mut [Node; 2],
    records: &[Vec<SessionRecord>; 2],
    told: &mut [HashSet<Session>; 2],
) {
    let [left, right] = nodes;
    let older: Vec<_> = records.iter().flatten().filter(|record| !is_newer(record)).collect();
    left.wait("everybody to be told", |left| {
        right.maintain();
        for (node, told) in [left, right].into_iter().zip(told.iter_mut()) {
            told.extend(node.conflicts.drain(..).map(|conflict| match conflict {
                Conflict::Fenced(record) | Conflict::Replaced(record) => session(&record),
            }));
        }
        older.iter().all(|record| told.iter().any(|told| told.contains(&session(record))))
    });
    let this_round = records[0][0].epoch.0 / 10;
    for (_, epoch) in told.iter().flatten() {
        let is_over = epoch % 2 == 0 || epoch / 10 < this_round;
        assert!(is_over, "nobody is told that a session is over which is not");
    }
    for (node, records) in [left, right].into_iter().zip(records) {
        let over = records.iter().filter(|record| !is_newer(record));
        let jobs: Vec<_> = over.copied().map(DirectoryJob::Unregister).collect();
        let now_ms = node.now_ms();
        node.directory.apply(now_ms, &jobs);
    }
}
