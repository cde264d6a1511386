//! Users, devices and sessions: what is asked of the store, what comes of it.

use aldis_wire::limits::LOGIN_MS_MAX;
use aldis_wire::{DeviceClass, Epoch, RequestId, UserId};

use crate::now::Now;

/// A user to create.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// In its comparable form (`aldis_wire::name::normalize_username`).
    pub username: String,
    /// As shown.
    pub nickname: String,
    /// PHC string of the password; empty: no password login.
    pub password_phc: String,
    /// A repeat with the same name and id returns the user it made.
    pub request_id: RequestId,
}

/// A session to open: takes the next epoch of (user, class).
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Whose.
    pub user: UserId,
    /// On which device; created when unknown.
    pub device_id: String,
    /// Its class now.
    pub class: DeviceClass,
    /// Its name now.
    pub device_name: String,
    /// With a token: the generations it names; others than the stored ones are BAD_CREDENTIALS.
    pub generations: Option<Generations>,
    /// When LOGIN arrived, mono ms.
    pub asked_ms: u64,
}

impl OpenSession {
    /// Whether the client has given up by now: then the session would end a newer one, which the
    /// client has elsewhere. A node that stood still finds such logins in its queues.
    pub fn is_too_late(&self, now: Now) -> bool {
        now.mono_ms.saturating_sub(self.asked_ms) > LOGIN_MS_MAX
    }
}

/// What makes tokens revocable: a token holds as long as both are what they were. A device that
/// the store does not know yet has generation 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// Raised by a change of password.
    pub user: u32,
    /// Raised by LOGOUT and by revoking the device.
    pub device: u32,
}

/// What LOGIN needs to know of a session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOpened {
    /// Whose it is: the connection that asked may be gone.
    pub user: UserId,
    /// Of which class.
    pub class: DeviceClass,
    /// Its epoch.
    pub epoch: Epoch,
    /// The newest one before; 0: there was none.
    pub before: Epoch,
    /// For its token.
    pub generations: Generations,
}

/// A change of a user's profile. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateUser {
    /// Whose.
    pub user: UserId,
    /// As shown.
    pub nickname: Option<String>,
    /// May be empty.
    pub avatar_url: Option<String>,
    /// See there.
    pub audience: Option<PresenceAudience>,
}

/// Who may see whether a user is online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum PresenceAudience {
    /// Who is a friend as the user is one of theirs.
    #[default]
    Friends = 0,
    /// Everybody but those who block or are blocked.
    Everybody = 1,
    /// Only the user.
    Nobody = 2,
}

/// What ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Sessions of these classes up to these epochs are over.
    pub sessions: Vec<(DeviceClass, Epoch)>,
    /// For a token of the session that goes on.
    pub generations: Generations,
}

impl PresenceAudience {
    /// The audience with this number, or the one that sees least of those that there are by default.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => PresenceAudience::Everybody,
            2 => PresenceAudience::Nobody,
            _ => PresenceAudience::Friends,
        }
    }
}
