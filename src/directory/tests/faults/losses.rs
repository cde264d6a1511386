//! Redis forgets: it is flushed, restarted, or replaced by an empty one.

use aldis_directory::Directory;
use aldis_services::Redis;

use crate::harness::{LIVE, Node};

const USERS: u64 = 2_000;

#[test]
fn sessions_come_back_after_a_flush() {
    let redis = Redis::start();
    let (mut node, mut other) =
        (Node::start(1, vec![redis.url()]), Node::start(2, vec![redis.url()]));
    assert!(node.register_all(0..USERS).iter().all(|answer| *answer == LIVE));
    let everybody: Vec<_> = (0..USERS).collect();
    for _ in 0..3 {
        redis.cli(&["FLUSHALL"]);
        assert_eq!(other.online(0..USERS), (vec![], 0));
        node.wait("every session in Redis", |_| {
            redis.cli(&["EVAL", "return #redis.call('KEYS', 'im:session:*')", "0"])
                == USERS.to_string()
        });
        other.wait_online(0..USERS, &everybody);
    }
    other.wait("both leases", |other| {
        let now_ms = other.now_ms();
        node.maintain();
        other.directory.open_nodes(now_ms).is_ok_and(|open| open.len() == 2)
    });
}

#[test]
fn sessions_come_back_after_a_restart() {
    let mut redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    node.register_all(0..USERS);
    redis.kill_9();
    let first = node.register(USERS, 1);
    let second = node.register(USERS + 1, 1);
    assert_ne!((first, second), (LIVE, LIVE));
    node.unregister(0, 1);
    redis.restart();
    let online: Vec<_> = (1..USERS + 2).collect();
    node.wait_online(0..USERS + 2, &online);
    assert_eq!(node.conflicts, []);
}

#[test]
fn what_ended_while_redis_was_away_is_taken_back() {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    node.register_all(0..1_000);
    redis.pause();
    for user in 0..990 {
        node.unregister(user, 1);
    }
    redis.resume();
    node.wait_online(0..1_000, &(990..1_000).collect::<Vec<_>>());
    node.wait("no trace of the others", |_| {
        redis.cli(&["EVAL", "return #redis.call('KEYS', 'im:session:*')", "0"]) == "10"
    });
}

#[test]
fn epochs_of_another_store_do_not_compare() {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    assert_eq!(node.register(1, 100), LIVE);
    // The store was restored from a backup, and nodes run on it now.
    let mut restored = Node::with_store_epoch(2, vec![redis.url()], 2);
    restored.wait_online(1..2, &[1]);
    assert_ne!(restored.register(1, 7), aldis_logic::job::Registration::Fenced);
    let record = restored.record(1, 7);
    let now_ms = restored.now_ms();
    let found = restored.directory.sessions_of(now_ms, &[record.user]).found;
    assert_eq!(found, [record]);
}
