//! MSG_SYNC: a page of a mailbox. Knows im_mailbox, im_message_index and im_message_body.

use std::collections::HashMap;

use aldis_logic::job::{StoredMessage, SyncPage};
use aldis_wire::limits::{PAGE_BYTES_MAX, SYNC_ENTRIES_MAX};
use aldis_wire::{ConversationKey, Seq, UserId};
use foldhash::fast::RandomState;
use mysql::Row;

use super::claim::NOW_MS;
use super::connection::Session;
use super::failure::{Abort, damaged};
use super::lookups::{HEAD_COLUMNS, HEAD_OF, Head, SNAPSHOT};
use super::read::MysqlReader;
use super::rows::{MESSAGE_COLUMNS, message, number};
use super::sql_text::SqlText;
use crate::page::{PageBytes, blank};

/// Bytes of a range up to which all of it is fetched at once, though the page may end earlier.
/// Above, it is planned by the sizes first.
pub(super) const OPTIMISTIC_BYTES_MAX: u64 = 4 * PAGE_BYTES_MAX as u64;

/// A part of a mailbox: above `after`, up to and with `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub user: UserId,
    pub after: u64,
    pub last: u64,
}

/// What a server has of a range, all of one snapshot.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub head: Head,
    /// Dense from the range's first position; those that fit a page.
    pub entries: Vec<(Seq, StoredMessage)>,
}

impl MysqlReader {
    pub(super) fn sync(
        &mut self,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<SyncPage, Abort> {
        let limit = limit.min(SYNC_ENTRIES_MAX) as u64;
        let range = Range { user, after: after.0, last: after.0.saturating_add(limit) };
        if !self.replicas.is_any_ready() {
            let part = read_part(self.primary.session()?, &mut self.sql, range)?;
            self.secure(&[(user, part.head)])?;
            return Ok(SyncPage { entries: part.entries, head: Seq(part.head.seq) });
        }
        let Standing { head, redactions, cleared } =
            read_standing(self.primary.session()?, &mut self.sql, user)?;
        self.secure(&[(user, head)])?;
        let range = Range { last: range.last.min(head.seq), ..range };
        let mut entries = Vec::new();
        if range.after < range.last {
            let from_replica = self.replicas.try_each(|session| {
                if read_standing(session, &mut self.sql, user)?.redactions < redactions {
                    return Ok(None);
                }
                let part = read_part(session, &mut self.sql, range)?;
                // It may lack what was there before the question.
                Ok((part.head.seq >= head.seq).then_some(part.entries))
            });
            entries = match from_replica {
                Some(entries) => entries,
                None => read_part(self.primary.session()?, &mut self.sql, range)?.entries,
            };
            // A replica may not know yet what was cleared.
            entries.iter_mut().for_each(|(_, entry)| blank_cleared(entry, &cleared));
        }
        Ok(SyncPage { entries, head: Seq(head.seq) })
    }
}

/// Conversations whose history a user has cleared, and up to where.
type Cleared = HashMap<ConversationKey, u64, RandomState>;

/// What permits to read a mailbox somewhere else.
struct Standing {
    head: Head,
    /// How often something that was said in a group was changed.
    redactions: u64,
    cleared: Cleared,
}

fn read_standing(
    session: &mut Session,
    sql: &mut SqlText,
    user: UserId,
) -> Result<Standing, Abort> {
    sql.clear();
    write_head(sql, user);
    sql.statement("SELECT count FROM im_redaction WHERE id = 1");
    write_cleared(sql, user);
    let mut sets = session.run(sql.as_str())?.into_iter();
    let head = first_head(sets.next())?;
    let redactions = match sets.next().unwrap_or_default().first_mut() {
        Some(row) => number(row, 0)?,
        None => 0,
    };
    Ok(Standing { head, redactions, cleared: all_cleared(sets.next())? })
}

fn write_cleared(sql: &mut SqlText, user: UserId) {
    sql.statement(
        "SELECT lo, hi, cleared_seq FROM im_read_mark FORCE INDEX (im_read_mark_cleared)",
    )
    .push(" WHERE cleared_seq > 0 AND owner = ")
    .number(user.0);
}

fn all_cleared(rows: Option<Vec<Row>>) -> Result<Cleared, Abort> {
    let mut cleared = Cleared::default();
    for mut row in rows.unwrap_or_default() {
        let key = ConversationKey { lo: number(&mut row, 0)?, hi: number(&mut row, 1)? };
        cleared.insert(key, number(&mut row, 2)?);
    }
    Ok(cleared)
}

fn blank_cleared(message: &mut StoredMessage, cleared: &Cleared) {
    if cleared.get(&message.conversation).is_some_and(|&at| message.conv_seq.0 <= at) {
        blank(message);
    }
}

/// Reads a range and the head, in one packet unless the range is large.
fn read_part(session: &mut Session, sql: &mut SqlText, range: Range) -> Result<Part, Abort> {
    sql.clear();
    sql.statement(SNAPSHOT);
    write_head(sql, range.user);
    write_cleared(sql, range.user);
    if range.after < range.last {
        write_entries(sql, range);
        sql.push(" AND (SELECT SUM(bytes) FROM im_message_index i WHERE");
        write_range(sql, range);
        sql.push(") <= ").number(OPTIMISTIC_BYTES_MAX);
        sql.push(" ORDER BY i.seq");
    }
    sql.statement("COMMIT");
    let mut sets = session.run(sql.as_str())?.into_iter().skip(1);
    let head = first_head(sets.next())?;
    let cleared = all_cleared(sets.next())?;
    if range.after >= range.last.min(head.seq) {
        return Ok(Part { head, entries: Vec::new() });
    }
    let mut rows = sets.next().unwrap_or_default();
    if rows.is_empty() {
        rows = read_planned(session, sql, range)?;
    }
    let mut entries = Vec::with_capacity(rows.len());
    let mut bytes = PageBytes::default();
    for (seq, mut row) in (range.after + 1..).zip(rows) {
        if number(&mut row, 0)? != seq {
            return Err(damaged("a mailbox has a gap"));
        }
        let mut message = message(&mut row, 1)?;
        blank_cleared(&mut message, &cleared);
        if !bytes.take(&message) {
            break;
        }
        entries.push((Seq(seq), message));
    }
    if entries.is_empty() {
        return Err(damaged("a mailbox lacks its newest entries"));
    }
    Ok(Part { head, entries })
}

/// Fetches no more of a range than a page holds. Entries do not change places, so this needs no
/// snapshot.
fn read_planned(session: &mut Session, sql: &mut SqlText, range: Range) -> Result<Vec<Row>, Abort> {
    sql.clear();
    sql.statement("SELECT i.seq, i.bytes FROM im_message_index i WHERE");
    write_range(sql, range);
    sql.push(" ORDER BY i.seq");
    let mut last = range.after;
    let mut bytes = PageBytes::default();
    for mut row in session.run(sql.as_str())?.into_iter().flatten() {
        if !bytes.take_bytes(number(&mut row, 1)? as usize) {
            break;
        }
        last = number(&mut row, 0)?;
    }
    sql.clear();
    write_entries(sql, Range { last, ..range });
    sql.push(" ORDER BY i.seq");
    Ok(session.run(sql.as_str())?.into_iter().next().unwrap_or_default())
}

pub(super) fn write_head(sql: &mut SqlText, user: UserId) {
    sql.statement("SELECT ").push(HEAD_COLUMNS).push(NOW_MS);
    sql.push(" FROM im_mailbox m").push(HEAD_OF);
    sql.push(" WHERE m.owner = ").number(user.0);
}

fn write_entries(sql: &mut SqlText, range: Range) {
    sql.statement("SELECT i.seq, ").push(MESSAGE_COLUMNS);
    sql.push(" FROM im_message_index i STRAIGHT_JOIN im_message_body b ON b.msg_id = i.msg_id");
    sql.push(" WHERE");
    write_range(sql, range);
}

fn write_range(sql: &mut SqlText, range: Range) {
    sql.push(" i.owner = ").number(range.user.0);
    sql.push(" AND i.seq > ").number(range.after);
    sql.push(" AND i.seq <= ").number(range.last);
}

pub(super) fn first_head(rows: Option<Vec<Row>>) -> Result<Head, Abort> {
    match rows.unwrap_or_default().into_iter().next() {
        Some(mut row) => Head::read(&mut row, 0),
        None => Ok(Head::default()),
    }
}
