//! Goal: whoever guesses passwords is slowed down by all nodes together, through LOGIN as through the
//! HTTP api; the owner gets in again; and without Redis each node does it by itself.

use std::thread;
use std::time::{Duration, Instant};

use aldis_scenario::http::http_post;
use aldis_scenario::requests::login_body;
use aldis_scenario::{NodeOptions, RawClient, Reply, Server, wait_for};
use aldis_services::{MariaDb, Redis};
use aldis_wire::{Code, Command, DeviceClass, pb};
use serde_json::json;

const PASSWORD: &str = "the password of a test";
/// Attempts at an account from one address that cost nothing.
const FREE: usize = 3;
/// What follows them: long enough that the other node is asked before it is over, on any machine.
const DELAY_S: u32 = 20;

/// Two nodes with one database and one Redis, of which each tells what it counts.
fn nodes(redis: &Redis) -> [Server; 2] {
    let url = MariaDb::shared().fresh_database();
    [1, 2].map(|id| {
        let tables = format!(
            "[attempts]\nfirst_delay_s = {DELAY_S}\nper_account_and_address_free = {FREE}\n\
             per_account_and_address_delay_s = {DELAY_S}\n[api]\nlisten = \"127.0.0.1:0\"\n"
        );
        NodeOptions { tables, ..NodeOptions::new(id, &url).with_redis(redis.url()) }.start()
    })
}

fn log_in(node: &Server, name: &str, password: &str) -> Reply {
    let body = login_body(name, password, DeviceClass::Web);
    RawClient::connect(node.address()).call(Command::Login, &body)
}

fn guess(node: &Server, name: &str) {
    assert_eq!(log_in(node, name, "a guess").code(), Code::BadCredentials);
}

/// How long it says to wait, within what it may say.
fn wait_of(reply: &Reply) -> Duration {
    assert_eq!(reply.code(), Code::RateLimited, "{:?}", reply.error());
    let wait_ms = reply.error().retry_after_ms;
    assert!((1..=DELAY_S * 1_000).contains(&wait_ms), "{wait_ms} ms");
    Duration::from_millis(wait_ms.into())
}

fn http_status(node: &Server, name: &str) -> u16 {
    let body = json!({
        "username": name, "password": PASSWORD, "device_id": "d", "device_class": "web"
    });
    http_post(node.http_address("api"), "/v1/login", &body).status
}

/// Both nodes have found Redis.
fn wait_for_redis(redis: &Redis) {
    for node in ["1", "2"] {
        wait_for("the lease", || redis.cli(&["EXISTS", &format!("im:node:{{{node}}}")]) == "1");
    }
}

#[test]
fn guesses_at_one_node_delay_the_next_at_another_and_the_owner_gets_in() {
    let redis = Redis::start();
    let nodes = nodes(&redis);
    wait_for_redis(&redis);
    RawClient::register(nodes[0].address(), "ada", PASSWORD);
    (0..FREE).for_each(|_| guess(&nodes[0], "ada"));
    let asked_at = Instant::now();
    let wait = wait_of(&log_in(&nodes[1], "ada", PASSWORD));
    assert_eq!(http_status(&nodes[1], "ada"), 429);
    assert_eq!(http_status(&nodes[0], "ada"), 429);
    guess(&nodes[1], "somebody-else");
    thread::sleep(wait.saturating_sub(asked_at.elapsed()));
    wait_for("the owner is in", || log_in(&nodes[1], "ada", PASSWORD).code() == Code::Ok);
    // It is forgiven everywhere, but this node knows by itself of guesses that it saw.
    assert_eq!(redis.cli(&["EXISTS", "im:attempts:account:{ada}:127.0.0.1"]), "0");
    (0..FREE).for_each(|_| guess(&nodes[1], "ada"));
    wait_of(&log_in(&nodes[0], "ada", PASSWORD));
    for node in &nodes {
        let log = node.log();
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn without_redis_each_node_counts_by_itself() {
    let mut redis = Redis::start();
    let nodes = nodes(&redis);
    wait_for_redis(&redis);
    RawClient::register(nodes[0].address(), "ben", PASSWORD);
    redis.kill_9();
    (0..FREE).for_each(|_| guess(&nodes[0], "ben"));
    wait_of(&log_in(&nodes[0], "ben", PASSWORD));
    log_in(&nodes[1], "ben", PASSWORD).ok::<pb::LoginResp>();
    redis.restart();
    wait_for_redis(&redis);
    (0..FREE).for_each(|_| guess(&nodes[1], "carl"));
    wait_of(&log_in(&nodes[0], "carl", PASSWORD));
}
