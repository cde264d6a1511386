//! The configuration file: every key, its default, and errors that name key and line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

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
    /// Where the data of one machine lie: the SQLite database and the lock of the running server.
    pub data_dir: PathBuf,
    /// See there.
    pub listen: Listen,
    /// See there.
    pub threads: Threads,
    /// See there.
    pub session: Session,
    /// See there.
    pub connection: Connection,
    /// See there.
    pub drain: Drain,
}

/// Where clients connect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Address and port for the client protocol over TCP.
    pub client: Spanned<SocketAddr>,
    /// Plain TCP on an address that others can reach: passwords and messages are readable on the
    /// way. Only behind something that encrypts.
    pub allow_plaintext: bool,
}

/// How many threads; 0 means one per core.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Threads {
    /// Reactors for clients.
    pub reactors: Spanned<u16>,
    /// Store readers: sync, history, lists.
    pub readers: Spanned<u16>,
    /// Password hashing, 13 ms and 19 MiB each while they work.
    pub hashers: Spanned<u16>,
}

/// Sessions of clients.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// What clients are asked to send a HEARTBEAT after, seconds. A connection that was silent for
    /// two and a half times as long is closed.
    pub heartbeat_s: Spanned<u32>,
    /// How long a token holds, hours.
    pub token_hours: Spanned<u32>,
}

/// Limits of connections.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connection {
    /// Open connections of the node; further ones are closed at once.
    pub max: Spanned<u32>,
    /// Queued output, KiB, above which a slow reader's pushes are replaced by one hint.
    pub output_soft_kib: Spanned<u32>,
    /// Queued output, KiB, above which a connection is closed.
    pub output_hard_kib: Spanned<u32>,
}

/// What SIGTERM does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long clients have to leave after GOAWAY_NOTIFY, seconds.
    pub seconds: Spanned<u32>,
}

/// A default has no place in a file.
fn unspanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./aldis-data"),
            listen: Listen::default(),
            threads: Threads::default(),
            session: Session::default(),
            connection: Connection::default(),
            drain: Drain::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let client = SocketAddr::from(([127, 0, 0, 1], 7700));
        Self { client: unspanned(client), allow_plaintext: false }
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self { reactors: unspanned(0), readers: unspanned(2), hashers: unspanned(0) }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self { heartbeat_s: unspanned(60), token_hours: unspanned(30 * 24) }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            max: unspanned(200_000),
            output_soft_kib: unspanned(128),
            output_hard_kib: unspanned(4096),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { seconds: unspanned(5) }
    }
}

impl Config {
    /// Reads and checks a file; without one, the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Config = toml::from_str(text)
            .map_err(|source| ConfigError::Parse { path: path.into(), source })?;
        config.check(&Source { text, path })?;
        Ok(config)
    }

    fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        let client = &self.listen.client;
        if !client.get_ref().ip().is_loopback() && !self.listen.allow_plaintext {
            let rule = "plain TCP on an address that others can reach needs \
                        listen.allow_plaintext = true";
            return Err(source.error("listen.client", client, rule.into()));
        }
        source.at_most("threads.reactors", &self.threads.reactors, 256)?;
        source.at_most("threads.readers", &self.threads.readers, 256)?;
        source.at_most("threads.hashers", &self.threads.hashers, 64)?;
        source.within("session.heartbeat_s", &self.session.heartbeat_s, 1, 3_600)?;
        source.within("session.token_hours", &self.session.token_hours, 1, 24 * 365)?;
        source.within("connection.max", &self.connection.max, 1, 10_000_000)?;
        let (soft, hard) = (&self.connection.output_soft_kib, &self.connection.output_hard_kib);
        source.within("connection.output_soft_kib", soft, 16, 64 << 10)?;
        // Two of the largest frames fit between the two, or an answer could close its connection.
        let hard_min = soft.get_ref() + 2_560;
        source.within("connection.output_hard_kib", hard, hard_min, 1 << 20)?;
        source.at_most("drain.seconds", &self.drain.seconds, 3_600)
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

    fn error(text: &str) -> String {
        Config::parse(text, Path::new("node.toml")).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = Config::parse("", Path::new("node.toml")).unwrap();
        assert_eq!(config.listen.client.get_ref().to_string(), "127.0.0.1:7700");
        assert_eq!(config.data_dir, Path::new("./aldis-data"));
    }

    /// All values, without their places in a file.
    fn values(config: &Config) -> (PathBuf, SocketAddr, bool, [u16; 3], [u32; 6]) {
        let Config { data_dir, listen, threads, session, connection, drain } = config;
        let counts = [&threads.reactors, &threads.readers, &threads.hashers];
        let numbers = [
            &session.heartbeat_s,
            &session.token_hours,
            &connection.max,
            &connection.output_soft_kib,
            &connection.output_hard_kib,
            &drain.seconds,
        ];
        (
            data_dir.clone(),
            *listen.client.get_ref(),
            listen.allow_plaintext,
            counts.map(|count| *count.get_ref()),
            numbers.map(|number| *number.get_ref()),
        )
    }

    #[test]
    fn the_commented_file_says_the_defaults() {
        let text = include_str!("../../conf/embedded.toml");
        let file = Config::parse(text, Path::new("embedded.toml")).unwrap();
        assert_eq!(values(&file), values(&Config::default()));
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
        assert!(Config::parse(text, Path::new("node.toml")).is_ok());
    }
}
