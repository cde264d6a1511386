//! Redis is not there, or hangs: sessions begin without it, at once, and are told when it is back.

use std::time::{Duration, Instant};

use aldis_logic::job::Registration;
use aldis_services::Redis;

use crate::harness::{LIVE, Node, keep_log, logged};

#[test]
fn sessions_that_began_without_redis_are_told_when_it_comes() {
    let mut redis = Redis::start();
    redis.kill_9();
    let mut node = Node::new(1, vec![redis.url()]);
    node.maintain();
    assert_eq!(node.register(1, 1), Registration::Unavailable);
    assert_eq!(node.register(2, 1), Registration::Unavailable);
    assert_eq!(node.register(2, 2), Registration::Unavailable);
    assert_eq!(node.register(2, 1), Registration::Fenced, "a newer one is here");
    node.unregister(1, 1);
    assert_eq!(node.online(1..3), (vec![], 2));
    redis.restart();
    node.wait_online(1..3, &[2]);
    assert_eq!(redis.cli(&["HGET", "im:session:{2}", "1"]), format!("2 1 {} 1", node.boot.0));
}

#[test]
fn a_redis_that_hangs_does_not_pile_up_waiting() {
    let redis = Redis::start();
    let mut node = Node::start(1, vec![redis.url()]);
    redis.pause();
    let started = Instant::now();
    for user in 0..1_000 {
        node.maintain();
        assert_eq!(node.register(user, 1), Registration::Unavailable);
        node.unregister(user, 1);
        assert_eq!(node.register(user, 2), Registration::Unavailable);
        assert_eq!(node.online(user..user + 1), (vec![], 1));
    }
    // 4,000 calls that each waited for an answer would have taken 20 minutes.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    redis.resume();
    node.wait_online(0..1_000, &(0..1_000).collect::<Vec<_>>());
}

#[test]
fn an_outage_is_logged_once_and_without_passwords() {
    keep_log();
    let mut redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "open-sesame"]);
    let url = format!("redis://:open-sesame@127.0.0.1:{}/", redis.port());
    let mut node = Node::start(1, vec![url]);
    assert_eq!(node.register(1, 1), LIVE);
    redis.kill_9();
    let until = Instant::now() + Duration::from_secs(5);
    node.wait("some tries", |node| {
        node.register(1, 1);
        Instant::now() > until
    });
    let lines = logged(&format!(":{} is away", redis.port()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    redis.restart();
    redis.cli(&["CONFIG", "SET", "requirepass", "open-sesame"]);
    node.wait_online(1..2, &[1]);
    assert_eq!(logged(&format!(":{} is away", redis.port())).len(), 1);
    assert_eq!(logged("sesame"), Vec::<String>::new());
}

#[test]
fn a_wrong_password_is_an_outage_that_ends_when_it_fits() {
    keep_log();
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "other"]);
    let url = format!("redis://:xyzzy@127.0.0.1:{}/", redis.port());
    let mut node = Node::new(1, vec![url]);
    node.maintain();
    assert_eq!(node.register(1, 1), Registration::Unavailable);
    assert_eq!(logged("xyzzy"), Vec::<String>::new());
    let set = std::process::Command::new("redis-cli")
        .args(["-p", &redis.port().to_string(), "--no-auth-warning", "-a", "other"])
        .args(["CONFIG", "SET", "requirepass", "xyzzy"])
        .output()
        .unwrap();
    assert!(set.status.success());
    node.wait_online(1..2, &[1]);
}
