//! Goal: private Redis servers start by themselves, alone and as a cluster, forget when killed, and
//! come back at the same address.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aldis_services::{Redis, RedisCluster};

/// Set in the process that a test starts to be killed.
const VICTIM: &str = "ALDIS_SERVICES_VICTIM";

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

#[test]
fn a_killed_test_takes_its_servers_with_it() {
    if std::env::var_os(VICTIM).is_some() {
        let redis = Redis::start();
        println!("server {}", redis.pid());
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    let mut victim = Command::new(std::env::current_exe().expect("this test has a path"))
        .args(["--exact", "a_killed_test_takes_its_servers_with_it", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test starts");
    let lines = BufReader::new(victim.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let pids = lines.filter_map(|line| line.split_once("server ")?.1.parse::<u32>().ok());
    let pid = pids.take(1).last().expect("the victim names its server");
    let process = format!("/proc/{pid}/exe");
    assert!(std::fs::read_link(&process).is_ok(), "the server runs");
    victim.kill().expect("our own child");
    victim.wait().expect("our own child");
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::fs::read_link(Path::new(&process)).is_ok() {
        assert!(Instant::now() < deadline, "the server outlives its test");
        std::thread::sleep(Duration::from_millis(20));
    }
}
