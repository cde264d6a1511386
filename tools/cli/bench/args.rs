//! The command line of `aldis bench`, and the checks that need nothing but it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use aldis_client::shell::{Tls, TlsOptions};
use aldis_wire::limits::{GROUP_FANOUT_MAX, PIPELINED_REQUESTS_MAX, TEXT_BYTES_MAX};
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::attacker::Kind;
use super::codec::STAMP_LEN;
use super::tokens::{self, User};
use super::workers::Course;
use crate::exit::usage;

/// Descriptors a generator needs besides its connections.
const DESCRIPTORS_BESIDES: u64 = 64;
/// Threads make sense up to the number of cores; this only catches slips.
const THREADS_MAX: usize = 64;

/// Measure a server: throughput, latency, processor time, memory.
///
/// Users come from the file that `aldisd admin seed-users --count N --tokens FILE` writes. The
/// exit code is 1 when anything was lost, repeated, reordered, changed or refused.
#[derive(Args, Debug)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(super) load: LoadKind,
}

#[derive(Subcommand, Debug)]
pub(super) enum LoadKind {
    /// Pairs of users write to each other; every message is acknowledged and delivered.
    Chat(ChatArgs),
    /// Every connection sends heartbeats and waits for the answers.
    Heartbeat(HeartbeatArgs),
    /// Connections log in and stay quiet: memory per connection.
    Idle(IdleArgs),
    /// One member of a group writes, all others are online.
    Fanout(FanoutArgs),
    /// TLS connections are opened and closed, one after the other; the server may be any. Handshakes
    /// count as messages.
    Handshake(HandshakeArgs),
    /// Attackers try passwords, send garbage, never end, announce too much, never read: what they get is
    /// told. Run `aldis bench chat` beside it to see how others fare.
    Flood(FloodArgs),
}

/// What every load takes.
#[derive(Args, Debug, Clone)]
pub(super) struct CommonArgs {
    /// Where the server listens, host:port.
    #[arg(long, default_value = "127.0.0.1:7700", env = "ALDIS_SERVER")]
    pub server: String,
    /// Users to act as, one `user_id<TAB>username<TAB>token` per line.
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Connect over TLS; the certificate must be for the host of --server and be trusted by this
    /// machine.
    #[arg(long)]
    pub tls: bool,
    /// PEM file with the certificates to trust instead [implies --tls].
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Measured time, s.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Load before the measured time, s.
    #[arg(long, default_value_t = 2.0)]
    pub warmup: f64,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Process id of the server: adds its processor time and memory to the result. May be given
    /// again for further processes, whose sum is told.
    #[arg(long, value_name = "PID")]
    pub server_pid: Vec<u32>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What loads of messages take.
#[derive(Args, Debug, Clone)]
pub(super) struct MessageArgs {
    /// Unanswered messages that each sender keeps; with --rate the most it may have.
    #[arg(long)]
    pub window: Option<usize>,
    /// Messages per second of all senders together, on a fixed schedule whatever the server does
    /// (open loop); latency counts from the scheduled time.
    #[arg(long, value_name = "PER_S")]
    pub rate: Option<f64>,
    /// Bytes of a message's text.
    #[arg(long, default_value_t = 100)]
    pub payload: usize,
    /// How long unfinished messages are waited for after the last was sent, s; what is missing
    /// then is lost.
    #[arg(long, default_value_t = 15.0)]
    pub drain: f64,
}

#[derive(Args, Debug)]
pub(super) struct ChatArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub messages: MessageArgs,
    /// Pairs of users.
    #[arg(long, default_value_t = 500)]
    pub pairs: usize,
    /// Another node of the same cluster, where the second of each pair logs in: every message
    /// crosses from node to node.
    #[arg(long, value_name = "SERVER")]
    pub peer_server: Option<String>,
    /// Both of a pair send, not only the first.
    #[arg(long)]
    pub both: bool,
    /// A message counts as answered only when it was also delivered.
    #[arg(long)]
    pub wait_delivery: bool,
}

#[derive(Args, Debug)]
pub(super) struct HeartbeatArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Connections, one for each user of the file.
    #[arg(long, default_value_t = 1_000)]
    pub connections: usize,
    /// Unanswered heartbeats that each connection keeps.
    #[arg(long, default_value_t = 1)]
    pub window: usize,
}

#[derive(Args, Debug)]
pub(super) struct IdleArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Connections, one for each user of the file.
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
}

#[derive(Args, Debug)]
pub(super) struct FanoutArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub messages: MessageArgs,
    /// Members of each group, the sender among them; all are online.
    #[arg(long, default_value_t = GROUP_FANOUT_MAX)]
    pub members: usize,
    /// Groups, each with members and a sender of its own.
    #[arg(long, default_value_t = 1)]
    pub groups: usize,
}

#[derive(Args, Debug)]
pub(super) struct HandshakeArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Connections that are opened at a time.
    #[arg(long, default_value_t = 8)]
    pub window: usize,
    /// Go on with the keys of earlier connections.
    #[arg(long)]
    pub resume: bool,
}

#[derive(Args, Debug)]
pub(super) struct FloodArgs {
    /// The server to attack, host:port; it has to be of your own.
    #[arg(long, default_value = "127.0.0.1:7700", env = "ALDIS_SERVER")]
    pub server: String,
    /// One account for each attacker, as for other loads; other accounts than those that are measured.
    #[arg(long, value_name = "FILE")]
    pub tokens: PathBuf,
    /// How long, s.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Attackers, of each kind as many.
    #[arg(long, default_value_t = 5_000)]
    pub attackers: usize,
    /// Addresses that they come from, if the server is on the loopback network (127.64.0.1 and on); the
    /// server counts them with rates.on_loopback.
    #[arg(long, default_value_t = 1_000)]
    pub addresses: usize,
    /// Between two acts of one attacker, ms.
    #[arg(long, default_value_t = 100)]
    pub every_ms: u64,
    /// Only attackers of this kind; may be given again.
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<Kind>,
    /// Attack a server that is not on a loopback or private address.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl FloodArgs {
    /// What attackers do.
    pub fn kinds(&self) -> &[Kind] {
        if self.kind.is_empty() { Kind::value_variants() } else { &self.kind }
    }
}

impl CommonArgs {
    /// Checks what is the same for all loads and makes room for the descriptors.
    pub fn course(&self, sessions: usize) -> Result<Course> {
        let time = |name, seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|error| usage(format!("--{name} {seconds}: {error}")))
        };
        let measured = time("seconds", self.seconds)?;
        require(!measured.is_zero(), || "--seconds must be above 0".to_owned())?;
        require((1..=THREADS_MAX).contains(&self.threads), || {
            format!("--threads is 1 to {THREADS_MAX}")
        })?;
        require(sessions > 0, || "nothing to do without connections".to_owned())?;
        make_room_for(sessions)?;
        let warmup = time("warmup", self.warmup)?;
        Ok(Course { warmup, measured, server_pids: self.server_pid.clone(), sessions })
    }

    /// So many users to act as.
    pub fn users(&self, count: usize) -> Result<Vec<User>> {
        let file = self.tokens.as_ref().ok_or_else(|| usage("--tokens is needed".to_owned()))?;
        tokens::read(file, count)
    }

    /// What to encrypt connections with, if anything.
    pub fn tls(&self) -> Result<Option<Tls>> {
        if !self.tls && self.ca.is_none() {
            return Ok(None);
        }
        let host = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host);
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let options = TlsOptions { roots: self.ca.clone(), name: Some(name) };
        Tls::new(&options).map(Some).map_err(|error| usage(format!("--ca: {error}")))
    }

    /// The server's address.
    pub fn server_addr(&self) -> Result<SocketAddr> {
        resolve("--server", &self.server)
    }
}

/// The first address of a host:port.
pub(super) fn resolve(option: &str, server: &str) -> Result<SocketAddr> {
    let mut addresses =
        server.to_socket_addrs().map_err(|error| usage(format!("{option} {server}: {error}")))?;
    addresses.next().ok_or_else(|| usage(format!("{option} {server}: no address")))
}

impl MessageArgs {
    /// The number of unfinished messages per sender.
    pub fn window(&self) -> Result<usize> {
        let default = if self.rate.is_some() { PIPELINED_REQUESTS_MAX } else { 1 };
        let window = self.window.unwrap_or(default);
        check_window(window)?;
        Ok(window)
    }

    /// Between two messages of one of `threads` threads, ns; `None` for a closed loop.
    pub fn interval_ns(&self, threads: usize) -> Result<Option<f64>> {
        let Some(rate) = self.rate else { return Ok(None) };
        require(rate.is_finite() && rate > 0.0, || "--rate must be above 0".to_owned())?;
        Ok(Some(1e9 * threads as f64 / rate))
    }

    /// How long to wait at the end.
    pub fn drain(&self) -> Result<Duration> {
        Duration::try_from_secs_f64(self.drain)
            .map_err(|error| usage(format!("--drain {}: {error}", self.drain)))
    }

    /// The length of a text.
    pub fn payload_len(&self) -> Result<usize> {
        require((STAMP_LEN..=TEXT_BYTES_MAX).contains(&self.payload), || {
            format!(
                "--payload is {STAMP_LEN} to {TEXT_BYTES_MAX}: a message carries its number and time"
            )
        })?;
        Ok(self.payload)
    }
}

/// A rule of the command line: what breaks it is the user's error.
pub(super) fn require(holds: bool, why: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(usage(why())) }
}

/// The server stops reading a connection with more unanswered requests.
pub(super) fn check_window(window: usize) -> Result<()> {
    require((1..=PIPELINED_REQUESTS_MAX).contains(&window), || {
        format!("--window is 1 to {PIPELINED_REQUESTS_MAX}, what a connection may have unanswered")
    })?;
    Ok(())
}

/// Raises the limit of descriptors as far as allowed.
pub(super) fn make_room_for(connections: usize) -> Result<()> {
    let wanted = connections as u64 + DESCRIPTORS_BESIDES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let allowed = limit.maximum.is_none_or(|maximum| maximum >= wanted);
    let new = Rlimit { current: Some(wanted), maximum: limit.maximum };
    require(allowed && setrlimit(Resource::Nofile, new).is_ok(), || {
        format!(
            "{connections} connections need {wanted} file descriptors, but this process may open {}: \
         raise the limit (ulimit -Hn, or LimitNOFILE) or use fewer connections",
            limit.maximum.or(limit.current).unwrap_or(0)
        )
    })?;
    Ok(())
}

/// Splits `count` things among at most `threads` threads, each getting a range of them.
pub(super) fn split(count: usize, threads: usize) -> Vec<std::ops::Range<usize>> {
    let threads = threads.min(count).max(1);
    (0..threads).map(|i| count * i / threads..count * (i + 1) / threads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_split_without_loss() {
        assert_eq!(split(10, 3), [0..3, 3..6, 6..10]);
        assert_eq!(split(2, 8), [0..1, 1..2]);
        assert_eq!(split(1, 2).len(), 1);
    }

    #[test]
    fn too_many_descriptors_are_explained() {
        let error = make_room_for(1 << 40).unwrap_err().to_string();
        assert!(error.contains("file descriptors"), "{error}");
        assert!(make_room_for(1).is_ok());
    }

    #[test]
    fn rates_are_shared_among_threads() {
        let args = MessageArgs { window: None, rate: Some(1_000.0), payload: 100, drain: 1.0 };
        assert_eq!(args.interval_ns(2).unwrap(), Some(2e6));
        assert_eq!(args.window().unwrap(), PIPELINED_REQUESTS_MAX);
        let args = MessageArgs { window: Some(0), rate: Some(0.0), payload: 39, drain: -1.0 };
        assert!(args.window().is_err() && args.interval_ns(1).is_err());
        assert!(args.payload_len().is_err() && args.drain().is_err());
    }
}
