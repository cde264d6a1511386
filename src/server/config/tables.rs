//! The tables of the configuration file: their keys and defaults. Knows no rules about values.

use std::net::SocketAddr;
use std::path::PathBuf;

use aldis_wire::limits::{
    FRAME_MS_MAX, GROUP_FANOUT_MAX, GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX, LOGIN_MS_MAX,
    PIPELINED_REQUESTS_MAX,
};
use serde::Deserialize;
use toml::Spanned;

/// Which node this is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeTable {
    /// Its number, 0 to 1023, unlike that of any other node with the same store. Message ids
    /// contain it.
    pub id: Spanned<u16>,
    /// Where clients reach this node, host:port, as announced to the other nodes; by default the
    /// address it listens on.
    pub client_address: String,
}

/// Where messages are kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreTable {
    /// See there.
    pub kind: Spanned<StoreKind>,
    /// With mysql: `mysql://user:password@host:port/database`. The variable ALDIS_STORE_URL
    /// overrides it, so that the password need not stand here.
    pub url: Spanned<SecretUrl>,
    /// With mysql: replicas of that server, from which pages are read.
    pub replicas: Vec<SecretUrl>,
    /// With mysql: serve although the database's settings lose acknowledged messages in a crash.
    pub allow_unsafe_durability: bool,
}

/// The stores there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A file in the data directory; one machine.
    #[default]
    Sqlite,
    /// MariaDB or MySQL; any number of nodes.
    Mysql,
}

/// Who is online on which node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectoryTable {
    /// See there.
    pub kind: Spanned<DirectoryKind>,
    /// With redis: `redis://user:password@host:port/`, or for TLS `rediss://`, then perhaps with
    /// `?root_cert_path=/etc/ca.pem`; several are the seeds of a Redis Cluster.
    /// The variable ALDIS_DIRECTORY_URL overrides them with one.
    pub urls: Spanned<Vec<SecretUrl>>,
}

/// The directories there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectoryKind {
    /// In this process; one machine.
    #[default]
    Memory,
    /// Redis or Redis Cluster, shared by all nodes.
    Redis,
}

/// A URL that may hold a password: it is never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(pub String);

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

/// Without account, password and parameters.
impl std::fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str("...") };
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "{scheme}://{}", place.split('?').next().unwrap_or_default())
    }
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
    /// With it the client protocol is spoken over TLS only.
    pub tls: Option<TlsTable>,
}

/// How clients are sure of whom they talk to. SIGHUP makes the server read both files again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTable {
    /// PEM: the server's certificate, then those that lead to one that clients trust.
    pub certificate: PathBuf,
    /// PEM: its private key, PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
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
    /// Open connections of one IPv4 address or IPv6 network of 64 bits; further ones are closed at
    /// once. 0 is no limit. What is said of addresses holds for loopback with rates.on_loopback.
    pub per_address_max: Spanned<u32>,
    /// Those of them that are not logged in.
    pub before_login_per_address_max: Spanned<u32>,
    /// Those of one address that end without a login, per second over ten of them; while there are more,
    /// further ones are closed at once. 0 is no limit.
    pub fruitless_per_address: Spanned<u32>,
    /// Share of a reactor's time for those who are not logged in, percent: accepting, TLS handshakes, their
    /// frames.
    pub before_login_percent: Spanned<u32>,
    /// Time from connecting to being logged in, seconds.
    pub login_s: Spanned<u32>,
    /// Time to complete a frame after its first byte, seconds.
    pub frame_s: Spanned<u32>,
    /// Time without progress while output is queued, seconds.
    pub stall_s: Spanned<u32>,
    /// Requests without an answer; further ones are not read. Clients are told.
    pub requests_in_flight_max: Spanned<u32>,
    /// Frames of a connection per second over ten of them; who sends more is not read for a second. 0 is no
    /// limit. What is said of addresses holds for loopback with rates.on_loopback.
    pub frames_per_second: Spanned<u16>,
    /// The same while it is not logged in; six times as many at once. What brings no whole frame counts
    /// like one.
    pub frames_per_second_before_login: Spanned<u16>,
    /// Connections of the node that are agreeing on keys (TLS); further ones are closed at once.
    pub handshakes_max: Spanned<u32>,
    /// Queued output, KiB, above which a slow reader's pushes are replaced by one hint.
    pub output_soft_kib: Spanned<u32>,
    /// Queued output, KiB, above which a connection is closed.
    pub output_hard_kib: Spanned<u32>,
}

/// What users may do to each other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Whose messages a user gets.
    pub direct_messages: Senders,
    /// How long after sending its sender may recall a message, seconds. Owners and admins of a group
    /// always may.
    pub recall_s: Spanned<u32>,
    /// How long after sending its sender may edit a text, seconds; at most two days.
    pub edit_s: Spanned<u32>,
    /// Members of a group up to which each gets its entries in the mailbox; a larger one is a stream.
    pub fanout_max: Spanned<u32>,
    /// Members of a group.
    pub group_members_max: Spanned<u32>,
    /// Groups that a user is in, the own ones included.
    pub groups_per_user_max: Spanned<u32>,
}

/// Who may write to a user who has said nothing else of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Senders {
    /// Everybody.
    #[default]
    Anyone,
    /// Those whom the user has as friends.
    Friends,
}

/// How often one user may ask on this node, all its sessions together: times per second over a longer
/// time, ten times as many at once; 0 is no limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateTable {
    /// Messages.
    pub sends_per_second: Spanned<u32>,
    /// Other changes.
    pub changes_per_second: Spanned<u32>,
    /// Questions.
    pub queries_per_second: Spanned<u32>,
    /// What is told and not stored, as that one writes something.
    pub told_per_second: Spanned<u32>,
    /// Bytes of all requests together, KiB.
    pub kib_per_second: Spanned<u32>,
    /// Groups made, or asked to let one in, in an hour; as many at once.
    pub groups_per_hour: Spanned<u32>,
    /// Passwords of one address that are checked or wait for it; further ones are told to come back. 0
    /// is no limit.
    pub password_checks_per_address: Spanned<u32>,
    /// The limits hold for connections from this machine, too.
    pub on_loopback: bool,
}

/// What SIGTERM does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long clients have to leave after GOAWAY_NOTIFY, seconds.
    pub seconds: Spanned<u32>,
}

/// HTTP for whoever runs the node: /healthz, /readyz, /metrics.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminTable {
    /// Address and port; without it there is no such listener.
    pub listen: Option<Spanned<SocketAddr>>,
    /// An address that others can reach: they can read the metrics.
    pub allow_remote: bool,
}

/// HTTP for clients: /v1/gateway, /v1/login, /v1/register.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiTable {
    /// Address and port; without it there is no such listener.
    pub listen: Option<Spanned<SocketAddr>>,
    /// Requests of one address per second in the long run, five times as many at once; 0 is no
    /// limit.
    pub requests_per_second: Spanned<u32>,
    /// A proxy stands before it, which appends to X-Forwarded-For whom it speaks for: limits are
    /// counted by that address.
    pub behind_proxy: bool,
}

/// A default has no place in a file.
fn unspanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

impl Default for NodeTable {
    fn default() -> Self {
        Self { id: unspanned(0), client_address: String::new() }
    }
}

impl Default for StoreTable {
    fn default() -> Self {
        Self {
            kind: unspanned(StoreKind::default()),
            url: unspanned(SecretUrl::default()),
            replicas: Vec::new(),
            allow_unsafe_durability: false,
        }
    }
}

impl Default for DirectoryTable {
    fn default() -> Self {
        Self { kind: unspanned(DirectoryKind::default()), urls: unspanned(Vec::new()) }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let client = SocketAddr::from(([127, 0, 0, 1], 7700));
        Self { client: unspanned(client), allow_plaintext: false, tls: None }
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
            per_address_max: unspanned(4_096),
            before_login_per_address_max: unspanned(256),
            fruitless_per_address: unspanned(4),
            before_login_percent: unspanned(20),
            login_s: unspanned((LOGIN_MS_MAX / 1_000) as u32),
            frame_s: unspanned((FRAME_MS_MAX / 1_000) as u32),
            stall_s: unspanned(30),
            requests_in_flight_max: unspanned(PIPELINED_REQUESTS_MAX as u32),
            frames_per_second: unspanned(250),
            frames_per_second_before_login: unspanned(2),
            handshakes_max: unspanned(8_192),
            output_soft_kib: unspanned(128),
            output_hard_kib: unspanned(4096),
        }
    }
}

impl Default for ApiTable {
    fn default() -> Self {
        Self { listen: None, requests_per_second: unspanned(50), behind_proxy: false }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            direct_messages: Senders::default(),
            recall_s: unspanned(120),
            edit_s: unspanned(24 * 3600),
            fanout_max: unspanned(GROUP_FANOUT_MAX as u32),
            group_members_max: unspanned(GROUP_MEMBERS_MAX as u32),
            groups_per_user_max: unspanned(GROUPS_PER_USER_MAX as u32),
        }
    }
}

impl Default for RateTable {
    fn default() -> Self {
        Self {
            sends_per_second: unspanned(50),
            changes_per_second: unspanned(50),
            queries_per_second: unspanned(100),
            told_per_second: unspanned(20),
            kib_per_second: unspanned(1_024),
            groups_per_hour: unspanned(200),
            password_checks_per_address: unspanned(16),
            on_loopback: false,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { seconds: unspanned(5) }
    }
}
