//! What lists look at, in MySQL: each step is a question of its own, all of them within one
//! snapshot. Knows tables, no rule.

use std::collections::HashMap;

use aldis_logic::job::{JobError, StoredMessage};
use aldis_wire::{ConversationKey, GroupId, MsgId, UserId, pb};
use foldhash::fast::RandomState;
use mysql::Row as MysqlRow;

use super::connection::Session;
use super::failure::{Abort, Stop, damaged};
use super::history::write_from;
use super::lookups::SNAPSHOT;
use super::questions::LIST_MAX;
use super::records::{self, names, values};
use super::rows::{kind, message, number};
use super::sql_text::SqlText;
use crate::group::{Group, Member, Role};
use crate::lists::{FirstAbove, Look, Outline, Place, Scan, Search, Standing};
use crate::record::{Key, Row, Table};
use crate::rules::Ties;
use crate::stays::StoredStay;

/// Columns of an entry of the table `b` without what it says; [`outline`] takes them.
const OUTLINE_COLUMNS: &str = "b.lo, b.hi, b.conv_seq, b.msg_id, b.msg_no, b.kind, b.time_ms";

/// A reader's connection, as lists see it.
pub(super) struct Snapshot<'a> {
    pub session: &'a mut Session,
    pub sql: &'a mut SqlText,
}

impl Snapshot<'_> {
    /// Runs a list within one snapshot of the database.
    pub(super) fn hold<T>(
        &mut self,
        list: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        self.session.run(SNAPSHOT)?;
        let answer = list(self);
        // After a failure the connection is given up, and its transaction with it.
        if matches!(answer, Ok(_) | Err(Stop::Refuse(_))) {
            self.session.run("COMMIT")?;
        }
        answer
    }

    /// The rows that the statements give, for each statement.
    fn sets(&mut self) -> Result<Vec<Vec<MysqlRow>>, Stop> {
        if self.sql.statement_count() == 0 {
            return Ok(vec![]);
        }
        Ok(self.session.run(self.sql.as_str())?)
    }

    /// The rows that the statements give, together.
    fn found(&mut self) -> Result<Vec<MysqlRow>, Stop> {
        Ok(self.sets()?.into_iter().flatten().collect())
    }

    /// Numbers by the first column, 0 for whom there is no row.
    fn by_user(&mut self, users: &[UserId]) -> Result<Vec<u64>, Stop> {
        let mut numbers: HashMap<u64, u64, RandomState> = HashMap::default();
        for mut row in self.found()? {
            numbers.insert(number(&mut row, 0)?, number(&mut row, 1)?);
        }
        Ok(users.iter().map(|user| numbers.get(&user.0).copied().unwrap_or(0)).collect())
    }

    /// Begins a statement that has a table `k` of numbers with these columns.
    fn with_keys<T>(
        &mut self,
        columns: &'static str,
        keys: &[T],
        mut numbers: impl FnMut(&mut SqlText, &T),
    ) {
        let row = if self.session.server.is_mariadb { "(" } else { "ROW(" };
        self.sql.statement("WITH k ").push(columns).push(" AS (VALUES ").list(keys, |sql, key| {
            sql.push(row);
            numbers(sql, key);
            sql.push(")");
        });
        self.sql.push(") ");
    }
}

impl Scan for Snapshot<'_> {
    type Stop = Stop;

    fn role(&mut self, group: GroupId, user: UserId) -> Result<Option<Role>, Stop> {
        let sql = &mut *self.sql;
        sql.clear();
        sql.statement("SELECT role FROM im_group_member WHERE leave_seq = 0 AND group_id = ");
        sql.number(group.0).push(" AND user_id = ").number(user.0);
        let role = self.found()?.first_mut().map(|row| number(row, 0)).transpose()?;
        Ok(role.and_then(Role::from_number))
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, Stop> {
        self.sql.clear();
        self.sql.statement("SELECT 1 FROM im_user WHERE user_id = ").number(user.0);
        Ok(!self.found()?.is_empty())
    }

    fn rows(&mut self, table: Table, keys: &[Key]) -> Result<Vec<Option<Row>>, Stop> {
        self.sql.clear();
        let mut keyed: Vec<(Table, Key)> = keys.iter().map(|key| (table, key.clone())).collect();
        keyed.sort_unstable();
        keyed.dedup();
        for keyed in keyed.chunks(LIST_MAX) {
            records::ask_for(self.sql, table, keyed, self.session.server.is_mariadb);
        }
        let mut found: HashMap<Key, Row, RandomState> = HashMap::default();
        for mut row in self.found()? {
            let (key, row) = records::take(&mut row, table)?;
            found.insert(key, row);
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    fn ties(&mut self, pairs: &[ConversationKey]) -> Result<Vec<Ties>, Stop> {
        self.sql.clear();
        for pairs in pairs.chunks(LIST_MAX) {
            self.sql
                .statement("SELECT lo, hi, ties FROM im_conversation FORCE INDEX (PRIMARY)")
                .push(" WHERE (lo, hi) IN (")
                .list(pairs, |sql, pair| {
                    sql.numbers([pair.lo, pair.hi]);
                })
                .push(")");
        }
        let mut found: HashMap<ConversationKey, Ties, RandomState> = HashMap::default();
        for mut row in self.found()? {
            found.insert(key(&mut row, 0)?, Ties(number(&mut row, 2)? as u8));
        }
        Ok(pairs.iter().map(|pair| found.get(pair).copied().unwrap_or_default()).collect())
    }

    fn group(&mut self, group: GroupId, members_max: usize) -> Result<Group, Stop> {
        let sql = &mut *self.sql;
        sql.clear();
        sql.statement("SELECT muted FROM im_group WHERE group_id = ").number(group.0);
        sql.statement(
            "SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member
             WHERE leave_seq = 0 AND group_id = ",
        )
        .number(group.0);
        sql.push(" ORDER BY user_id LIMIT ").number(members_max as u64);
        let mut sets = self.sets()?.into_iter();
        let mut found = sets.next().unwrap_or_default().into_iter();
        let is_muted = found.next().map(|mut row| number(&mut row, 0)).transpose()?;
        let member = |mut row: MysqlRow| {
            Ok(Member {
                user: UserId(number(&mut row, 0)?),
                join_seq: number(&mut row, 1)?,
                role: Role::from_number(number(&mut row, 2)?).ok_or_else(|| damaged("a role"))?,
                muted_until_ms: number(&mut row, 3)?,
            })
        };
        let members = sets.next().unwrap_or_default().into_iter().map(member);
        let members = members.collect::<Result<Vec<_>, Abort>>()?.into();
        Ok(Group { is_muted: is_muted.unwrap_or(0) != 0, members, ..Group::default() })
    }

    fn scan(
        &mut self,
        table: Table,
        prefix: &[u64],
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Row)>, Stop> {
        let shape = table.shape();
        let Some((last, named)) = shape.keys.split_last() else {
            return Err(damaged("a table without keys").into());
        };
        let sql = &mut *self.sql;
        sql.clear();
        sql.statement("SELECT ").push(last).push(",");
        names(sql, "", shape.columns);
        sql.push(" FROM ").push(shape.name).push(" WHERE ");
        for (key, value) in named.iter().zip(prefix) {
            sql.push(key).push(" = ").number(*value).push(" AND ");
        }
        sql.push(last).push(" > ").number(after);
        sql.push(" ORDER BY ").push(last).push(" LIMIT ").number(limit as u64);
        let rows = self.found()?.into_iter();
        rows.map(|mut row| Ok((number(&mut row, 0)?, values(&mut row, shape, 1)?))).collect()
    }
}

impl Look for Snapshot<'_> {
    fn pinned(&mut self, user: UserId) -> Result<Vec<ConversationKey>, Stop> {
        self.sql.clear();
        self.sql
            .statement("SELECT lo, hi FROM im_read_mark FORCE INDEX (im_read_mark_pinned)")
            .push(" WHERE pinned_ms > 0 AND owner = ")
            .number(user.0)
            .push(" ORDER BY pinned_ms DESC, lo DESC, hi DESC");
        let rows = self.found()?.into_iter();
        rows.map(|mut row| Ok(key(&mut row, 0)?)).collect()
    }

    fn members(
        &mut self,
        group: GroupId,
        after: UserId,
        limit: usize,
    ) -> Result<Vec<UserId>, Stop> {
        let sql = &mut *self.sql;
        sql.clear();
        sql.statement("SELECT user_id FROM im_group_member WHERE leave_seq = 0 AND group_id = ");
        sql.number(group.0).push(" AND user_id > ").number(after.0);
        sql.push(" ORDER BY user_id LIMIT ").number(limit as u64);
        let rows = self.found()?.into_iter();
        rows.map(|mut row| Ok(UserId(number(&mut row, 0)?))).collect()
    }

    fn cursors(&mut self, users: &[UserId]) -> Result<Vec<u64>, Stop> {
        self.sql.clear();
        for users in users.chunks(LIST_MAX) {
            self.sql
                .statement("SELECT user_id, MAX(cursor_seq) FROM im_device WHERE user_id IN ")
                .numbers(users.iter().map(|user| user.0))
                .push(" GROUP BY user_id");
        }
        self.by_user(users)
    }

    fn heads(&mut self, owners: &[UserId]) -> Result<Vec<u64>, Stop> {
        self.sql.clear();
        for owners in owners.chunks(LIST_MAX) {
            self.sql
                .statement("SELECT owner, max_seq FROM im_mailbox WHERE owner IN ")
                .numbers(owners.iter().map(|owner| owner.0));
        }
        self.by_user(owners)
    }

    fn mailbox(
        &mut self,
        owner: UserId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Outline)>, Stop> {
        let sql = &mut *self.sql;
        sql.clear();
        sql.statement("SELECT ").push(OUTLINE_COLUMNS).push(", i.seq FROM im_message_index i");
        sql.push(" STRAIGHT_JOIN im_message_body b ON b.msg_id = i.msg_id WHERE i.owner = ");
        sql.number(owner.0).push(" AND i.seq <= ").number(from);
        sql.push(" ORDER BY i.seq DESC LIMIT ").number(limit as u64);
        let rows = self.found()?.into_iter();
        rows.map(|mut row| Ok((number(&mut row, 7)?, outline(&mut row)?))).collect()
    }

    fn first_above(
        &mut self,
        conversation: ConversationKey,
        parts: &[FirstAbove],
    ) -> Result<Vec<Option<u64>>, Stop> {
        self.sql.clear();
        for FirstAbove { owner, above, last } in parts {
            let sql = &mut *self.sql;
            sql.statement("SELECT b.conv_seq FROM im_message_index i");
            sql.push(" STRAIGHT_JOIN im_message_body b ON b.msg_id = i.msg_id WHERE i.owner = ");
            sql.number(owner.0).push(" AND i.seq > ").number(*above);
            sql.push(" AND i.seq <= ").number(*last);
            sql.push(" AND b.lo = ").number(conversation.lo);
            sql.push(" AND b.hi = ").number(conversation.hi);
            sql.push(" ORDER BY i.seq LIMIT 1");
        }
        let sets = self.sets()?.into_iter();
        sets.map(|mut rows| Ok(rows.first_mut().map(|row| number(row, 0)).transpose()?)).collect()
    }

    fn standings(&mut self, user: UserId, keys: &[ConversationKey]) -> Result<Vec<Standing>, Stop> {
        let mut found: HashMap<ConversationKey, Standing, RandomState> = HashMap::default();
        for keys in keys.chunks(LIST_MAX) {
            self.sql.clear();
            self.with_keys("(lo, hi)", keys, |sql, key| {
                sql.number(key.lo).push(",").number(key.hi);
            });
            self.sql.push(
                "SELECT c.lo, c.hi, c.max_seq FROM k STRAIGHT_JOIN im_conversation c \
                 FORCE INDEX (PRIMARY) ON c.lo = k.lo AND c.hi = k.hi",
            );
            let groups: Vec<GroupId> = keys.iter().filter_map(|key| key.as_group()).collect();
            if !groups.is_empty() {
                self.sql
                    .statement(
                        "SELECT group_id, join_seq, leave_seq, from_seq FROM im_group_member",
                    )
                    .push(" FORCE INDEX (PRIMARY) WHERE group_id IN ")
                    .numbers(groups.iter().map(|group| group.0))
                    .push(" AND user_id = ")
                    .number(user.0)
                    .push(" ORDER BY group_id, join_seq");
            }
            let mut sets = self.sets()?.into_iter();
            for mut row in sets.next().unwrap_or_default() {
                found.entry(key(&mut row, 0)?).or_default().head = number(&mut row, 2)?;
            }
            for mut row in sets.next().unwrap_or_default() {
                let row = &mut row;
                let group = ConversationKey::group(GroupId(number(row, 0)?));
                let stay = StoredStay::of_row(number(row, 1)?, number(row, 2)?, number(row, 3)?);
                found.entry(group).or_default().stays.push(stay);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned().unwrap_or_default()).collect())
    }

    fn outlines(&mut self, places: &[Place]) -> Result<Vec<Outline>, Stop> {
        self.sql.clear();
        for places in places.chunks(LIST_MAX) {
            self.with_keys("(lo, hi, conv_seq)", places, |sql, place| {
                let ConversationKey { lo, hi } = place.conversation;
                sql.number(lo).push(",").number(hi).push(",").number(place.conv_seq);
            });
            self.sql.push("SELECT ").push(OUTLINE_COLUMNS).push(
                " FROM k STRAIGHT_JOIN im_message_body b FORCE INDEX (im_message_place) \
                 ON b.lo = k.lo AND b.hi = k.hi AND b.conv_seq = k.conv_seq",
            );
        }
        let mut found: HashMap<Place, Outline, RandomState> = HashMap::default();
        for mut row in self.found()? {
            let outline = outline(&mut row)?;
            found.insert(outline.place, outline);
        }
        let known = places.iter().map(|place| found.get(place).copied());
        let lacking = || Stop::from(damaged("a conversation lacks an entry"));
        known.map(|outline| outline.ok_or_else(lacking)).collect()
    }

    /// One statement: each of them alone would cost more than what it finds.
    fn newest(&mut self, wanted: &[Search]) -> Result<Vec<Option<Outline>>, Stop> {
        self.sql.clear();
        for (number, Search { conversation, spans, sender }) in wanted.iter().enumerate() {
            let sql = &mut *self.sql;
            match number {
                0 => sql.statement("(SELECT "),
                _ => sql.push(") UNION ALL (SELECT "),
            };
            sql.push(OUTLINE_COLUMNS);
            write_from(sql, *conversation, spans);
            sql.push(" AND b.kind BETWEEN 1 AND ").number(pb::MsgType::SystemGroup as u64 - 1);
            if let Some(sender) = sender {
                sql.push(" AND b.sender = ").number(sender.0);
            }
            sql.push(" ORDER BY b.conv_seq DESC LIMIT 1");
        }
        self.sql.push(if wanted.is_empty() { "" } else { ")" });
        let mut found: HashMap<ConversationKey, Outline, RandomState> = HashMap::default();
        for mut row in self.found()? {
            let outline = outline(&mut row)?;
            found.insert(outline.place.conversation, outline);
        }
        Ok(wanted.iter().map(|search| found.get(&search.conversation).copied()).collect())
    }

    fn messages(
        &mut self,
        entries: &[Outline],
        bytes_max: usize,
    ) -> Result<Vec<StoredMessage>, Stop> {
        self.sql.clear();
        let bytes = bytes_max as u64 + 1;
        for entries in entries.chunks(LIST_MAX) {
            let sql = &mut *self.sql;
            sql.statement("SELECT b.msg_id, b.lo, b.hi, b.conv_seq, b.msg_no, b.sender, ");
            sql.push("b.client_msg_id, b.kind, b.time_ms, b.flags, SUBSTRING(b.content, 1, ");
            sql.number(bytes).push("), SUBSTRING(b.extra, 1, ").number(bytes).push("), b.refs");
            sql.push(" FROM im_message_body b WHERE b.msg_id IN ");
            sql.numbers(entries.iter().map(|entry| entry.msg_id.0));
        }
        let mut found: HashMap<MsgId, StoredMessage, RandomState> = HashMap::default();
        for mut row in self.found()? {
            let message = message(&mut row, 0)?;
            found.insert(message.msg_id, message);
        }
        let known = entries.iter().map(|entry| found.remove(&entry.msg_id));
        known.map(|message| message.ok_or_else(|| JobError::Internal.into())).collect()
    }
}

fn key(row: &mut MysqlRow, first: usize) -> Result<ConversationKey, Abort> {
    Ok(ConversationKey { lo: number(row, first)?, hi: number(row, first + 1)? })
}

/// From [`OUTLINE_COLUMNS`], which come first.
fn outline(row: &mut MysqlRow) -> Result<Outline, Abort> {
    Ok(Outline {
        place: Place { conversation: key(row, 0)?, conv_seq: number(row, 2)? },
        msg_id: MsgId(number(row, 3)?),
        msg_no: number(row, 4)?,
        kind: kind(row, 5)?,
        time_ms: number(row, 6)?,
    })
}
