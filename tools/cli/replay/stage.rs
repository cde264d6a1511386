//! What all stages of a replay share: the people and their accounts, the pool, the clock that says
//! when nothing moves any more.

use std::time::{Duration, Instant};

use aldis_client::ClientError;
use aldis_client::core::{Config, Credentials, OfflineReason, RequestError, SavedState, Start};
use aldis_wire::{Code, DeviceClass};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::compare::{Comparison, Directory, Reading};
use super::pool::{ConnNo, Pool};
use super::script::Script;

/// Longest wait without looking around.
pub const TICK: Duration = Duration::from_millis(50);
/// People on their way to a session at once: a password costs the server some 13 ms of a core, and
/// it closes connections that are not logged in after 5 s.
pub const LOGINS_MAX: usize = 32;

/// One person of the script on the server.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// On the server.
    pub username: String,
    /// As others see it.
    pub nickname: String,
    /// Whether the account is known to exist.
    pub is_registered: bool,
    /// Position and token of the live device between two batches.
    pub saved: SavedState,
    /// Head of the mailbox before this replay; `None` before the first login.
    pub base_seq: Option<u64>,
    /// What came live.
    pub live: Reading,
}

/// Everything a replay knows.
pub struct Replay<'a> {
    /// The file.
    pub script: &'a Script,
    /// By index of the script.
    pub people: Vec<Person>,
    /// Password of all of them.
    pub password: String,
    /// Who is who.
    pub directory: Directory,
    /// What was sent and read.
    pub comparison: Comparison<'a>,
    /// All connections.
    pub pool: Pool,
    /// Where that is, for errors.
    pub server: String,
    /// How long nothing may move.
    pub patience: Duration,
    /// When something moved last.
    pub moved_at: Instant,
    /// Lines that came live by a sync, because a push was left out.
    pub repaired_count: usize,
}

impl Replay<'_> {
    /// A connection for a person's device, known to the pool, at rest.
    pub fn open(&mut self, person: usize, class: DeviceClass) -> anyhow::Result<ConnNo> {
        let is_live = class == LIVE_CLASS;
        let mut config = Config::new(if is_live { "replay-live" } else { "replay-sync" }, class);
        config.start = if is_live { Start::Head } else { Start::Zero };
        let saved = match self.people.get_mut(person) {
            Some(person) if is_live => std::mem::take(&mut person.saved),
            _ => SavedState::default(),
        };
        Ok(self.pool.open(config, saved)?)
    }

    /// How a person logs in.
    pub fn credentials(&self, person: usize) -> Credentials {
        let username = self.people.get(person).map(|p| p.username.clone()).unwrap_or_default();
        Credentials::Password { username, password: self.password.clone() }
    }

    /// Something moved.
    pub fn touch(&mut self) {
        self.moved_at = Instant::now();
    }

    /// Whether nothing has moved for so long that waiting is no use.
    pub fn is_stuck(&self) -> bool {
        self.moved_at.elapsed() > self.patience
    }

    /// When nothing has moved for too long: whether that is because the server is gone.
    pub fn check_reachable(&self) -> Result<(), ClientError> {
        if !self.is_stuck() || self.pool.is_any_online() {
            return Ok(());
        }
        let reason = "it was there and did not come back".to_owned();
        Err(ClientError::Unreachable { server: self.server.clone(), reason })
    }

    /// The error of a connection that did not open, unless the server was there before: then it is
    /// being restarted, which a replay survives.
    pub fn check_offline(&self, no: ConnNo, reason: OfflineReason) -> Result<(), ClientError> {
        let was_there = self.directory.user_ids.iter().any(|id| *id != 0);
        if reason != OfflineReason::ConnectFailed || was_there {
            return Ok(());
        }
        let reason = self.pool.last_error(no).unwrap_or_else(|| "no answer".to_owned());
        Err(ClientError::Unreachable { server: self.server.clone(), reason })
    }
}

/// Class of the device that sends and listens.
pub const LIVE_CLASS: DeviceClass = DeviceClass::Desktop;
/// Class of the device that reads everything back.
pub const SYNC_CLASS: DeviceClass = DeviceClass::Phone;

/// How long to wait before a request is repeated.
pub fn retry_pause(error: &RequestError) -> Duration {
    match error {
        RequestError::Refused { retry_after_ms, .. } => {
            TICK.max(Duration::from_millis(u64::from(*retry_after_ms)))
        }
        RequestError::Lost => TICK,
    }
}

/// The error of a refused login.
pub fn refused(code: Code, message: String) -> ClientError {
    ClientError::Refused { code, message, maybe_done: false }
}

/// A progress bar on standard error, if that is a terminal.
pub fn progress(length: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    let template = "{prefix:>12} [{bar:30}] {pos}/{len} {per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar
}
