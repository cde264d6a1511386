//! Nodes with links between each other, on one MariaDB and one Redis, and how their clients are
//! watched. Knows what nodes log, no message of the link.

use std::net::SocketAddr;
use std::time::Instant;

use aldis_services::{MariaDb, Redis};
use aldis_wire::{Command, pb};

use crate::{NodeOptions, RawClient, SeededUser, Server, wait_for};

/// See the file's first line.
pub struct Cluster {
    /// Node 1 first.
    pub nodes: Vec<Server>,
    /// What says who is where.
    pub redis: Redis,
    /// The database.
    pub url: String,
}

impl Cluster {
    /// So many nodes, all of them linked.
    pub fn start(count: u16) -> Self {
        Self::start_with(count, |_, options| options.with_link())
    }

    /// So many nodes with what `change` makes of their options, all of them linked.
    pub fn start_with(count: u16, change: impl Fn(u16, NodeOptions) -> NodeOptions) -> Self {
        Self::start_on(MariaDb::shared(), count, change)
    }

    /// The same on a database server of the test's own.
    pub fn start_on(
        mariadb: &MariaDb,
        count: u16,
        change: impl Fn(u16, NodeOptions) -> NodeOptions,
    ) -> Self {
        Self::start_between(mariadb, Redis::start(), count, change)
    }

    /// The same with a Redis that was made ready for it.
    pub fn start_between(
        mariadb: &MariaDb,
        redis: Redis,
        count: u16,
        change: impl Fn(u16, NodeOptions) -> NodeOptions,
    ) -> Self {
        let url = mariadb.fresh_database();
        let nodes = (1..=count)
            .map(|id| change(id, NodeOptions::new(id, &url).with_redis(redis.url())).start())
            .collect();
        let cluster = Self { nodes, redis, url };
        cluster.wait_linked();
        cluster
    }

    /// Waits until each node has said of each other one that it is linked.
    pub fn wait_linked(&self) {
        for (this, node) in self.nodes.iter().enumerate() {
            for other in (0..self.nodes.len()).filter(|other| *other != this) {
                let line = format!("node {} is linked", other + 1);
                wait_for(&line, || node.log().contains(&line));
            }
        }
    }

    /// How often a node has said so of another, both by their index.
    pub fn links_of(&self, node: usize, other: usize) -> usize {
        let line = format!("node {} is linked", other + 1);
        self.nodes[node].log().matches(&line).count()
    }

    /// Where a node's link listens.
    pub fn link_address(&self, node: usize) -> SocketAddr {
        let log = self.nodes[node].log();
        let line = log.lines().rfind(|line| line.contains("the link listens on "));
        let rest = line.and_then(|line| line.split("listens on ").nth(1)).expect("it says so");
        rest.split(' ').next().and_then(|address| address.parse().ok()).expect("an address")
    }

    /// Nothing was logged that an operator must act on.
    pub fn assert_quiet(&self) {
        for log in self.nodes.iter().map(Server::log) {
            assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
        }
    }
}

/// Logged in with its token; the epoch of the session.
pub fn login(node: &Server, user: &SeededUser) -> (RawClient, u64) {
    let mut client = RawClient::connect(node.address());
    let session = client.login_with_token(user).session_id;
    (client, session)
}

/// The next entry that is pushed. Hints are passed over, so what a head check found does not count:
/// on another node only the link brings entries.
pub fn next_entry(client: &mut RawClient) -> pb::MessageData {
    let began = Instant::now();
    loop {
        let push: pb::MsgPushNotify = client.notification(Command::MsgPushNotify).decode();
        let mut entries = push.entries;
        assert!(entries.len() <= 1, "the server pushes one by one");
        if let Some(entry) = entries.pop() {
            return entry;
        }
        println!("a hint of head {} after {:?}", push.head, began.elapsed());
    }
}
