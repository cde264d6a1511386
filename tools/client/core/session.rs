//! The session's own clockwork: login, heartbeats, token refresh, delivery marks. Knows no frames.

use aldis_wire::pb;

use super::limits::{
    HEARTBEAT_MS_DEFAULT, HEARTBEAT_MS_MAX, HEARTBEAT_MS_MIN, MARK_ENTRIES, MARK_MS,
    SYNC_PAUSE_MS_MAX,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    LoggedOut,
    LoginOnWire,
    Online,
}

/// One connection's session.
#[derive(Debug, Default)]
pub(super) struct Session {
    phase: Phase,
    heartbeat_ms: u64,
    heartbeat_at: Option<u64>,
    pub(super) heartbeat_due: bool,
    pub(super) heartbeat_on_wire: bool,
    refresh_at: Option<u64>,
    /// The server's Unix time minus `now`, ms: its clock counts for its tokens, not ours.
    server_offset_ms: i64,
    pub(super) refresh_due: bool,
    /// After GOAWAY: leave at this time at the latest, then wait so long.
    pub(super) leaving: Option<Leaving>,
}

/// The node is going away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) at: u64,
    pub(super) pause_ms: u64,
}

impl Session {
    pub(super) fn is_online(&self) -> bool {
        self.phase == Phase::Online
    }

    pub(super) fn is_logged_out(&self) -> bool {
        self.phase == Phase::LoggedOut
    }

    pub(super) fn handle_login_sent(&mut self) {
        self.phase = Phase::LoginOnWire;
    }

    pub(super) fn handle_login_ok(&mut self, now: u64, resp: &pb::LoginResp) {
        self.phase = Phase::Online;
        let asked_ms = match resp.heartbeat_interval_ms {
            0 => HEARTBEAT_MS_DEFAULT,
            ms => u64::from(ms),
        };
        self.heartbeat_ms = asked_ms.clamp(HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX);
        self.heartbeat_at = Some(now.saturating_add(self.heartbeat_ms));
        self.server_offset_ms = (resp.server_time_ms as i64).saturating_sub(now as i64);
        self.schedule_refresh(now, resp.token_expires_ms);
    }

    /// Asks for a new token when three quarters of its life are over.
    pub(super) fn schedule_refresh(&mut self, now: u64, expires_ms: u64) {
        let server_time_ms = (now as i64).saturating_add(self.server_offset_ms).max(0) as u64;
        let life_ms = expires_ms.saturating_sub(server_time_ms);
        self.refresh_at = (life_ms > 0).then(|| now.saturating_add(life_ms / 4 * 3));
    }

    /// Ask for the heads now.
    pub(super) fn want_heartbeat(&mut self) {
        self.heartbeat_due = true;
    }

    pub(super) fn handle_timeout(&mut self, now: u64) {
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            self.heartbeat_at = Some(now.saturating_add(self.heartbeat_ms));
            self.heartbeat_due = true;
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.refresh_due = true;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let leave_at = self.leaving.map(|leaving| leaving.at);
        [self.heartbeat_at, self.refresh_at, leave_at].into_iter().flatten().min()
    }
}

/// How far a stream's entries were marked as delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    wanted: u64,
    confirmed: u64,
    /// When the first unmarked entry has waited long enough.
    due_at: Option<u64>,
    is_due: bool,
    on_wire: bool,
    /// The last one was refused: the next one waits for its time, however many there are.
    refused: bool,
}

impl Mark {
    pub(super) fn new(seq: u64) -> Self {
        Self {
            wanted: seq,
            confirmed: seq,
            due_at: None,
            is_due: false,
            on_wire: false,
            refused: false,
        }
    }

    pub(super) fn want(&mut self, now: u64, seq: u64) {
        if seq > self.wanted {
            self.wanted = seq;
            if !self.is_due {
                self.due_at.get_or_insert(now.saturating_add(MARK_MS));
            }
        }
    }

    /// The seq to mark, if it is time.
    pub(super) fn poll(&self) -> Option<u64> {
        let many = !self.refused && self.wanted.saturating_sub(self.confirmed) >= MARK_ENTRIES;
        ((self.is_due || many) && !self.on_wire).then_some(self.wanted)
    }

    pub(super) fn handle_sent(&mut self) {
        self.on_wire = true;
        self.is_due = false;
        self.due_at = None;
    }

    pub(super) fn handle_ok(&mut self, now: u64, seq: u64) {
        self.on_wire = false;
        self.refused = false;
        self.confirmed = self.confirmed.max(seq);
        if self.wanted > self.confirmed {
            self.due_at.get_or_insert(now.saturating_add(MARK_MS));
        }
    }

    /// The server may be asked again after a while; a mark is never urgent.
    pub(super) fn handle_refused(&mut self, now: u64) {
        self.on_wire = false;
        self.refused = true;
        self.due_at = Some(now.saturating_add(SYNC_PAUSE_MS_MAX));
    }

    pub(super) fn handle_disconnected(&mut self, now: u64) {
        self.on_wire = false;
        if self.wanted > self.confirmed && !self.is_due {
            self.due_at = Some(now.saturating_add(MARK_MS));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: u64) {
        if self.due_at.is_some_and(|at| at <= now) {
            self.due_at = None;
            self.is_due = true;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.due_at
    }
}
