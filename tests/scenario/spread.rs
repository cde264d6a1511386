//! A cluster whose nodes are each in a network namespace of their own, joined by a router that
//! impairs what nodes say to each other and nothing else: clients, database and Redis are reached by
//! another network. Knows no impairment.

use std::net::SocketAddr;

use aldis_netem::{Lab, MANAGEMENT_HOST};
use aldis_services::{MariaDb, MariaDbOptions, Redis};

use crate::{Cluster, NodeOptions};

/// Of the cluster: datagrams that leave loopback are encrypted.
const KEY: &str = "5c1a0f6b2de94783a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718";
/// The account by which nodes reach the database from elsewhere.
const ACCOUNT: &str = "CREATE USER 'spread'@'%' IDENTIFIED BY ''; \
                       GRANT ALL PRIVILEGES ON *.* TO 'spread'@'%'";

/// See the file's first lines. Only for a test that is `aldis_netem::alone`.
pub struct Spread {
    /// The nodes.
    pub cluster: Cluster,
    /// Their namespaces, in the same order, and the router.
    pub lab: Lab,
    /// The database.
    pub mariadb: MariaDb,
}

/// The load of a test is not that of one user.
const RATES: &str = "[rates]\nsends_per_second = 0\nchanges_per_second = 0\n\
                     queries_per_second = 0\ntold_per_second = 0\n\
                     kib_per_second = 0\ngroups_per_hour = 0\n\
                     [connection]\nframes_per_second = 0\n\
                     frames_per_second_before_login = 0\nfruitless_per_address = 0\n";

impl Spread {
    /// So many nodes, all of them linked, with what `change` makes of their options.
    pub fn start(count: u16, change: impl Fn(u16, NodeOptions) -> NodeOptions) -> Self {
        Self::start_on(Lab::start(usize::from(count)), change)
    }

    /// The same in a lab with nothing running in it.
    pub fn start_on(lab: Lab, change: impl Fn(u16, NodeOptions) -> NodeOptions) -> Self {
        let count = lab.nodes().len() as u16;
        lab.open_management();
        println!("the router is in: {:?}", lab.kind());
        let args = vec!["--bind-address=0.0.0.0".to_owned()];
        let mariadb = MariaDb::start_with(MariaDbOptions { args, ..MariaDbOptions::default() });
        mariadb.sql(ACCOUNT);
        let redis = Redis::start();
        redis.cli(&["CONFIG", "SET", "bind", &format!("127.0.0.1 {MANAGEMENT_HOST}")]);
        redis.cli(&["CONFIG", "SET", "protected-mode", "no"]);
        let host = MANAGEMENT_HOST.to_string();
        let cluster = Cluster::start_between(&mariadb, redis, count, |id, mut options| {
            let node = &lab.nodes()[usize::from(id) - 1];
            options.store_url =
                options.store_url.replace("root@127.0.0.1", &format!("spread@{host}"));
            for url in &mut options.redis_urls {
                *url = url.replace("127.0.0.1", &host);
            }
            options.wrapper = node.wrapper();
            let management = node.management_address();
            options.listen = Some(management.into());
            options.tables =
                format!("[admin]\nlisten = \"{management}:0\"\nallow_remote = true\n{RATES}");
            let keys = format!("listen = \"{}:7701\"\nkey = \"{KEY}\"", node.address());
            change(id, options.with_cluster_keys(&keys))
        });
        Self { cluster, lab, mariadb }
    }

    /// Where clients connect, node 1 first.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.cluster.nodes.iter().map(crate::Server::address).collect()
    }

    /// Replaces the rules by which a node's kernel treats packets: `hook` names a hook and what holds
    /// for it, `rules` may be empty.
    pub fn filter(&self, node: usize, hook: &str, rules: &str) {
        let text = format!(
            "table ip aldis {{\n}}\ndelete table ip aldis\ntable ip aldis {{\n\
             chain some {{\ntype filter hook {hook} priority 0; policy accept;\n{rules}\n}}\n}}"
        );
        self.lab.nodes()[node].run("nft", "nftables", &[&text]);
    }

    /// Impairs what goes to each node.
    pub fn impair_all(&mut self, words: &str) {
        (0..self.cluster.nodes.len()).for_each(|node| self.lab.impair(node, words));
    }

    /// Lets everything pass.
    pub fn heal_all(&mut self) {
        (0..self.cluster.nodes.len()).for_each(|node| self.lab.heal(node));
    }
}
