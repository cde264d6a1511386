//! A connection that comes back by itself: while the server is away every question is answered at
//! once, because connecting happens on a thread of its own. Knows no table but im_meta.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};

use super::connection::{Purpose, Session, connect};
use super::failure::Abort;
use super::migrate::store_epoch;
use super::options::Endpoint;
use crate::traits::StoreError;

/// Pause between the beginnings of two attempts to connect.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);
/// How long the one who needs the connection waits for an attempt. Further ones do not wait.
const ATTEMPT_WAIT: Duration = Duration::from_millis(500);
/// After this silence a connection says something: well below the writer's wait_timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);

const _: () = assert!(ATTEMPT_WAIT.as_millis() < ATTEMPT_INTERVAL.as_millis());

/// Where a link leads to and what is expected there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The server.
    pub endpoint: Endpoint,
    /// What for.
    pub purpose: Purpose,
    /// The store's epoch.
    pub store_epoch: u64,
    /// What to say of settings that lose what was acknowledged; `None` for replicas, which are
    /// not asked.
    pub allow_unsafe_durability: Option<bool>,
}

/// A connection, or the attempts to get one.
#[derive(Debug)]
pub(super) struct Link {
    target: Arc<Target>,
    state: State,
    used_at: Instant,
    /// When the newest attempt to connect began.
    attempted_at: Option<Instant>,
    /// Another epoch than the expected one, once it was seen.
    found_epoch: Option<u64>,
}

#[derive(Debug)]
enum State {
    Up(Box<Session>),
    Down { attempt: Option<Receiver<Result<Session, ConnectError>>>, why: String },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Refused(#[from] StoreError),
    #[error("the store has another epoch ({0})")]
    Replaced(u64),
}

impl Link {
    /// Connects.
    pub(super) fn open(target: Arc<Target>) -> Result<Self, StoreError> {
        let session = match establish(&target) {
            Ok(session) => session,
            Err(ConnectError::Refused(why)) => return Err(why),
            Err(ConnectError::Replaced(_)) => {
                return Err(StoreError::Damaged("its epoch changed while it was opened"));
            }
        };
        let now = Instant::now();
        let state = State::Up(Box::new(session));
        Ok(Self { target, state, used_at: now, attempted_at: Some(now), found_epoch: None })
    }

    /// Connects when it is needed.
    pub(super) fn closed(target: Arc<Target>) -> Self {
        let state = State::Down { attempt: None, why: "not connected yet".to_owned() };
        Self { target, state, used_at: Instant::now(), attempted_at: None, found_epoch: None }
    }

    /// The connection, if there is one or can be one within half a second.
    pub(super) fn session(&mut self) -> Result<&mut Session, Abort> {
        self.session_within(ATTEMPT_WAIT)
    }

    /// The connection, if there is one; otherwise an attempt begins.
    pub(super) fn session_now(&mut self) -> Result<&mut Session, Abort> {
        self.session_within(Duration::ZERO)
    }

    fn session_within(&mut self, patience: Duration) -> Result<&mut Session, Abort> {
        self.connect(patience)?;
        self.used_at = Instant::now();
        match &mut self.state {
            State::Up(session) => Ok(session),
            State::Down { why, .. } => Err(Abort::Unavailable(why.clone())),
        }
    }

    fn connect(&mut self, patience: Duration) -> Result<(), Abort> {
        let State::Down { attempt, why } = &mut self.state else { return Ok(()) };
        let is_early = self.attempted_at.is_some_and(|at| at.elapsed() < ATTEMPT_INTERVAL);
        let (outcome, wait) = match attempt {
            Some(outcome) => (outcome, Duration::ZERO),
            None if is_early => return Err(Abort::Unavailable(why.clone())),
            None => {
                self.attempted_at = Some(Instant::now());
                (attempt.insert(attempt_in_background(&self.target)), patience)
            }
        };
        let failed = match outcome.recv_timeout(wait) {
            Ok(Ok(session)) => {
                log::info!("connected to {}", self.target.endpoint);
                self.state = State::Up(Box::new(session));
                return Ok(());
            }
            Err(RecvTimeoutError::Timeout) => return Err(Abort::Unavailable(why.clone())),
            Ok(Err(failed)) => {
                if let ConnectError::Replaced(found) = failed {
                    self.found_epoch = Some(found);
                }
                failed.to_string()
            }
            Err(RecvTimeoutError::Disconnected) => "no thread to connect on".to_owned(),
        };
        *attempt = None;
        let failed = format!("{}: {failed}", self.target.endpoint);
        if failed != *why {
            log::warn!("cannot connect to {failed}");
            *why = failed;
        }
        Err(Abort::Unavailable(why.clone()))
    }

    /// Whether the connection is there, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Gives the connection up. Returns whether it was there.
    pub(super) fn close(&mut self, why: &str) -> bool {
        let was_up = self.is_up();
        if was_up {
            self.state = State::Down { attempt: None, why: why.to_owned() };
        }
        was_up
    }

    /// Leaves no transaction open.
    pub(super) fn reset(&mut self) {
        if let State::Up(session) = &mut self.state
            && let Err(error) = session.run("ROLLBACK")
        {
            self.close(&error.to_string());
        }
    }

    /// Says something if nothing was said for a while, so that the server keeps the connection.
    pub(super) fn keep_alive(&mut self) {
        if self.used_at.elapsed() < KEEP_ALIVE_INTERVAL {
            return;
        }
        self.used_at = Instant::now();
        if let State::Up(session) = &mut self.state
            && let Err(error) = session.conn.ping()
        {
            self.close(&error.to_string());
        }
    }

    /// The epoch of the store that stands now where ours was.
    pub(super) fn found_epoch(&self) -> Option<u64> {
        self.found_epoch
    }
}

/// One at a time for each link; its time is bounded by the timeouts of connections.
fn attempt_in_background(target: &Arc<Target>) -> Receiver<Result<Session, ConnectError>> {
    let (done, outcome) = bounded(1);
    let target = target.clone();
    let spawned = std::thread::Builder::new().name("store-connect".to_owned()).spawn(move || {
        // Nobody waits any more if the link is gone.
        let _ = done.send(establish(&target));
    });
    if let Err(error) = spawned {
        log::error!("no thread to connect to the store on: {error}");
    }
    outcome
}

fn establish(target: &Target) -> Result<Session, ConnectError> {
    let mut session = connect(&target.endpoint, target.purpose).map_err(StoreError::Mysql)?;
    if let Some(allow_unsafe_durability) = target.allow_unsafe_durability {
        session.server.check(allow_unsafe_durability)?;
    }
    let epoch = store_epoch(&mut session)?;
    if epoch == target.store_epoch { Ok(session) } else { Err(ConnectError::Replaced(epoch)) }
}
