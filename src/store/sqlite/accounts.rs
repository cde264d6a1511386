//! Users, devices and sessions. Knows nothing of messages but mailbox heads.

use aldis_logic::job::{Device, Generations, NewUser, OpenSession, SessionOpened, Written};
use aldis_wire::{DeviceClass, Epoch, GroupId, Seq, UserId};
use rusqlite::{Connection, OptionalExtension};

use super::batch::Batch;
use super::failure::{Stop, damaged};
use super::rows::{number, small_number};
use crate::found::nick_key;
use crate::refusal::{NAME_TAKEN, NO_SUCH_DEVICE, NO_SUCH_USER, TOKEN_REVOKED};
use crate::rules::{KnownDevice, NewestSession, Profile};

/// Ids stay below this, so that they can be packed with a seq.
pub(super) const ID_END: u64 = 1 << 31;

/// Takes `count` numbers of a sequence and returns the first. They are taken in the caller's
/// transaction: no other process can take them, and a rollback gives them back.
pub(super) fn take_ids(conn: &Connection, sequence: &str, count: u64) -> Result<u64, Stop> {
    let end = conn
        .prepare_cached(
            "UPDATE im_sequence SET next_id = next_id + ? WHERE name = ? RETURNING next_id",
        )?
        .query_row((count as i64, sequence), |row| number(row, 0))?;
    if end > ID_END {
        return Err(damaged("a sequence of ids is used up"));
    }
    Ok(end - count)
}

/// The user of a name.
pub(super) fn user_by_name(conn: &Connection, name: &str) -> rusqlite::Result<Option<UserId>> {
    conn.prepare_cached("SELECT user_id FROM im_username WHERE name = ?")?
        .query_row([name], |row| number(row, 0).map(UserId))
        .optional()
}

/// Writes a user under an id that was taken for it.
pub(super) fn insert_user(
    conn: &Connection,
    id: UserId,
    user: &NewUser,
    now_ms: u64,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO im_user
             (user_id, username, nickname, nick_key, password_phc, request_id, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute((
        id.0 as i64,
        &user.username,
        &user.nickname,
        nick_key(&user.nickname),
        &user.password_phc,
        user.request_id.0,
        now_ms as i64,
    ))?;
    conn.prepare_cached("INSERT INTO im_username (name, user_id) VALUES (?, ?)")?
        .execute((&user.username, id.0 as i64))?;
    Ok(())
}

impl Batch<'_> {
    /// REGISTER.
    pub(super) fn register(&mut self, user: &NewUser) -> Result<Written, Stop> {
        if let Some(taken) = user_by_name(self.conn, &user.username)? {
            let is_repeat = self
                .conn
                .prepare_cached("SELECT 1 FROM im_user WHERE user_id = ? AND request_id = ?")?
                .exists((taken.0 as i64, user.request_id.0))?;
            return if is_repeat { Ok(Written::Registered(taken)) } else { Err(NAME_TAKEN.into()) };
        }
        let id = UserId(take_ids(self.conn, "user", 1)?);
        insert_user(self.conn, id, user, self.now_ms)?;
        self.caches.users.insert(id, ());
        Ok(Written::Registered(id))
    }

    /// LOGIN.
    pub(super) fn open_session(&mut self, job: &OpenSession) -> Result<Written, Stop> {
        let user = job.user.0 as i64;
        let user_generation = self
            .conn
            .prepare_cached("SELECT token_generation FROM im_user WHERE user_id = ?")?
            .query_row([user], |row| small_number(row, 0))
            .optional()?
            .ok_or(NO_SUCH_USER)?;
        let device_generation = self
            .conn
            .prepare_cached(
                "SELECT token_generation FROM im_device WHERE user_id = ? AND device_id = ?",
            )?
            .query_row((user, &job.device_id), |row| small_number(row, 0))
            .optional()?
            .unwrap_or(0);
        let generations = Generations { user: user_generation, device: device_generation };
        if job.generations.is_some_and(|asked| asked != generations) {
            return Err(TOKEN_REVOKED.into());
        }
        let class = job.class.number();
        self.conn
            .prepare_cached(
                "INSERT INTO im_device (user_id, device_id, class, name, login_ms)
                 VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (user_id, device_id) DO UPDATE SET class = excluded.class,
                     name = excluded.name, login_ms = excluded.login_ms",
            )?
            .execute((user, &job.device_id, class, &job.device_name, self.now_ms as i64))?;
        let before: u64 = self
            .conn
            .prepare_cached("SELECT epoch FROM im_session WHERE user_id = ? AND class = ?")?
            .query_row((user, class), |row| number(row, 0))
            .optional()?
            .unwrap_or(0);
        let epoch = self
            .conn
            .prepare_cached(
                "INSERT INTO im_session (user_id, class, epoch, issued, device_id)
                 VALUES (?, ?, 1, 1, ?)
                 ON CONFLICT (user_id, class)
                 DO UPDATE SET epoch = MAX(epoch, issued) + 1, issued = MAX(epoch, issued) + 1,
                     device_id = excluded.device_id
                 RETURNING epoch",
            )?
            .query_row((user, class, &job.device_id), |row| number(row, 0))?;
        let (user, class) = (job.user, job.class);
        let (epoch, before) = (Epoch(epoch), Epoch(before));
        Ok(Written::SessionOpened(SessionOpened { user, class, epoch, before, generations }))
    }

    /// A LOGIN that came to nothing. A newer one is not touched.
    pub(super) fn release_session(
        &mut self,
        user: UserId,
        class: DeviceClass,
        epoch: Epoch,
        before: Epoch,
    ) -> Result<Written, Stop> {
        self.conn
            .prepare_cached(
                "UPDATE im_session SET epoch = ?, device_id = ''
                 WHERE user_id = ? AND class = ? AND epoch = ?",
            )?
            .execute((before.0 as i64, user.0 as i64, class.number(), epoch.0 as i64))?;
        Ok(Written::SessionReleased)
    }

    /// LOGOUT. A device that never logged in has no tokens to end.
    pub(super) fn revoke_device(&mut self, user: UserId, device_id: &str) -> Result<Written, Stop> {
        self.conn
            .prepare_cached(
                "UPDATE im_device SET token_generation = token_generation + 1
                 WHERE user_id = ? AND device_id = ?",
            )?
            .execute((user.0 as i64, device_id))?;
        Ok(Written::DeviceRevoked)
    }

    /// MARK_DELIVERED. A cursor never passes the mailbox's head.
    pub(super) fn mark_delivered(
        &mut self,
        user: UserId,
        device_id: &str,
        seq: Seq,
    ) -> Result<Written, Stop> {
        if !self.user_exists(user)? {
            return Err(NO_SUCH_DEVICE.into());
        }
        let cursor = seq.0.min(*self.head(user)?);
        let known = self
            .conn
            .prepare_cached(
                "UPDATE im_device SET cursor = max(cursor, ?) WHERE user_id = ? AND device_id = ?",
            )?
            .execute((cursor as i64, user.0 as i64, device_id))?;
        if known == 0 { Err(NO_SUCH_DEVICE.into()) } else { Ok(Written::Marked) }
    }

    pub(super) fn mark_stream(
        &mut self,
        user: UserId,
        device_id: &str,
        group: GroupId,
        seq: Seq,
    ) -> Result<Written, Stop> {
        self.conn
            .prepare_cached(
                "INSERT INTO im_stream_cursor (user_id, device_id, group_id, seq)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET seq = max(seq, ?4)",
            )?
            .execute((user.0 as i64, device_id, group.0 as i64, seq.0 as i64))?;
        Ok(Written::Marked)
    }

    pub(super) fn user_exists(&mut self, user: UserId) -> Result<bool, Stop> {
        if self.caches.users.get_mut(user).is_some() {
            return Ok(true);
        }
        // Ids come from clients: those that cannot be packed or bound cannot exist either.
        let exists = user.0 < ID_END
            && self
                .conn
                .prepare_cached("SELECT 1 FROM im_user WHERE user_id = ?")?
                .exists([user.0 as i64])?;
        if exists {
            self.caches.users.insert(user, ());
        }
        Ok(exists)
    }
}

/// A user's row.
pub(super) fn profile(conn: &Connection, user: UserId) -> Result<Option<Profile>, Stop> {
    let found = conn
        .prepare_cached(
            "SELECT username, nickname, avatar_url, password_phc, token_generation
             FROM im_user WHERE user_id = ?",
        )?
        .query_row([user.0 as i64], |row| {
            Ok(Profile {
                username: row.get(0)?,
                nickname: row.get(1)?,
                avatar_url: row.get(2)?,
                password_phc: row.get(3)?,
                token_generation: small_number(row, 4)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Changes it.
pub(super) fn set_profile(conn: &Connection, user: UserId, new: &Profile) -> Result<(), Stop> {
    conn.prepare_cached(
        "UPDATE im_user SET nickname = ?, nick_key = ?, avatar_url = ?, password_phc = ?,
             token_generation = ? WHERE user_id = ?",
    )?
    .execute((
        &new.nickname,
        nick_key(&new.nickname),
        &new.avatar_url,
        &new.password_phc,
        new.token_generation,
        user.0 as i64,
    ))?;
    Ok(())
}

/// A device's row.
pub(super) fn device(
    conn: &Connection,
    user: UserId,
    device_id: &str,
) -> Result<Option<KnownDevice>, Stop> {
    let found = conn
        .prepare_cached(
            "SELECT class, token_generation FROM im_device WHERE user_id = ? AND device_id = ?",
        )?
        .query_row((user.0 as i64, device_id), |row| Ok((row.get(0)?, small_number(row, 1)?)))
        .optional()?;
    let Some((class, token_generation)) = found else { return Ok(None) };
    let class = DeviceClass::from_number(class).ok_or_else(|| damaged("a class"))?;
    Ok(Some(KnownDevice { class, token_generation }))
}

/// The newest session of each class.
pub(super) fn sessions(conn: &Connection, user: UserId) -> Result<Vec<NewestSession>, Stop> {
    let mut statement = conn.prepare_cached(
        "SELECT class, epoch, device_id FROM im_session WHERE user_id = ? ORDER BY class",
    )?;
    let mut rows = statement.query([user.0 as i64])?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        let class = DeviceClass::from_number(row.get(0)?).ok_or_else(|| damaged("a class"))?;
        let (epoch, device_id) = (Epoch(number(row, 1)?), row.get(2)?);
        sessions.push(NewestSession { class, epoch, device_id });
    }
    Ok(sessions)
}

/// Sessions up to this epoch are over.
pub(super) fn set_revoked(
    conn: &Connection,
    user: UserId,
    class: DeviceClass,
    epoch: Epoch,
) -> Result<(), Stop> {
    conn.prepare_cached(
        "UPDATE im_session SET revoked = max(revoked, ?) WHERE user_id = ? AND class = ?",
    )?
    .execute((epoch.0 as i64, user.0 as i64, class.number()))?;
    Ok(())
}

/// The user's devices, the last login first.
pub(super) fn devices(conn: &Connection, user: UserId, limit: usize) -> Result<Vec<Device>, Stop> {
    let mut statement = conn.prepare_cached(
        "SELECT d.device_id, d.class, d.name, d.login_ms, s.epoch
         FROM im_device d LEFT JOIN im_session s ON s.user_id = d.user_id AND s.class = d.class
             AND s.device_id = d.device_id AND s.epoch > s.revoked
         WHERE d.user_id = ? ORDER BY d.login_ms DESC, d.device_id LIMIT ?",
    )?;
    let mut rows = statement.query((user.0 as i64, limit as i64))?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        devices.push(Device {
            device_id: row.get(0)?,
            class: DeviceClass::from_number(row.get(1)?).ok_or_else(|| damaged("a class"))?,
            name: row.get(2)?,
            login_ms: number(row, 3)?,
            epoch: row.get::<_, Option<i64>>(4)?.map(|epoch| Epoch(epoch as u64)),
        });
    }
    Ok(devices)
}
