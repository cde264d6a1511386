//! Goal: private Redis servers start by themselves, alone and as a cluster, forget when killed, and
//! come back at the same address.

use aldis_services::{Redis, RedisCluster};

#[test]
fn a_killed_server_comes_back_empty_at_the_same_address() {
    let mut redis = Redis::start();
    redis.cli(&["SET", "a", "1"]);
    assert_eq!(redis.cli(&["GET", "a"]), "1");
    let url = redis.url();
    redis.kill_9();
    assert!(redis.try_cli(&["PING"]).is_err());
    redis.restart();
    assert_eq!((redis.url(), redis.cli(&["GET", "a"])), (url, String::new()));
}

#[test]
fn a_cluster_serves_all_slots_and_outlives_one_of_its_nodes() {
    let mut cluster = RedisCluster::start();
    for number in 0..20 {
        let key = format!("key-{number}");
        cluster.cli(&["SET", &key, "1"]);
        assert_eq!(cluster.cli(&["GET", &key]), "1");
    }
    cluster.nodes[2].kill_9();
    cluster.nodes[2].restart();
    cluster.wait_until_whole();
}
