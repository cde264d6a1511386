//! What users change about their own accounts: profiles, passwords, devices. Knows no backend, and no
//! hash but as text.

use aldis_logic::job::{
    Generations, JobError, PresenceAudience, Revoked, Ticket, UpdateUser, WriteJob, Written,
};
use aldis_wire::{ConversationKey, DeviceClass, Epoch, Seq, UserId, pb};

use super::{Needs, Rows, get, put, tell_self};
use crate::record::{Key, LastSeen, Presence, Table};
use crate::refusal::{NO_SUCH_DEVICE, NO_SUCH_USER, OTHER_PASSWORD};

/// A user's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub username: String,
    pub nickname: String,
    pub avatar_url: String,
    pub password_phc: String,
    /// Tokens with another one are void.
    pub token_generation: u32,
}

/// The newest session of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewestSession {
    pub class: DeviceClass,
    pub epoch: Epoch,
    /// Empty: that is not known.
    pub device_id: String,
}

impl NewestSession {
    /// Whether it may be on the device, which had this class at its last login.
    fn may_be_on(&self, device_id: &str, class: DeviceClass) -> bool {
        self.device_id == device_id || (self.device_id.is_empty() && self.class == class)
    }
}

/// A device's row, as far as the rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownDevice {
    pub class: DeviceClass,
    pub token_generation: u32,
}

/// What the rules need for a job about accounts, besides the device that it names.
pub(super) fn needs(job: &WriteJob) -> Option<Needs> {
    match job {
        WriteJob::UpdateUser(job) => {
            let user = job.user;
            Some(Needs {
                conversations: vec![ConversationKey::own(user)],
                users: vec![user],
                profiles: vec![user],
                rows: vec![(Table::Presence, Key::from_slice(&[user.0]))],
                ..Needs::default()
            })
        }
        WriteJob::ChangePassword { user, .. } | WriteJob::EndDevice { user, .. } => {
            Some(Needs { users: vec![*user], profiles: vec![*user], ..Needs::default() })
        }
        WriteJob::NoteSeen { users } => {
            let row = |(user, _): &(UserId, u64)| (Table::LastSeen, Key::from_slice(&[user.0]));
            Some(Needs { rows: users.iter().map(row).collect(), ..Needs::default() })
        }
        _ => None,
    }
}

/// USER_UPDATE.
pub(super) fn update<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &UpdateUser,
) -> Result<Written, R::Stop> {
    let user = job.user;
    let before = rows.profile(user)?.ok_or(NO_SUCH_USER)?;
    let mut profile = before.clone();
    profile.nickname = job.nickname.clone().unwrap_or(profile.nickname);
    profile.avatar_url = job.avatar_url.clone().unwrap_or(profile.avatar_url);
    let mut presence: Presence = get(rows, &[user.0])?;
    let audience = job.audience.map_or(presence.audience, |audience| audience as u64);
    if (&profile, audience) == (&before, presence.audience) {
        return Ok(Written::Changed { seq: Seq(0) });
    }
    if audience != presence.audience {
        presence.audience = audience;
        put(rows, &[user.0], presence)?;
    }
    if profile != before {
        rows.set_profile(user, profile.clone())?;
    }
    let Profile { username, nickname, avatar_url, .. } = profile;
    let info = pb::UserInfo { user_id: user.0, username, nickname, avatar_url };
    let own = pb::OwnProfile { user: Some(info), presence_audience: shown(audience).into() };
    let placed = tell_self(rows, origin, user, pb::self_event::What::Profile(own))?;
    Ok(Written::Changed { seq: placed.seq })
}

fn shown(audience: u64) -> pb::PresenceAudience {
    match PresenceAudience::from_number(audience) {
        PresenceAudience::Friends => pb::PresenceAudience::PresenceToFriends,
        PresenceAudience::Everybody => pb::PresenceAudience::PresenceToEverybody,
        PresenceAudience::Nobody => pb::PresenceAudience::PresenceToNobody,
    }
}

/// DEVICE_REVOKE.
pub(super) fn end_device<R: Rows>(
    rows: &mut R,
    user: UserId,
    device_id: &str,
) -> Result<Written, R::Stop> {
    let device = rows.device(user, device_id)?.ok_or(NO_SUCH_DEVICE)?;
    rows.raise_device_generation(user, device_id)?;
    let mut sessions = rows.sessions(user)?;
    sessions.retain(|session| session.may_be_on(device_id, device.class));
    end(rows, user, sessions, Generations::default())
}

/// CHANGE_PASSWORD.
pub(super) fn change_password<R: Rows>(rows: &mut R, job: &WriteJob) -> Result<Written, R::Stop> {
    let WriteJob::ChangePassword { user, password_phc, old_phc, keep, device_id } = job else {
        return Err(JobError::Internal.into());
    };
    let mut profile = rows.profile(*user)?.ok_or(NO_SUCH_USER)?;
    if profile.password_phc != *old_phc {
        return Err(OTHER_PASSWORD.into());
    }
    profile.password_phc.clone_from(password_phc);
    profile.token_generation = profile.token_generation.saturating_add(1);
    let device = rows.device(*user, device_id)?.map_or(0, |device| device.token_generation);
    let generations = Generations { user: profile.token_generation, device };
    rows.set_profile(*user, profile)?;
    let mut sessions = rows.sessions(*user)?;
    sessions.retain(|session| (session.class, session.epoch) != *keep);
    end(rows, *user, sessions, generations)
}

fn end<R: Rows>(
    rows: &mut R,
    user: UserId,
    sessions: Vec<NewestSession>,
    generations: Generations,
) -> Result<Written, R::Stop> {
    let mut ended = Vec::with_capacity(sessions.len());
    for NewestSession { class, epoch, .. } in sessions {
        rows.set_revoked(user, class, epoch)?;
        ended.push((class, epoch));
    }
    Ok(Written::Revoked(Revoked { sessions: ended, generations }))
}

/// Sessions of these users began or ended.
pub(super) fn note_seen<R: Rows>(
    rows: &mut R,
    users: &[(UserId, u64)],
) -> Result<Written, R::Stop> {
    for &(user, seen_ms) in users {
        let known: LastSeen = get(rows, &[user.0])?;
        if seen_ms > known.seen_ms {
            put(rows, &[user.0], LastSeen { seen_ms })?;
        }
    }
    Ok(Written::Seen)
}
