//! One connection to one server of Redis: bounded waiting, and nothing is sent on it any more once
//! an answer failed to come. Knows no key.

use std::time::{Duration, Instant};

use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, Connection, ConnectionAddr, ConnectionInfo, RedisError, ServerError,
    ServerErrorKind, Value,
};

use super::outage::Outage;
use super::slots::Place;

/// How long connecting may take, and then each step of the greeting.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// How long all answers to what was sent at once may take. A login waits as long at most.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(300);

/// Why a server does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It does not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The network, or the greeting.
    #[error("{0}")]
    Broken(RedisError),
    /// It answers that it cannot serve.
    #[error("{0}")]
    Refused(ServerError),
    /// One of several URLs, and it is on its own.
    #[error("it is not part of a Redis Cluster, as it must be if there are several URLs")]
    Alone,
    /// It is part of a cluster in which nobody is responsible for anything.
    #[error("its cluster has no slots assigned, or describes itself in an unknown way")]
    NoSlots,
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Broken(error) }
    }
}

/// What an error among the answers means.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The key's slot is elsewhere now.
    Moved(Option<Place>),
    /// The key's slot is on its way there: ask there this once.
    Ask(Option<Place>),
    /// The server cannot serve anybody now.
    Outage,
    /// This command is wrong for what stands at its key.
    Odd,
}

impl Trouble {
    /// What an error of this server's means.
    pub fn of(error: &ServerError, asked: &Place) -> Self {
        let place = || {
            // "slot host:port", with an empty host for the one that was asked.
            let (host, port) =
                error.details()?.split_ascii_whitespace().nth(1)?.rsplit_once(':')?;
            let host = if host.is_empty() { &asked.host } else { host };
            Some(Place { host: host.to_owned(), port: port.parse().ok()? })
        };
        match (error.kind(), error.code()) {
            (Some(ServerErrorKind::Moved), _) => Self::Moved(place()),
            (Some(ServerErrorKind::Ask), _) => Self::Ask(place()),
            (Some(ServerErrorKind::TryAgain), _) => Self::Ask(None),
            // A program that a SCRIPT FLUSH removed is loaded again with the next connection.
            (
                Some(
                    ServerErrorKind::BusyLoading
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::NoScript
                    | ServerErrorKind::NoPerm,
                ),
                _,
            )
            | (None, "OOM" | "BUSY" | "MISCONF" | "NOREPLICAS" | "NOAUTH") => Self::Outage,
            _ => Self::Odd,
        }
    }
}

/// See the file's first line.
pub struct Link {
    place: Place,
    name: String,
    info: ConnectionInfo,
    connection: Option<Connection>,
    outage: Outage,
}

impl Link {
    /// A link to a server that is reached as `seed` is, at another place. Not connected.
    pub fn new(seed: &ConnectionInfo, place: Place) -> Self {
        let (host, port) = (place.host.clone(), place.port);
        let address = match seed.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                let (insecure, tls_params) = (*insecure, tls_params.clone());
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        // Without a name of the library the greeting is one round trip at most.
        let greeting = seed.redis_settings().clone().set_skip_set_lib_name();
        let info = seed
            .clone()
            .set_addr(address)
            .set_redis_settings(greeting)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let (connection, outage) = (None, Outage::default());
        Self { name: format!("Redis at {place}"), place, info, connection, outage }
    }

    /// Where the server is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// For the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is connected.
    pub fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// When to connect again. ms
    pub fn retry_at_ms(&self) -> u64 {
        self.outage.retry_at_ms()
    }

    /// Connects.
    pub fn connect(&mut self) -> Result<(), LinkError> {
        let client = Client::open(self.info.clone())?;
        let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
        // Sending reads as well while TLS greets.
        connection.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        connection.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Sends commands and waits for all answers; none of them may be an error.
    pub fn ask(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, LinkError> {
        let mut packed = Vec::new();
        commands.iter().for_each(|command| command.write_packed_command(&mut packed));
        self.send(&packed)?;
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        self.expect_within(deadline)?;
        let answers = commands.iter().map(|_| match self.receive(deadline)? {
            Value::ServerError(error) => Err(LinkError::Refused(error)),
            value => Ok(value),
        });
        answers.collect()
    }

    /// Sends without waiting for the answers, which must all be received then.
    pub fn send(&mut self, packed: &[u8]) -> Result<(), LinkError> {
        let connection = self.connection.as_mut().ok_or(LinkError::Timeout)?;
        Ok(connection.send_packed_command(packed)?)
    }

    /// Lets `receive` wait no longer than that.
    pub fn expect_within(&mut self, deadline: Instant) -> Result<(), LinkError> {
        let connection = self.connection.as_mut().ok_or(LinkError::Timeout)?;
        let rest = deadline.saturating_duration_since(Instant::now());
        Ok(connection.set_read_timeout(Some(rest.max(Duration::from_millis(1))))?)
    }

    /// The next answer, which may be an error of the server's.
    pub fn receive(&mut self, deadline: Instant) -> Result<Value, LinkError> {
        let connection = self.connection.as_mut().ok_or(LinkError::Timeout)?;
        let value = connection.recv_response()?;
        // A server that sends byte by byte keeps within the timeout of each read.
        if Instant::now() > deadline + RESPONSE_TIMEOUT {
            return Err(LinkError::Timeout);
        }
        Ok(value)
    }

    /// Gives the connection up, whatever is still to come on it.
    pub fn handle_failure(&mut self, now_ms: u64, took: Duration, why: &LinkError) {
        self.connection = None;
        self.outage.handle_failure(now_ms, took.as_millis() as u64, &self.name, why);
    }

    /// The server serves.
    pub fn handle_success(&mut self, now_ms: u64) {
        self.outage.handle_success(now_ms);
    }

    /// The server refuses one command.
    pub fn handle_odd(&mut self, now_ms: u64, why: &ServerError) {
        self.outage.handle_odd(now_ms, &self.name, why);
    }

    /// Time passes.
    pub fn handle_time(&mut self, now_ms: u64) {
        self.outage.handle_time(now_ms, &self.name);
    }
}
