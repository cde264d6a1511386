//! Answers questions, each from one snapshot. History has a file of its own. Knows no writer.

use std::path::PathBuf;

use aldis_logic::job::{
    Account, Credentials, Followed, Generations, JobError, LoginState, ReadJob, ReadResult,
    StoredMessage, SyncPage, UserHead,
};
use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{DeviceClass, Epoch, GroupId, MsgId, Seq, UserId, pb};
use rusqlite::{Connection, OptionalExtension, Row};
use smallvec::SmallVec;

use super::accounts::{self, ID_END};
use super::connection;
use super::failure::{Abort, Stop};
use super::index::Index;
use super::rows::{MESSAGE_BY_ID, message, number};
use crate::found::merged;
use crate::lists;
use crate::page::{PageBytes, blank};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_USER};
use crate::rules::Profile;
use crate::search::{search_messages, search_names};
use crate::sight;
use crate::traits::{Reader, StoreError};

/// Above every character a username may have; `name < prefix + this` is "begins with the prefix".
const ABOVE_ALL_CHARS: char = char::MAX;

/// A reader of a SQLite store.
pub struct SqliteReader {
    path: PathBuf,
    /// `None` after a failure that may have broken it.
    conn: Option<Connection>,
}

impl SqliteReader {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let conn = connection::open_for_reading(&path)?;
        Ok(Self { path, conn: Some(conn) })
    }

    fn connection(&mut self) -> Result<&Connection, Stop> {
        match &mut self.conn {
            Some(conn) => Ok(conn),
            closed => {
                let conn = connection::open_for_reading(&self.path)
                    .map_err(|error| Stop::Abort(Abort::Unavailable(error.to_string())))?;
                Ok(closed.insert(conn))
            }
        }
    }

    fn answer(&mut self, job: &ReadJob) -> Result<ReadResult, Stop> {
        let conn = self.connection()?;
        conn.prepare_cached("BEGIN")?.execute([])?;
        let result = Snapshot { conn }.answer(job);
        conn.prepare_cached("COMMIT")?.execute([])?;
        result
    }
}

impl Reader for SqliteReader {
    fn read(&mut self, job: &ReadJob) -> Result<ReadResult, JobError> {
        match self.answer(job) {
            Ok(found) => Ok(found),
            Err(Stop::Refuse(why)) => Err(why),
            Err(Stop::Abort(Abort::Poisoned(why))) => {
                log::error!("a question cannot be answered: {why}");
                Err(JobError::Internal)
            }
            Err(Stop::Abort(Abort::Unavailable(why))) => {
                // While it cannot even be opened again, one line is enough.
                if self.conn.take().is_some() {
                    log::error!("the store is unavailable: {why}");
                }
                Err(JobError::Unavailable)
            }
        }
    }
}

/// A transaction in which nothing changes.
pub(super) struct Snapshot<'a> {
    pub conn: &'a Connection,
}

impl Snapshot<'_> {
    fn answer(&mut self, job: &ReadJob) -> Result<ReadResult, Stop> {
        Ok(match job {
            ReadJob::Credentials { username } => {
                ReadResult::Credentials(self.credentials(username)?)
            }
            ReadJob::LoginState { user, device_id } => {
                ReadResult::LoginState(self.login_state(*user, device_id)?)
            }
            ReadJob::Heads { users } => ReadResult::Heads(self.heads(users)?),
            ReadJob::Sync { user, after, limit } => {
                ReadResult::Sync(self.sync(*user, *after, *limit)?)
            }
            ReadJob::Stream { reader, group, after, limit } => {
                ReadResult::Sync(self.stream(*reader, *group, *after, *limit)?)
            }
            ReadJob::StreamEnds { asks } => ReadResult::StreamEnds(self.stream_ends(asks)?),
            ReadJob::History { reader, conversation, range, limit } => {
                ReadResult::History(self.history(*reader, *conversation, *range, *limit)?)
            }
            ReadJob::Conversations { user, before, limit } => {
                ReadResult::Conversations(lists::conversations(self, *user, *before, *limit)?)
            }
            ReadJob::Pinned { user } => ReadResult::Conversations(lists::pinned(self, *user)?),
            ReadJob::FollowedStreams { user, after, limit } => {
                ReadResult::Conversations(lists::streams(self, *user, *after, *limit)?)
            }
            ReadJob::Receipts { reader, conversation, after, limit } => {
                let page = lists::receipts(self, *reader, *conversation, *after, *limit)?;
                ReadResult::Receipts(page)
            }
            ReadJob::Reactions { reader, conversation, conv_seq, after, limit } => {
                let place = (*conversation, *conv_seq);
                ReadResult::Reactions(lists::reactions(self, *reader, place, *after, *limit)?)
            }
            ReadJob::Users { users } => ReadResult::Users(self.users(users)?),
            ReadJob::FindUsers { prefix, limit } => {
                ReadResult::Users(self.find_users(prefix, *limit)?)
            }
            ReadJob::Groups { user, after, limit } => {
                ReadResult::Groups(self.groups(*user, *after, *limit)?)
            }
            ReadJob::Members { reader, group, after, limit } => {
                ReadResult::Members(self.members(*reader, *group, *after, *limit)?)
            }
            ReadJob::GroupRequests { reader, group, after, limit } => {
                let page = lists::group_requests(self, *reader, *group, *after, *limit)?;
                ReadResult::GroupRequests(page)
            }
            ReadJob::Sight { pairs } => ReadResult::Sight(sight::sights(self, pairs)?),
            ReadJob::Devices { user, limit } => {
                ReadResult::Devices(accounts::devices(self.conn, *user, *limit)?)
            }
            ReadJob::Account { user } => {
                let profile = accounts::profile(self.conn, *user)?.ok_or(NO_SUCH_USER)?;
                let Profile { username, password_phc, .. } = profile;
                ReadResult::Account(Account { username, password_phc })
            }
            ReadJob::Audience(job) => ReadResult::Audience(sight::audiences(self, job)?),
            ReadJob::Relations { user, list, after, limit } => {
                ReadResult::Relations(lists::relations(self, *user, *list, *after, *limit)?)
            }
            ReadJob::SearchMessages(job) => {
                ReadResult::SearchedMessages(search_messages(self, job)?)
            }
            ReadJob::SearchNames { user, names, query, after, limit } => {
                let page = search_names(self, *user, *names, query, *after, *limit)?;
                ReadResult::SearchedNames(page)
            }
        })
    }

    fn credentials(&self, username: &str) -> Result<Option<Credentials>, Stop> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT u.user_id, u.password_phc FROM im_username n
                 JOIN im_user u ON u.user_id = n.user_id WHERE n.name = ?",
            )?
            .query_row([username], |row| {
                Ok(Credentials { user: UserId(number(row, 0)?), password_phc: row.get(1)? })
            })
            .optional()?;
        Ok(found)
    }

    fn login_state(&self, user: UserId, device_id: &str) -> Result<LoginState, Stop> {
        let state = self
            .conn
            .prepare_cached(
                "SELECT u.username, u.nickname, d.cursor, u.token_generation, d.token_generation
                 FROM im_user u
                 LEFT JOIN im_device d ON d.user_id = u.user_id AND d.device_id = ?2
                 WHERE u.user_id = ?1",
            )?
            .query_row((user.0 as i64, device_id), |row| {
                Ok(LoginState {
                    head: Seq(0),
                    cursor: Seq(row.get::<_, Option<i64>>(2)?.unwrap_or(0) as u64),
                    generations: Generations {
                        user: row.get(3)?,
                        device: row.get::<_, Option<u32>>(4)?.unwrap_or(0),
                    },
                    username: row.get(0)?,
                    nickname: row.get(1)?,
                    streams: Vec::new(),
                })
            })
            .optional()?
            .ok_or(NO_SUCH_USER)?;
        let streams = self.followed(user, device_id)?;
        Ok(LoginState { head: self.mailbox_head(user)?, streams, ..state })
    }

    /// The streams of the groups that the user is in, with the cursors of a device.
    fn followed(&self, user: UserId, device_id: &str) -> Result<Vec<Followed>, Stop> {
        let mut statement = self.conn.prepare_cached(
            "SELECT f.group_id, f.start_seq, c.number, d.seq FROM im_follow f
             JOIN im_conversation c ON c.lo = 0 AND c.hi = f.group_id
             LEFT JOIN im_stream_cursor d
                 ON d.user_id = f.user_id AND d.device_id = ?2 AND d.group_id = f.group_id
             WHERE f.user_id = ?1 AND f.is_over = 0 ORDER BY f.group_id",
        )?;
        let mut rows = statement.query((user.0 as i64, device_id))?;
        let mut followed = Vec::new();
        while let Some(row) = rows.next()? {
            let last = Index::Conversations.last(self.conn, number(row, 2)?)?;
            let head = last.map_or(0, |last| last.position);
            let cursor = row.get::<_, Option<i64>>(3)?.unwrap_or(0) as u64;
            followed.push(Followed {
                group: GroupId(number(row, 0)?),
                start: Seq(number(row, 1)?),
                head: Seq(head),
                cursor: Seq(cursor.min(head)),
            });
        }
        Ok(followed)
    }

    fn heads(&self, users: &[UserId]) -> Result<Vec<UserHead>, Stop> {
        let mut exists = self.conn.prepare_cached("SELECT 1 FROM im_user WHERE user_id = ?")?;
        let mut sessions = self
            .conn
            .prepare_cached("SELECT class, epoch, revoked FROM im_session WHERE user_id = ?")?;
        let mut heads = Vec::with_capacity(users.len());
        for &user in users {
            if !exists.exists([user.0 as i64])? {
                continue;
            }
            let (mut epochs, mut revoked) = (SmallVec::new(), SmallVec::new());
            let mut rows = sessions.query([user.0 as i64])?;
            while let Some(row) = rows.next()? {
                if let Some(class) = DeviceClass::from_number(row.get(0)?) {
                    epochs.push((class, Epoch(number(row, 1)?)));
                    let revoked_epoch = Epoch(number(row, 2)?);
                    revoked.extend((revoked_epoch.0 > 0).then_some((class, revoked_epoch)));
                }
            }
            let (head, streams) = (self.mailbox_head(user)?, self.followed(user, "")?);
            heads.push(UserHead { user, head, epochs, revoked, streams });
        }
        Ok(heads)
    }

    /// Only users below 2^31 can have a mailbox.
    pub(super) fn mailbox_head(&self, user: UserId) -> Result<Seq, Stop> {
        if user.0 >= ID_END {
            return Ok(Seq(0));
        }
        let last = Index::Mailboxes.last(self.conn, user.0)?;
        Ok(Seq(last.map_or(0, |last| last.position)))
    }

    fn sync(&self, user: UserId, after: Seq, limit: usize) -> Result<SyncPage, Stop> {
        let head = self.mailbox_head(user)?;
        let limit = limit.min(SYNC_ENTRIES_MAX) as u64;
        let last = after.0.saturating_add(limit).min(head.0);
        let mut entries = Vec::new();
        if after.0 < last {
            let ids = Index::Mailboxes.ids(self.conn, user.0, after.0 + 1, last)?;
            let cleared = self.all_cleared(user)?;
            let mut bytes = PageBytes::default();
            for (seq, id) in (after.0 + 1..).zip(ids) {
                let mut message = self.message(id)?;
                if cleared.get(&message.conversation).is_some_and(|&at| message.conv_seq.0 <= at) {
                    blank(&mut message);
                }
                if !bytes.take(&message) {
                    break;
                }
                entries.push((Seq(seq), message));
            }
        }
        Ok(SyncPage { entries, head, ..SyncPage::default() })
    }

    pub(super) fn message(&self, id: MsgId) -> Result<StoredMessage, Stop> {
        let mut statement = self.conn.prepare_cached(MESSAGE_BY_ID)?;
        Ok(statement.query_row([id.0 as i64], message)?)
    }

    pub(super) fn users(&self, users: &[UserId]) -> Result<Vec<pb::UserInfo>, Stop> {
        let mut statement = self.conn.prepare_cached(
            "SELECT user_id, username, nickname, avatar_url FROM im_user WHERE user_id = ?",
        )?;
        let mut found = Vec::with_capacity(users.len());
        for user in users {
            found.extend(statement.query_row([user.0 as i64], user_info).optional()?);
        }
        Ok(found)
    }

    fn find_users(&self, prefix: &str, limit: usize) -> Result<Vec<pb::UserInfo>, Stop> {
        let range = (prefix, format!("{prefix}{ABOVE_ALL_CHARS}"), limit as i64);
        let find = |sql| {
            let mut statement = self.conn.prepare_cached(sql)?;
            let found = statement.query_map(range.clone(), user_info)?;
            found.collect::<rusqlite::Result<Vec<_>>>()
        };
        let by_username = find(
            "SELECT u.user_id, u.username, u.nickname, u.avatar_url FROM im_username n
             JOIN im_user u ON u.user_id = n.user_id
             WHERE n.name >= ? AND n.name < ? ORDER BY n.name LIMIT ?",
        )?;
        let by_nickname = find(
            "SELECT user_id, username, nickname, avatar_url FROM im_user
             WHERE nick_key >= ? AND nick_key < ? ORDER BY nick_key, user_id LIMIT ?",
        )?;
        Ok(merged(by_username, by_nickname, limit))
    }

    pub(super) fn groups(
        &self,
        user: UserId,
        after: GroupId,
        limit: usize,
    ) -> Result<pb::GroupListResp, Stop> {
        let mut groups = self
            .conn
            .prepare_cached(
                "SELECT g.group_id, g.name, g.owner_id, g.member_count, m.role, g.created_ms,
                     coalesce(s.announcement, ''), coalesce(s.join_mode, 0), g.muted,
                     g.begin_seq > 0, coalesce(s.open_seq, 0) > 0
                 FROM im_group_member m JOIN im_group g ON g.group_id = m.group_id
                 LEFT JOIN im_group_setting s ON s.group_id = m.group_id
                 WHERE m.user_id = ? AND m.group_id > ? AND m.leave_seq = 0
                 ORDER BY m.group_id LIMIT ?",
            )?
            .query_map((user.0 as i64, id_or_max(after.0), limit as i64 + 1), |row| {
                Ok(pb::GroupInfo {
                    group_id: number(row, 0)?,
                    name: row.get(1)?,
                    owner_id: number(row, 2)?,
                    member_count: row.get(3)?,
                    role: row.get(4)?,
                    create_time_ms: number(row, 5)?,
                    announcement: row.get(6)?,
                    join_mode: row.get(7)?,
                    all_muted: row.get(8)?,
                    is_stream: row.get(9)?,
                    open_history: row.get(10)?,
                })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let more = groups.len() > limit;
        groups.truncate(limit);
        Ok(pb::GroupListResp { groups, more })
    }

    fn members(
        &self,
        reader: UserId,
        group: GroupId,
        after: UserId,
        limit: usize,
    ) -> Result<pb::GroupMembersResp, Stop> {
        let group = group.0 as i64;
        let is_member = self
            .conn
            .prepare_cached(
                "SELECT 1 FROM im_group_member
                 WHERE group_id = ? AND user_id = ? AND leave_seq = 0",
            )?
            .exists((group, reader.0 as i64))?;
        if !is_member {
            return Err(NO_SUCH_GROUP.into());
        }
        let mut members = self
            .conn
            .prepare_cached(
                "SELECT user_id, role, joined_ms, muted_until_ms FROM im_group_member
                 WHERE group_id = ? AND user_id > ? AND leave_seq = 0 ORDER BY user_id LIMIT ?",
            )?
            .query_map((group, id_or_max(after.0), limit as i64 + 1), |row| {
                Ok(pb::GroupMember {
                    user_id: number(row, 0)?,
                    role: row.get(1)?,
                    join_time_ms: number(row, 2)?,
                    muted_until_ms: number(row, 3)?,
                })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let more = members.len() > limit;
        members.truncate(limit);
        Ok(pb::GroupMembersResp { members, more })
    }
}

fn user_info(row: &Row<'_>) -> rusqlite::Result<pb::UserInfo> {
    Ok(pb::UserInfo {
        user_id: number(row, 0)?,
        username: row.get(1)?,
        nickname: row.get(2)?,
        avatar_url: row.get(3)?,
    })
}

/// The bound "above this" for ids of clients, which may be beyond what the database can hold.
pub(super) fn id_or_max(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
