//! What a client is told at its start, and what survives its end. Data only.

use aldis_wire::DeviceClass;
use serde::{Deserialize, Serialize};

use super::limits::WINDOW_DEFAULT;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Chosen once per installation, at most 64 bytes.
    pub device_id: String,
    /// One live session of a user per class.
    pub device_class: DeviceClass,
    /// Shown in lists of devices; may be empty.
    pub device_name: String,
    /// Where a stream starts of which no position is saved.
    pub start: Start,
    /// Sends on the wire at once, at most `limits::WINDOW_MAX`.
    pub window: usize,
    /// Applied entries count as delivered. Off: the application calls `mark_delivered`.
    pub auto_mark: bool,
    /// Record [`super::Observation`]s; somebody must take them.
    pub observe: bool,
    /// Entries of one MSG_SYNC page; 0: as many as the server gives.
    pub sync_limit: u32,
}

impl Config {
    /// Defaults for this device.
    pub fn new(device_id: impl Into<String>, device_class: DeviceClass) -> Self {
        Self {
            device_id: device_id.into(),
            device_class,
            device_name: String::new(),
            start: Start::Cursor { behind_max: u64::MAX },
            window: WINDOW_DEFAULT,
            auto_mark: true,
            observe: false,
            sync_limit: 0,
        }
    }
}

/// Where a stream starts of which no position is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its beginning: everything is synced.
    Zero,
    /// At the device's last MARK_DELIVERED, as the server remembers it, but at most so many entries
    /// below the head: a new device of an old user need not fetch years.
    Cursor {
        /// `u64::MAX`: however many.
        behind_max: u64,
    },
    /// At its head: only what is new.
    Head,
}

/// How to log in.
#[derive(Clone)]
pub enum Credentials {
    /// By name; the token of the answer is used for later logins, and the password again when the
    /// token is no longer accepted.
    Password {
        /// As typed.
        username: String,
        /// As typed.
        password: String,
    },
    /// With the token of the saved state.
    SavedToken,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::Password { username, .. } => {
                f.debug_struct("Password").field("username", username).finish_non_exhaustive()
            }
            Credentials::SavedToken => f.write_str("SavedToken"),
        }
    }
}

/// Positions and token, to be kept by the application; the token is a secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// 0: no session yet.
    #[serde(default)]
    pub user_id: u64,
    /// For the next LOGIN; empty: none.
    #[serde(default)]
    pub token: String,
    /// Of the store that the positions belong to.
    #[serde(default)]
    pub store_epoch: u64,
    /// (stream, highest seq applied), ascending by stream.
    #[serde(default)]
    pub streams: Vec<(u64, u64)>,
}

impl std::fmt::Debug for SavedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SavedState")
            .field("user_id", &self.user_id)
            .field("store_epoch", &self.store_epoch)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}
