//! Goal: clients that ask any node where to connect are spread by load over the nodes that are there,
//! and whose node dies or drains finds another one by asking again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aldis_client::core::Credentials;
use aldis_client::{Client, ClientConfig, Config, Event, SavedState};
use aldis_scenario::http::{http_get, http_post};
use aldis_scenario::requests::text_to;
use aldis_scenario::{NodeOptions, RawClient, Server, wait_for};
use aldis_services::{MariaDb, Redis};
use aldis_wire::DeviceClass;
use rustix::process::Signal;
use serde_json::json;

const TABLES: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
                      requests_per_second = 0\n[drain]\nseconds = 30\n";

struct Cluster {
    nodes: Vec<Server>,
    redis: Redis,
    _mariadb: MariaDb,
}

impl Cluster {
    fn start() -> Self {
        let (mariadb, redis) = (MariaDb::start(), Redis::start());
        let url = mariadb.fresh_database();
        let nodes: Vec<_> = [1, 2]
            .map(|id| {
                let options = NodeOptions::new(id, &url).with_redis(redis.url());
                NodeOptions { tables: TABLES.to_owned(), ..options }.start()
            })
            .into();
        let cluster = Self { nodes, redis, _mariadb: mariadb };
        wait_for("both nodes know each other", || {
            cluster.nodes.iter().all(|node| {
                let page = http_get(node.http_address("admin"), "/metrics").body;
                page.contains("\naldis_open_nodes 2\n")
            })
        });
        cluster
    }

    /// Where a client is sent that asks this node.
    fn gateway(&self, node: usize) -> Option<SocketAddr> {
        let reply = http_get(self.nodes[node].http_address("api"), "/v1/gateway");
        let is_found = reply.status == 200;
        is_found.then(|| {
            reply.json()["gateway"].as_str().expect("an address").parse().expect("IP and port")
        })
    }

    /// How often each address comes up.
    fn spread(&self, node: usize, count: usize) -> BTreeMap<SocketAddr, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..count {
            *counts.entry(self.gateway(node).expect("a gateway")).or_default() += 1;
        }
        counts
    }
}

#[test]
fn clients_are_sent_where_there_are_fewer() {
    let cluster = Cluster::start();
    let [one, two] = [0, 1].map(|node| cluster.nodes[node].address());
    // Thirty sessions on the first node: the next ones go to the second, whoever is asked.
    let users = cluster.nodes[0].seed_users("load", 30, DeviceClass::Device);
    let _sessions: Vec<_> = users.iter().map(|user| RawClient::login_seeded(one, user)).collect();
    wait_for("the load is known to the second node", || {
        let counts = cluster.spread(1, 4);
        counts.len() == 1 && counts.contains_key(&two)
    });
    // Those sent there since the last announcement count as if they had come.
    assert!(cluster.spread(0, 10).get(&two).is_some_and(|count| *count >= 8));
}

#[test]
fn a_client_finds_another_node_when_its_own_is_gone() {
    let mut cluster = Cluster::start();
    let two = cluster.nodes[1].address();
    let body = json!({
        "username": "finder", "password": "a password of a test", "device_id": "d",
        "device_class": "web", "request_id": "11".repeat(16),
    });
    let api = cluster.nodes[1].http_address("api");
    assert_eq!(http_post(api, "/v1/register", &body).status, 200);
    cluster.nodes[0].kill_9();
    wait_for("its lease is over", || cluster.spread(1, 20).keys().eq([&two]));
    // The login's answer names it as well.
    let login = http_post(api, "/v1/login", &body);
    assert_eq!((login.status, &login.json()["gateway"]), (200, &json!(two.to_string())));
    cluster.nodes[0].restart();
    wait_for("it takes clients again", || cluster.spread(1, 40).len() == 2);
}

#[test]
fn a_client_of_a_gateway_moves_to_another_node_and_misses_nothing() {
    let mut cluster = Cluster::start();
    let [one, two] = [0, 1].map(|node| cluster.nodes[node].address());
    // Sessions on the second node, which answers: clients are sent to the first.
    let users = cluster.nodes[1].seed_users("crowd", 22, DeviceClass::Device);
    let (mover, sender) = (&users[0], &users[1]);
    let _crowd: Vec<_> = users[2..].iter().map(|user| RawClient::login_seeded(two, user)).collect();
    wait_for("clients are sent to the first", || cluster.spread(1, 4).keys().eq([&one]));
    let gateway = format!("http://{}", cluster.nodes[1].http_address("api"));
    let core = Config::new(&mover.device_id, mover.class);
    let mut config = ClientConfig::new(&gateway, core);
    config.call_timeout = Duration::from_secs(60);
    let saved =
        SavedState { user_id: mover.id, token: mover.token.clone(), ..SavedState::default() };
    let mut client = Client::new(config, saved).expect("a client");
    client.login(Credentials::SavedToken).expect("logged in");
    let sessions = |node: &Server| {
        let page = http_get(node.http_address("admin"), "/metrics").body;
        let line = page.lines().find_map(|line| line.strip_prefix("aldis_sessions "));
        line.and_then(|count| count.parse::<u32>().ok()).expect("a count")
    };
    assert_eq!(sessions(&cluster.nodes[0]), 1, "the gateway sent it to the first node");
    cluster.nodes[0].kill_9();
    let mut other = RawClient::login_seeded(two, sender);
    for n in 0..5 {
        other.send_message(&text_to(mover.id, &format!("meanwhile {n}")));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut texts = Vec::new();
    while texts.len() < 5 {
        assert!(Instant::now() < deadline, "{texts:?}");
        if let Some(Event::Entry { entry, .. }) = client.wait_event(deadline).expect("it lives") {
            texts.push(entry.content.to_vec());
        }
    }
    let expected: Vec<_> = (0..5).map(|n| format!("meanwhile {n}").into_bytes()).collect();
    assert_eq!(texts, expected);
    assert_eq!(sessions(&cluster.nodes[1]), 22, "the crowd, the sender and the mover");
}

#[test]
fn a_node_that_drains_sends_clients_to_the_other() {
    let mut cluster = Cluster::start();
    let two = cluster.nodes[1].address();
    let users = cluster.nodes[0].seed_users("stay", 1, DeviceClass::Device);
    let staying = RawClient::login_seeded(cluster.nodes[0].address(), &users[0]);
    cluster.nodes[0].signal(Signal::TERM);
    wait_for("it sends clients away", || cluster.gateway(0) == Some(two));
    assert_eq!(cluster.spread(0, 20).keys().collect::<Vec<_>>(), [&two]);
    wait_for("the other one knows", || cluster.spread(1, 20).keys().eq([&two]));
    drop(staying);
    assert!(cluster.nodes[0].wait_end(Duration::from_secs(60)));
}

#[test]
fn without_redis_a_node_sends_clients_to_itself() {
    let mut cluster = Cluster::start();
    let one = cluster.nodes[0].address();
    cluster.redis.kill_9();
    wait_for("it knows of no other", || cluster.spread(0, 20).keys().eq([&one]));
    let page = http_get(cluster.nodes[0].http_address("admin"), "/metrics").body;
    assert!(page.contains("\naldis_directory_up 0\n"), "{page}");
    assert_eq!(http_get(cluster.nodes[0].http_address("admin"), "/readyz").status, 200);
    cluster.redis.restart();
    wait_for("both are known again", || cluster.spread(0, 40).len() == 2);
}
