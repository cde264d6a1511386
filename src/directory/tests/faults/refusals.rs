//! Redis answers, but not what it should.

use aldis_directory::Directory;
use aldis_logic::job::Registration;
use aldis_services::Redis;

use crate::harness::{LIVE, Node};

/// Lets something go wrong and right again: meanwhile sessions are not refused, and afterwards they
/// are known.
fn outage(begin: impl Fn(&Redis), end: impl Fn(&Redis)) {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    assert_eq!(node.register(1, 1), LIVE);
    begin(&redis);
    node.wait("an answer without Redis", |node| node.register(2, 1) == Registration::Unavailable);
    node.maintain();
    assert_eq!(node.register(3, 1), Registration::Unavailable);
    end(&redis);
    node.wait_online(1..4, &[1, 2, 3]);
    assert_eq!(node.conflicts, []);
}

#[test]
fn a_server_that_takes_no_writes_is_an_outage() {
    let port = redis_port_of_nobody();
    outage(
        |redis| {
            redis.cli(&["REPLICAOF", "127.0.0.1", &port]);
        },
        |redis| {
            redis.cli(&["REPLICAOF", "NO", "ONE"]);
        },
    );
}

fn redis_port_of_nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

#[test]
fn a_server_without_memory_is_an_outage() {
    outage(
        |redis| {
            redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        },
        |redis| {
            redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        },
    );
}

#[test]
fn a_server_without_the_replicas_it_wants_is_an_outage() {
    outage(
        |redis| {
            redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
        },
        |redis| {
            redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
        },
    );
}

#[test]
fn a_server_that_is_loading_is_an_outage() {
    let mut redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    assert_eq!(node.register(1, 1), LIVE);
    // Enough that loading it takes seconds; it is slowed down further.
    redis.cli(&["CONFIG", "SET", "save", "3600 1"]);
    redis.cli(&["DEBUG", "POPULATE", "200000", "ballast", "16"]);
    redis.cli(&["SAVE"]);
    redis.kill_9();
    assert_ne!(node.register(2, 1), LIVE);
    redis.restart();
    node.wait_online(1..3, &[1, 2]);
}

#[test]
fn forgotten_programs_are_loaded_again() {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    assert_eq!(node.register(1, 1), LIVE);
    redis.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(node.register(2, 1), Registration::Unavailable);
    node.wait_online(1..3, &[1, 2]);
    assert_eq!(node.register(3, 1), LIVE);
}

#[test]
fn a_key_of_another_type_troubles_its_user_only() {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    redis.cli(&["SET", "im:session:{1}", "what is this"]);
    redis.cli(&["HSET", "im:session:{3}", "1", "x y z", "9", "1 2 3 4", "2", "1 2 3"]);
    let answers = node.register_all(1..4);
    assert_eq!(answers, [Registration::Unavailable, LIVE, LIVE]);
    assert_eq!(node.online(1..4), (vec![2, 3], 1));
    node.unregister(1, 1);
    let now_ms = node.now_ms();
    let timeout_ms = node.directory.poll_timeout();
    assert!(timeout_ms > now_ms, "nothing is tried over and over");
}
