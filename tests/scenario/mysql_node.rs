//! Nodes that share a MariaDB and a Redis, as tests configure them. Knows keys of the
//! configuration and the accounts of the README, no protocol.

use std::fmt::Write;
use std::net::IpAddr;
use std::process::Output;

use aldis_services::MariaDb;

use crate::{Server, ServerOptions, aldisd};

/// Of the accounts that a test makes.
const PASSWORD: &str = "a-password-of-a-test";

/// What the configuration of one node says.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its number, unlike that of the other nodes.
    pub id: u16,
    /// The database.
    pub store_url: String,
    /// Replicas of it.
    pub replica_urls: Vec<String>,
    /// One Redis, or some of a cluster; none: a directory of the node's own.
    pub redis_urls: Vec<String>,
    /// Further keys of the table `store`.
    pub store_keys: String,
    /// Keys of the table `cluster`; none: the node has no link to others.
    pub cluster_keys: Option<String>,
    /// Value of ALDIS_LOG, if not that of the test.
    pub log: Option<String>,
    /// Further tables.
    pub tables: String,
    /// Words before the program, as in `ServerOptions`.
    pub wrapper: Vec<String>,
    /// Where it listens for clients, as in `ServerOptions`.
    pub listen: Option<IpAddr>,
}

impl NodeOptions {
    /// A node without replicas and Redis.
    pub fn new(id: u16, store_url: &str) -> Self {
        Self {
            id,
            store_url: store_url.to_owned(),
            replica_urls: Vec::new(),
            redis_urls: Vec::new(),
            store_keys: String::new(),
            cluster_keys: None,
            log: None,
            tables: String::new(),
            wrapper: Vec::new(),
            listen: None,
        }
    }

    /// The same with this Redis.
    pub fn with_redis(self, url: String) -> Self {
        Self { redis_urls: vec![url], ..self }
    }

    /// The same with a link on a free port of loopback.
    pub fn with_link(self) -> Self {
        self.with_cluster_keys("listen = \"127.0.0.1:0\"")
    }

    /// The same with a link of which these keys say more.
    pub fn with_cluster_keys(self, keys: &str) -> Self {
        Self { cluster_keys: Some(keys.to_owned()), ..self }
    }

    /// Starts the node.
    pub fn start(&self) -> Server {
        Server::start_with(self.server_options())
    }

    /// For a start that is not the usual one.
    pub fn server_options(&self) -> ServerOptions {
        let (id, store_url, replica_urls) = (self.id, &self.store_url, &self.replica_urls);
        let mut config = format!(
            "[node]\nid = {id}\n[store]\nkind = \"mysql\"\nurl = {store_url:?}\n\
             replicas = {replica_urls:?}\n{}\n{}\n",
            self.store_keys, self.tables
        );
        if !self.redis_urls.is_empty() {
            let urls = &self.redis_urls;
            write!(config, "[directory]\nkind = \"redis\"\nurls = {urls:?}\n")
                .expect("a string takes it");
        }
        if let Some(keys) = &self.cluster_keys {
            write!(config, "[cluster]\n{keys}\n").expect("a string takes it");
        }
        let variable = self.log.iter().map(|level| format!("ALDIS_LOG={level}"));
        let mut wrapper = self.wrapper.clone();
        if self.log.is_some() {
            wrapper.extend(std::iter::once("env".to_owned()).chain(variable));
        }
        ServerOptions { config, wrapper, listen: self.listen, ..ServerOptions::default() }
    }
}

/// Runs `aldisd migrate` on this database, with these further arguments.
pub fn migrate(url: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let config = folder.path().join("aldisd.toml");
    let text = format!("[store]\nkind = \"mysql\"\nurl = {url:?}\n");
    std::fs::write(&config, text).expect("the directory is writable");
    let arguments = ["--config", config.to_str().expect("UTF-8"), "migrate"];
    aldisd().args(arguments).args(more).output().expect("aldisd runs")
}

/// Makes the account that the README gives the server, with the rights named there, for a database
/// of `fresh_database`; the URL to use it by.
pub fn runtime_account(mariadb: &MariaDb, database_url: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(path).expect("the README is in the repository");
    let (place, database) = database_url.rsplit_once('/').expect("a database's URL");
    let is_for_server = |line: &&str| {
        let is_account = line.starts_with("CREATE USER ") || line.starts_with("GRANT ");
        is_account && line.contains("'aldis'@'localhost'")
    };
    let statements: Vec<&str> = readme.lines().filter(is_for_server).collect();
    assert_eq!(statements.len(), 2, "an account and its rights: {statements:?}");
    // The servers of tests know clients by address only, and one server holds many databases.
    let sql = statements.join("\n").replace('…', PASSWORD);
    let sql = sql.replace("'aldis'@'localhost'", &format!("'{database}'@'127.0.0.1'"));
    mariadb.sql(&sql.replace("aldis.*", &format!("{database}.*")));
    place.replace("root", &format!("{database}:{PASSWORD}")) + "/" + database
}
