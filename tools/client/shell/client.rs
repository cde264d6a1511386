//! A blocking client without threads: one connection, one poll, a deadline for each wait.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aldis_wire::{Code, pb};
use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::tls::{Tls, TlsOptions};
use crate::core::{Config, Core, Event, OfflineReason, RequestError, SavedState, SubmitError};
use crate::recorder::{HistoryFile, Recorder};

/// Bytes per read: a full sync page and its neighbours in one call.
const READ_BYTES: usize = 256 << 10;
/// Readiness events per wait: one socket and one waker.
const READY_EVENTS: usize = 4;
const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
/// Time for a convenience call if the configuration does not say.
const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How a blocking client behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `host:port`, or `http://host:port` of a gateway, which is asked for a node before each
    /// connection.
    pub server: String,
    /// Further servers of the same installation: each connection goes to the next one in turn.
    pub others: Vec<String>,
    /// Of the protocol.
    pub core: Config,
    /// Time for each convenience call, with all its tries.
    pub call_timeout: Duration,
    /// A connection that does not open at the first try is an error rather than tried again.
    pub fail_fast: bool,
    /// `None`: what is sent is readable on the way.
    pub tls: Option<TlsOptions>,
}

impl ClientConfig {
    /// Defaults for this server and device.
    pub fn new(server: impl Into<String>, core: Config) -> Self {
        let server = server.into();
        let (others, call_timeout) = (Vec::new(), CALL_TIMEOUT_DEFAULT);
        Self { server, others, core, call_timeout, fail_fast: false, tls: None }
    }
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("refused by the server: {code}{}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// Its code.
        code: Code,
        /// For people.
        message: String,
        /// Whether the request may have had its effect all the same.
        maybe_done: bool,
    },
    /// Another login with this device class took the session, or it was revoked.
    #[error("the session was ended by the server ({reason:?})")]
    Kicked {
        /// Why.
        reason: pb::KickReason,
    },
    /// No connection could be opened.
    #[error("cannot reach {server}: {reason}")]
    Unreachable {
        /// As configured.
        server: String,
        /// For people.
        reason: String,
    },
    /// The time for the call is over; what it asked for may still happen.
    #[error("no answer in time")]
    Timeout,
    /// The client was stopped, so nothing will come.
    #[error("not connected")]
    Stopped,
    /// The server's answer is not what the protocol says.
    #[error("unexpected answer")]
    Protocol,
    /// Too much is unanswered, or it is too large.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Of the poll or the recorder.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ClientError {
    pub(super) fn from_request(error: RequestError) -> Self {
        match error {
            RequestError::Refused { code, message, .. } => {
                ClientError::Refused { code, message, maybe_done: !code.is_definite() }
            }
            RequestError::Lost => ClientError::Timeout,
        }
    }
}

/// Ends a wait from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// `wait_event` returns soon.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

/// See the file's first line.
#[derive(Debug)]
pub struct Client {
    pub(super) config: ClientConfig,
    pub(super) connection: Connection,
    poll: Poll,
    ready: Events,
    waker: Waker,
    scratch: Vec<u8>,
    /// The last pump used up its budget: the next wait must not block.
    has_more: bool,
    started_at: Instant,
}

impl Client {
    /// A client at rest that goes on from `saved` (`SavedState::default()`: from nothing).
    pub fn new(config: ClientConfig, saved: SavedState) -> Result<Self, ClientError> {
        Self::with_recorder(config, saved, None)
    }

    /// The same, writing its history to `history` under a name unique in the run.
    pub fn with_recorder(
        mut config: ClientConfig,
        saved: SavedState,
        history: Option<(&HistoryFile, &str)>,
    ) -> Result<Self, ClientError> {
        let seed = getrandom::u64().map_err(io::Error::other)?;
        let poll = Poll::new()?;
        let waker = Waker(Arc::new(mio::Waker::new(poll.registry(), WAKER)?));
        let recorder = history.map(|(file, process)| {
            let class = config.core.device_class.number();
            Recorder::new(file, process, &config.server, &config.core.device_id, class)
        });
        config.core.observe = recorder.is_some();
        let core = Core::new(config.core.clone(), saved, seed, 0, unix_ms());
        let mut connection = Connection::new(core, &config.server, SOCKET, recorder);
        config.others.iter().for_each(|server| connection.add_server(server));
        if let Some(options) = &config.tls {
            connection.set_tls(Tls::new(options)?);
        }
        Ok(Self {
            connection,
            config,
            poll,
            ready: Events::with_capacity(READY_EVENTS),
            waker,
            scratch: vec![0; READ_BYTES],
            has_more: false,
            started_at: Instant::now(),
        })
    }

    /// The protocol state. What is changed takes effect with the next wait or `pump`.
    pub fn core(&self) -> &Core {
        self.connection.core()
    }

    /// The same, to be changed, with its clock.
    pub fn core_mut(&mut self) -> (&mut Core, u64) {
        let now = self.now();
        (self.connection.core_mut(), now)
    }

    /// The recorder, if there is one.
    pub fn recorder_mut(&mut self) -> Option<&mut Recorder> {
        self.connection.recorder_mut()
    }

    /// For another thread that has something to say to the one that waits.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits for the next event; `None` when the deadline passed or the waker was used.
    pub fn wait_event(&mut self, deadline: Instant) -> Result<Option<Event>, ClientError> {
        let mut woken = false;
        loop {
            self.pump()?;
            if let Some(event) = self.connection.core_mut().poll_event() {
                return Ok(Some(event));
            }
            if woken || Instant::now() >= deadline {
                return Ok(None);
            }
            woken = self.wait_ready(deadline)?;
        }
    }

    /// Waits until an event that `matches` is there; others stay in their order.
    pub(super) fn wait_for(
        &mut self,
        deadline: Instant,
        mut matches: impl FnMut(&Event) -> bool,
    ) -> Result<Option<Event>, ClientError> {
        loop {
            self.pump()?;
            if let Some(event) = self.connection.core_mut().take_event(&mut matches) {
                return Ok(Some(event));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            self.wait_ready(deadline)?;
        }
    }

    /// Does what can be done without waiting.
    pub fn pump(&mut self) -> Result<(), ClientError> {
        let now = self.now();
        self.has_more = self.connection.pump(self.poll.registry(), now, &mut self.scratch)?;
        Ok(())
    }

    /// Leaves the connection as if the network had cut it; the next one goes to the next server.
    pub fn cut(&mut self) {
        let now = self.now();
        self.connection.cut(now);
    }

    /// Pumps until everything written is with the kernel or `deadline` passes.
    pub fn flush(&mut self, deadline: Instant) -> Result<(), ClientError> {
        self.pump()?;
        while Instant::now() < deadline && self.connection.has_output() {
            self.wait_ready(deadline)?;
            self.pump()?;
        }
        Ok(())
    }

    /// Milliseconds since this client was made: the core's clock.
    fn now(&self) -> u64 {
        self.started_at.elapsed().as_millis() as u64
    }

    /// Waits for readiness, the core's next deadline or the caller's; whether it was woken.
    fn wait_ready(&mut self, deadline: Instant) -> Result<bool, ClientError> {
        let mut wait = deadline.saturating_duration_since(Instant::now());
        if let Some(at) = self.core().poll_timeout() {
            // Rounded up, or the last millisecond would be spent spinning.
            wait = wait.min(Duration::from_millis(at.saturating_sub(self.now()).max(1)));
        }
        if self.has_more {
            wait = Duration::ZERO;
        }
        match self.poll.poll(&mut self.ready, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut woken = false;
        for ready in &self.ready {
            match ready.token() {
                SOCKET => self.connection.handle_ready(ready),
                _ => woken = true,
            }
        }
        Ok(woken)
    }

    /// The error for a connection that did not open.
    pub(super) fn unreachable(&self, reason: OfflineReason) -> ClientError {
        let reason = match self.connection.last_error() {
            Some(error) => error.to_string(),
            None => format!("{reason:?}"),
        };
        ClientError::Unreachable { server: self.config.server.clone(), reason }
    }
}

/// Unix time, ms; a clock before 1970 counts as 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
