//! Questions that have no pages of messages: accounts, heads, lists. Each is one packet. Knows
//! tables, not what happens when one of them cannot be answered.

use std::collections::HashMap;

use aldis_logic::job::{Account, Credentials, Device, Generations, LoginState, UserHead};
use aldis_wire::{DeviceClass, Epoch, GroupId, MsgId, Seq, UserId, pb};
use foldhash::fast::RandomState;
use mysql::Row;
use smallvec::SmallVec;

use super::claim::NOW_MS;
use super::connection::Session;
use super::durable::is_fresh;
use super::failure::{Abort, Stop, damaged};
use super::rows::{bytes, number, small_number, take, text};
use super::sql_text::SqlText;
use crate::found::merged;
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_USER};

/// Above every character a username may have; `name < prefix + this` is "begins with the prefix".
const ABOVE_ALL_CHARS: char = char::MAX;

/// Begins a transaction in which nothing changes.
pub(super) const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// A mailbox's counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: u64,
    /// Its newest entry may not be on disk yet.
    pub is_fresh: bool,
}

impl Head {
    /// From [`HEAD_COLUMNS`], which begin at `first`.
    pub(super) fn read(row: &mut Row, first: usize) -> Result<Self, Abort> {
        let Some(seq) = take(row, first)? else { return Ok(Self::default()) };
        let newest: Option<u64> = take(row, first + 1)?;
        let now_ms = number(row, first + 2)?;
        Ok(Self { seq, is_fresh: newest.is_none_or(|id| is_fresh(MsgId(id), now_ms)) })
    }
}

/// The head of the mailbox `m`, the id of its newest entry in `i`, and the database's time.
pub(super) const HEAD_COLUMNS: &str = "m.max_seq, i.msg_id, ";
/// After a table with the owner.
pub(super) const HEAD_OF: &str =
    " LEFT JOIN im_message_index i ON i.owner = m.owner AND i.seq = m.max_seq";

pub(super) fn credentials(
    session: &mut Session,
    sql: &mut SqlText,
    username: &str,
) -> Result<Option<Credentials>, Abort> {
    sql.statement(
        "SELECT u.user_id, u.password_phc FROM im_username n
         JOIN im_user u ON u.user_id = n.user_id WHERE n.name = ",
    )
    .text(username);
    let Some(mut row) = session.run(sql.as_str())?.into_iter().flatten().next() else {
        return Ok(None);
    };
    let user = UserId(number(&mut row, 0)?);
    Ok(Some(Credentials { user, password_phc: text(&mut row, 1)? }))
}

pub(super) fn login_state(
    session: &mut Session,
    sql: &mut SqlText,
    user: UserId,
    device_id: &str,
) -> Result<(LoginState, Head), Stop> {
    sql.statement("SELECT u.username, u.nickname, d.cursor_seq, u.token_generation, ")
        .push("d.token_generation, ")
        .push(HEAD_COLUMNS)
        .push(NOW_MS);
    sql.push(" FROM im_user u LEFT JOIN im_device d ON d.user_id = u.user_id AND d.device_id = ")
        .bytes(device_id.as_bytes());
    sql.push(" LEFT JOIN im_mailbox m ON m.owner = u.user_id").push(HEAD_OF);
    sql.push(" WHERE u.user_id = ").number(user.0);
    let row = session.run(sql.as_str())?.into_iter().flatten().next();
    let mut row = row.ok_or(NO_SUCH_USER)?;
    let head = Head::read(&mut row, 5)?;
    let state = LoginState {
        head: Seq(head.seq),
        cursor: Seq(take::<Option<u64>>(&mut row, 2)?.unwrap_or(0)),
        generations: Generations {
            user: take(&mut row, 3)?,
            device: take::<Option<u32>>(&mut row, 4)?.unwrap_or(0),
        },
        username: text(&mut row, 0)?,
        nickname: text(&mut row, 1)?,
        streams: Vec::new(),
    };
    Ok((state, head))
}

/// The answer, and the heads in it.
#[expect(clippy::type_complexity, reason = "two lists, one of which is the answer")]
pub(super) fn heads(
    session: &mut Session,
    sql: &mut SqlText,
    users: &[UserId],
) -> Result<(Vec<UserHead>, Vec<(UserId, Head)>), Abort> {
    if users.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    sql.statement(SNAPSHOT);
    sql.statement("SELECT u.user_id, ").push(HEAD_COLUMNS).push(NOW_MS);
    sql.push(" FROM im_user u LEFT JOIN im_mailbox m ON m.owner = u.user_id").push(HEAD_OF);
    sql.push(" WHERE u.user_id IN ").numbers(users.iter().map(|user| user.0));
    sql.statement("SELECT user_id, class, epoch, revoked FROM im_session WHERE user_id IN ")
        .numbers(users.iter().map(|user| user.0))
        .push(" ORDER BY user_id, class");
    sql.statement("COMMIT");
    let mut sets = session.run(sql.as_str())?.into_iter();
    let mut found: HashMap<UserId, (Head, UserHead), RandomState> = HashMap::default();
    for mut row in sets.nth(1).unwrap_or_default() {
        let user = UserId(number(&mut row, 0)?);
        let head = Head::read(&mut row, 1)?;
        let answer = UserHead {
            user,
            head: Seq(head.seq),
            epochs: SmallVec::new(),
            revoked: SmallVec::new(),
            streams: Vec::new(),
        };
        found.insert(user, (head, answer));
    }
    for mut row in sets.next().unwrap_or_default() {
        let (user, class) = (UserId(number(&mut row, 0)?), take(&mut row, 1)?);
        if let (Some((_, answer)), Some(class)) =
            (found.get_mut(&user), DeviceClass::from_number(class))
        {
            answer.epochs.push((class, Epoch(number(&mut row, 2)?)));
            let revoked = Epoch(number(&mut row, 3)?);
            answer.revoked.extend((revoked.0 > 0).then_some((class, revoked)));
        }
    }
    let known = || users.iter().filter_map(|user| found.get(user));
    let answers = known().map(|(_, answer)| answer.clone()).collect();
    Ok((answers, known().map(|(head, answer)| (answer.user, *head)).collect()))
}

/// For CHANGE_PASSWORD.
pub(super) fn account(
    session: &mut Session,
    sql: &mut SqlText,
    user: UserId,
) -> Result<Account, Stop> {
    sql.statement("SELECT username, password_phc FROM im_user WHERE user_id = ").number(user.0);
    let row = session.run(sql.as_str())?.into_iter().flatten().next();
    let mut row = row.ok_or(NO_SUCH_USER)?;
    Ok(Account { username: text(&mut row, 0)?, password_phc: text(&mut row, 1)? })
}

/// The user's devices, the last login first.
pub(super) fn devices(
    session: &mut Session,
    sql: &mut SqlText,
    user: UserId,
    limit: usize,
) -> Result<Vec<Device>, Abort> {
    sql.statement(
        "SELECT d.device_id, d.class, d.name, d.login_ms, s.epoch
         FROM im_device d LEFT JOIN im_session s ON s.user_id = d.user_id AND s.class = d.class
             AND s.device_id = d.device_id AND s.epoch > s.revoked
         WHERE d.user_id = ",
    )
    .number(user.0);
    sql.push(" ORDER BY d.login_ms DESC, d.device_id LIMIT ").number(limit as u64);
    let mut devices = Vec::new();
    for mut row in session.run(sql.as_str())?.into_iter().flatten() {
        let row = &mut row;
        let device_id = String::from_utf8(bytes(row, 0)?);
        devices.push(Device {
            device_id: device_id.map_err(|_| damaged("a device id is no text"))?,
            class: DeviceClass::from_number(take(row, 1)?).ok_or_else(|| damaged("a class"))?,
            name: text(row, 2)?,
            login_ms: number(row, 3)?,
            epoch: take::<Option<u64>>(row, 4)?.map(Epoch),
        });
    }
    Ok(devices)
}

pub(super) fn users(
    session: &mut Session,
    sql: &mut SqlText,
    users: &[UserId],
) -> Result<Vec<pb::UserInfo>, Abort> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    sql.statement("SELECT user_id, username, nickname, avatar_url FROM im_user WHERE user_id IN ")
        .numbers(users.iter().map(|user| user.0));
    let mut found: HashMap<u64, pb::UserInfo, RandomState> = HashMap::default();
    for row in session.run(sql.as_str())?.into_iter().flatten() {
        let info = user_info(row)?;
        found.insert(info.user_id, info);
    }
    Ok(users.iter().filter_map(|user| found.get(&user.0).cloned()).collect())
}

pub(super) fn find_users(
    session: &mut Session,
    sql: &mut SqlText,
    prefix: &str,
    limit: usize,
) -> Result<Vec<pb::UserInfo>, Abort> {
    sql.statement(
        "SELECT u.user_id, u.username, u.nickname, u.avatar_url FROM im_username n
         JOIN im_user u ON u.user_id = n.user_id WHERE n.name >= ",
    )
    .text(prefix);
    sql.push(" AND n.name < ").text(&format!("{prefix}{ABOVE_ALL_CHARS}"));
    sql.push(" ORDER BY n.name LIMIT ").number(limit as u64);
    sql.statement(
        "SELECT user_id, username, nickname, avatar_url FROM im_user FORCE INDEX (im_user_nick)
         WHERE nick_key >= ",
    )
    .text(prefix);
    sql.push(" AND nick_key < ").text(&format!("{prefix}{ABOVE_ALL_CHARS}"));
    sql.push(" ORDER BY nick_key, user_id LIMIT ").number(limit as u64);
    let mut sets = session.run(sql.as_str())?.into_iter();
    let mut next = || sets.next().unwrap_or_default().into_iter().map(user_info).collect();
    let by_username: Result<Vec<_>, Abort> = next();
    let by_nickname: Result<Vec<_>, Abort> = next();
    Ok(merged(by_username?, by_nickname?, limit))
}

pub(super) fn groups(
    session: &mut Session,
    sql: &mut SqlText,
    user: UserId,
    after: GroupId,
    limit: usize,
) -> Result<pb::GroupListResp, Abort> {
    sql.statement(
        "SELECT g.group_id, g.name, g.owner_id, g.member_count, m.role, g.created_ms,
             COALESCE(s.announcement, ''), COALESCE(s.join_mode, 0), g.muted, g.begin_seq,
             COALESCE(s.open_seq, 0)
         FROM im_group_member m JOIN im_group g ON g.group_id = m.group_id
         LEFT JOIN im_group_setting s ON s.group_id = m.group_id
         WHERE m.leave_seq = 0 AND m.user_id = ",
    )
    .number(user.0);
    sql.push(" AND m.group_id > ").number(after.0);
    sql.push(" ORDER BY m.group_id LIMIT ").number(limit as u64 + 1);
    let mut groups = Vec::new();
    for mut row in session.run(sql.as_str())?.into_iter().flatten() {
        let row = &mut row;
        groups.push(pb::GroupInfo {
            group_id: number(row, 0)?,
            name: text(row, 1)?,
            owner_id: number(row, 2)?,
            member_count: small_number(row, 3)?,
            role: take(row, 4)?,
            create_time_ms: number(row, 5)?,
            announcement: text(row, 6)?,
            join_mode: take(row, 7)?,
            all_muted: number(row, 8)? != 0,
            is_stream: number(row, 9)? != 0,
            open_history: number(row, 10)? != 0,
        });
    }
    let more = groups.len() > limit;
    groups.truncate(limit);
    Ok(pb::GroupListResp { groups, more })
}

pub(super) fn members(
    session: &mut Session,
    sql: &mut SqlText,
    reader: UserId,
    group: GroupId,
    after: UserId,
    limit: usize,
) -> Result<pb::GroupMembersResp, Stop> {
    sql.statement(SNAPSHOT);
    sql.statement("SELECT 1 FROM im_group_member WHERE leave_seq = 0 AND group_id = ")
        .number(group.0)
        .push(" AND user_id = ")
        .number(reader.0);
    sql.statement(
        "SELECT user_id, role, joined_ms, muted_until_ms FROM im_group_member
         WHERE leave_seq = 0 AND group_id = ",
    )
    .number(group.0);
    sql.push(" AND user_id > ").number(after.0);
    sql.push(" ORDER BY user_id LIMIT ").number(limit as u64 + 1);
    sql.statement("COMMIT");
    let mut sets = session.run(sql.as_str())?.into_iter().skip(1);
    if sets.next().is_none_or(|rows| rows.is_empty()) {
        return Err(NO_SUCH_GROUP.into());
    }
    let mut members = Vec::new();
    for mut row in sets.next().unwrap_or_default() {
        let row = &mut row;
        members.push(pb::GroupMember {
            user_id: number(row, 0)?,
            role: take(row, 1)?,
            join_time_ms: number(row, 2)?,
            muted_until_ms: number(row, 3)?,
        });
    }
    let more = members.len() > limit;
    members.truncate(limit);
    Ok(pb::GroupMembersResp { members, more })
}

fn user_info(mut row: Row) -> Result<pb::UserInfo, Abort> {
    let row = &mut row;
    Ok(pb::UserInfo {
        user_id: number(row, 0)?,
        username: text(row, 1)?,
        nickname: text(row, 2)?,
        avatar_url: text(row, 3)?,
    })
}
