//! The configuration file: every key, its default, and errors that name key and line.

mod attempts;
mod cluster;
mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod memory;
mod rates;
mod tables;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aldis_store::NODE_MAX;
use aldis_wire::limits::{EDIT_MS_MAX, GROUP_FANOUT_MAX, GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX};
use serde::Deserialize;
use toml::Spanned;

pub use attempts::AttemptTable;
pub use cluster::{ClusterTable, ControllerName};
pub use memory::MemoryTable;
pub use tables::{
    AdminTable, ApiTable, Connection, DirectoryKind, DirectoryTable, Drain, Listen, NodeTable,
    Policy, RateTable, SecretUrl, Senders, Session, StoreKind, StoreTable, Threads, TlsTable,
};

/// Overrides `store.url`.
const STORE_URL_VARIABLE: &str = "ALDIS_STORE_URL";
/// Overrides `directory.urls` with one.
const DIRECTORY_URL_VARIABLE: &str = "ALDIS_DIRECTORY_URL";

/// Why a configuration is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or a key is unknown or has a value of another kind.
    #[error("{path}: {source}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// With line, column and the line itself.
        source: toml::de::Error,
    },
    /// A value breaks a rule.
    #[error("{path}, line {line}: {key}: {rule}")]
    Rule {
        /// Which file.
        path: PathBuf,
        /// From 1; 0 for a default.
        line: usize,
        /// With its tables, as in `listen.client`.
        key: &'static str,
        /// What holds for it.
        rule: String,
    },
}

/// Everything that can be configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the data of one machine lie: the lock of the running server and, with it, the SQLite
    /// database.
    pub data_dir: PathBuf,
    /// See there.
    pub node: NodeTable,
    /// See there.
    pub store: StoreTable,
    /// See there.
    pub directory: DirectoryTable,
    /// See there.
    pub listen: Listen,
    /// See there.
    pub threads: Threads,
    /// See there.
    pub session: Session,
    /// See there.
    pub connection: Connection,
    /// See there.
    pub policy: Policy,
    /// See there.
    pub rates: RateTable,
    /// See there.
    pub attempts: AttemptTable,
    /// See there.
    pub memory: MemoryTable,
    /// See there.
    pub drain: Drain,
    /// The link to other nodes; without this table there is none.
    pub cluster: Option<ClusterTable>,
    /// See there.
    pub admin: AdminTable,
    /// See there.
    pub api: ApiTable,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./aldis-data"),
            node: NodeTable::default(),
            store: StoreTable::default(),
            directory: DirectoryTable::default(),
            listen: Listen::default(),
            threads: Threads::default(),
            session: Session::default(),
            connection: Connection::default(),
            policy: Policy::default(),
            rates: RateTable::default(),
            attempts: AttemptTable::default(),
            memory: MemoryTable::default(),
            drain: Drain::default(),
            cluster: None,
            admin: AdminTable::default(),
            api: ApiTable::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file; without one, the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse(&text, path, |name| std::env::var(name).ok())
    }

    fn parse(
        text: &str,
        path: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut config: Config = toml::from_str(text)
            .map_err(|source| ConfigError::Parse { path: path.into(), source })?;
        if let Some(url) = variable(STORE_URL_VARIABLE) {
            *config.store.url.get_mut() = SecretUrl(url);
        }
        if let Some(url) = variable(DIRECTORY_URL_VARIABLE) {
            *config.directory.urls.get_mut() = vec![SecretUrl(url)];
        }
        if let (Some(key), Some(cluster)) =
            (variable(cluster::CLUSTER_KEY_VARIABLE), &mut config.cluster)
        {
            cluster.key.0 = key;
        }
        config.check(&Source { text, path })?;
        Ok(config)
    }

    fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        let client = &self.listen.client;
        let is_open = self.listen.tls.is_none() && !self.listen.allow_plaintext;
        if !client.get_ref().ip().is_loopback() && is_open {
            let rule = "an address that others can reach needs a certificate in [listen.tls], or \
                        listen.allow_plaintext = true";
            return Err(source.error("listen.client", client, rule.into()));
        }
        self.check_http(source)?;
        source.at_most("node.id", &self.node.id, NODE_MAX.into())?;
        let (store, directory) = (&self.store, &self.directory);
        let is_mysql = |url: &SecretUrl| url.0.starts_with("mysql://");
        if *store.kind.get_ref() == StoreKind::Mysql && !is_mysql(store.url.get_ref()) {
            let rule = format!("mysql needs a mysql:// URL here or in {STORE_URL_VARIABLE}");
            return Err(source.error("store.url", &store.url, rule));
        }
        let schemes = ["redis://", "rediss://"];
        let is_redis = |url: &SecretUrl| schemes.iter().any(|scheme| url.0.starts_with(scheme));
        let urls = directory.urls.get_ref();
        if *directory.kind.get_ref() == DirectoryKind::Redis
            && (urls.is_empty() || !urls.iter().all(is_redis))
        {
            let rule = format!(
                "redis needs redis:// or rediss:// URLs here or in {DIRECTORY_URL_VARIABLE}"
            );
            return Err(source.error("directory.urls", &directory.urls, rule));
        }
        source.at_most("threads.reactors", &self.threads.reactors, 256)?;
        source.at_most("threads.readers", &self.threads.readers, 256)?;
        source.at_most("threads.hashers", &self.threads.hashers, 64)?;
        source.within("session.heartbeat_s", &self.session.heartbeat_s, 1, 3_600)?;
        source.within("session.token_hours", &self.session.token_hours, 1, 24 * 365)?;
        self.connection.check(source)?;
        source.at_most("policy.edit_s", &self.policy.edit_s, (EDIT_MS_MAX / 1_000) as u32)?;
        let (fanout, members) = (&self.policy.fanout_max, &self.policy.group_members_max);
        source.within("policy.fanout_max", fanout, 1, GROUP_FANOUT_MAX as u32)?;
        source.within("policy.group_members_max", members, 1, GROUP_MEMBERS_MAX as u32)?;
        let groups = &self.policy.groups_per_user_max;
        source.within("policy.groups_per_user_max", groups, 1, GROUPS_PER_USER_MAX as u32)?;
        source.at_most("drain.seconds", &self.drain.seconds, 3_600)?;
        self.rates.check(source)?;
        self.attempts.check(source)?;
        self.memory.check(source)?;
        self.check_cluster(source)
    }

    fn check_cluster(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        if *self.store.kind.get_ref() == StoreKind::Sqlite {
            let rule = "nodes of a cluster share a database: store.kind = \"mysql\"";
            return Err(source.error("cluster", &self.store.kind, rule.into()));
        }
        let advertise = &cluster.advertise;
        cluster.advertised().map_err(|rule| source.error("cluster.advertise", advertise, rule))?;
        if !cluster.has_key() && !cluster.is_on_loopback() {
            let rule = "a link on addresses that others can reach needs cluster.key_file";
            return Err(source.error("cluster.listen", &cluster.listen, rule.into()));
        }
        Ok(())
    }

    fn check_http(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        let is_remote = |listen: &&Spanned<SocketAddr>| !listen.get_ref().ip().is_loopback();
        if let Some(listen) = self.admin.listen.as_ref().filter(is_remote)
            && !self.admin.allow_remote
        {
            let rule = "whoever reaches this address reads the metrics: it needs \
                        admin.allow_remote = true";
            return Err(source.error("admin.listen", listen, rule.into()));
        }
        if let Some(listen) = self.api.listen.as_ref().filter(is_remote)
            && !self.listen.allow_plaintext
        {
            let rule = "passwords on an address that others can reach need \
                        listen.allow_plaintext = true, and something before it that encrypts";
            return Err(source.error("api.listen", listen, rule.into()));
        }
        if let Some(listen) = &self.api.listen
            && self.listen.client.get_ref().ip().is_unspecified()
            && self.node.client_address.is_empty()
        {
            let rule = "clients cannot be sent to the address of listen.client: it needs \
                        node.client_address";
            return Err(source.error("api.listen", listen, rule.into()));
        }
        source.at_most("api.requests_per_second", &self.api.requests_per_second, 1_000)
    }
}

/// Where values stand, for errors.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn error<T>(&self, key: &'static str, value: &Spanned<T>, rule: String) -> ConfigError {
        let span = value.span();
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = if span.is_empty() { 0 } else { before.matches('\n').count() + 1 };
        ConfigError::Rule { path: self.path.into(), line, key, rule }
    }

    fn within(
        &self,
        key: &'static str,
        value: &Spanned<u32>,
        min: u32,
        max: u32,
    ) -> Result<(), ConfigError> {
        if (min..=max).contains(value.get_ref()) {
            return Ok(());
        }
        let rule = format!("{} is not within {min} to {max}", value.get_ref());
        Err(self.error(key, value, rule))
    }

    fn at_most(
        &self,
        key: &'static str,
        value: &Spanned<impl Copy + Into<u32>>,
        max: u32,
    ) -> Result<(), ConfigError> {
        let number: u32 = (*value.get_ref()).into();
        if number <= max {
            return Ok(());
        }
        Err(self.error(key, value, format!("{number} is more than {max}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("node.toml"), |_| None)
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config.listen.client.get_ref().to_string(), "127.0.0.1:7700");
        assert_eq!(config.data_dir, Path::new("./aldis-data"));
    }

    /// All values, without their places in a file.
    fn values(config: &Config) -> String {
        let shown = format!("{config:?}");
        let mut rest = shown.as_str();
        let mut values = String::new();
        while let Some((before, after)) = rest.split_once("span: ") {
            values.push_str(before);
            rest = after.split_once(", ").map_or("", |(_, rest)| rest);
        }
        values + rest
    }

    #[test]
    fn the_commented_file_for_one_machine_says_the_defaults() {
        let file = parse(include_str!("../../../conf/embedded.toml")).unwrap();
        assert_eq!(values(&file), values(&Config::default()));
        assert!(values(&file).contains("value: 200000"), "values are compared");
    }

    #[test]
    fn the_commented_file_for_a_node_is_good() {
        let file = parse(include_str!("../../../conf/node.toml")).unwrap();
        assert_eq!(*file.store.kind.get_ref(), StoreKind::Mysql);
        assert_eq!(*file.directory.kind.get_ref(), DirectoryKind::Redis);
    }

    #[test]
    fn the_commented_file_for_the_fuzzer_is_good() {
        let file = parse(include_str!("../../../conf/fuzz.toml")).unwrap();
        assert_eq!(*file.store.kind.get_ref(), StoreKind::Mysql);
        assert!(file.rates.on_loopback);
    }

    #[test]
    fn the_commented_files_for_a_cluster_differ_in_number_and_addresses_only() {
        let files = [
            include_str!("../../../conf/cluster-a.toml"),
            include_str!("../../../conf/cluster-b.toml"),
        ];
        let [a, b] = files.map(|text| parse(text).unwrap());
        assert_ne!(a.node.id.get_ref(), b.node.id.get_ref());
        assert_ne!(a.listen.client.get_ref(), b.listen.client.get_ref());
        let listens = [&a, &b].map(|c| *c.cluster.as_ref().unwrap().listen.get_ref());
        assert_ne!(listens[0], listens[1]);
        let lines = files.map(|text| text.lines().collect::<Vec<_>>());
        let is_other = |(one, other): &(&&str, &&str)| one != other && !one.starts_with('#');
        let others = lines[0].iter().zip(&lines[1]).filter(is_other).count();
        assert_eq!((others, lines[0].len()), (4, lines[1].len()));
    }

    #[test]
    fn errors_name_file_key_and_line() {
        let unknown = error("[listen]\nclinet = \"127.0.0.1:1\"\n");
        assert!(unknown.contains("line 2") && unknown.contains("clinet"), "{unknown}");
        let kind = error("[session]\n\nheartbeat_s = \"often\"\n");
        assert!(kind.contains("line 3") && kind.contains("heartbeat_s"), "{kind}");
        let range = error("data_dir = \"/x\"\n[session]\nheartbeat_s = 0\n");
        assert_eq!(range, "node.toml, line 3: session.heartbeat_s: 0 is not within 1 to 3600");
        let address = error("[listen]\nclient = \"here\"\n");
        assert!(address.contains("line 2") && address.contains("client"), "{address}");
    }

    #[test]
    fn plaintext_beyond_loopback_must_be_asked_for() {
        let refused = error("[listen]\nclient = \"0.0.0.0:7700\"\n");
        assert!(refused.contains("line 2") && refused.contains("allow_plaintext"), "{refused}");
        let text = "[listen]\nclient = \"0.0.0.0:7700\"\nallow_plaintext = true\n";
        assert!(parse(text).is_ok());
    }

    #[test]
    fn http_beyond_loopback_must_be_asked_for() {
        for (table, key) in [("admin", "allow_remote"), ("api", "allow_plaintext")] {
            let text = format!("[{table}]\nlisten = \"0.0.0.0:7780\"\n");
            let refused = error(&text);
            assert!(refused.contains("line 2") && refused.contains(key), "{refused}");
            assert!(parse(&text.replace("0.0.0.0", "127.0.0.1")).is_ok());
        }
        let text = "[admin]\nlisten = \"0.0.0.0:7780\"\nallow_remote = true\n";
        assert!(parse(text).is_ok());
        assert!(error("[api]\nrequests_per_second = 1001\n").contains("1001"));
        let text = "[listen]\nclient = \"0.0.0.0:7700\"\nallow_plaintext = true\n\
                    [api]\nlisten = \"127.0.0.1:7781\"\n";
        assert!(error(text).contains("client_address"));
        assert!(parse(&format!("[node]\nclient_address = \"im:7700\"\n{text}")).is_ok());
    }

    #[test]
    fn servers_need_urls_which_the_environment_may_give() {
        let text = "[store]\nkind = \"mysql\"\n";
        assert!(error(text).contains("store.url"));
        assert!(error("[directory]\nkind = \"redis\"\n").contains("directory.urls"));
        let variable = |name: &str| (name == STORE_URL_VARIABLE).then(|| "mysql://h/d".to_owned());
        let config = Config::parse(text, Path::new("node.toml"), variable).unwrap();
        assert_eq!(config.store.url.get_ref().0, "mysql://h/d");
    }

    #[test]
    fn a_cluster_needs_a_database_and_a_key_where_others_can_listen() {
        let mysql = "[store]\nkind = \"mysql\"\nurl = \"mysql://h/d\"\n";
        assert!(error("[cluster]\n").contains("mysql"));
        assert!(parse(&format!("{mysql}[cluster]\n")).is_ok());
        let open = format!("{mysql}[cluster]\nlisten = \"10.0.0.1:7701\"\n");
        assert!(error(&open).contains("line 5") && error(&open).contains("key_file"));
        let key = "0f".repeat(32);
        assert!(parse(&format!("{open}key = \"{key}\"\n")).is_ok());
        let variable = |name: &str| (name == "ALDIS_CLUSTER_KEY").then(|| key.clone());
        assert!(Config::parse(&open, Path::new("node.toml"), variable).is_ok());
        let everywhere = format!("{mysql}[cluster]\nlisten = \"0.0.0.0:7701\"\n");
        assert!(error(&everywhere).contains("cluster.advertise"));
    }

    #[test]
    fn passwords_are_not_shown() {
        let text = "[store]\nkind = \"mysql\"\nurl = \"mysql://u:secret@h/d\"\n";
        let config = parse(text).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        assert_eq!(config.store.url.get_ref().to_string(), "mysql://h/d");
        let wrong = error("[store]\nkind = \"mysql\"\nurl = \"postgres://u:secret@h/d\"\n");
        assert!(!wrong.contains("secret"), "{wrong}");
    }
}
