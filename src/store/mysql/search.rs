//! What SEARCH reads in MySQL, from the primary. Knows no query.
//!
//! Each step is a question of its own: entries do not change places, and what is read of one is what was
//! committed when it was read.

use aldis_logic::job::{IndexBlock, StoredMessage};
use aldis_wire::{ConversationKey, GroupId, Seq, UserId, pb};
use bytes::Bytes;

use super::connection::Session;
use super::failure::{Abort, Stop};
use super::look::Snapshot;
use super::lookups::{self, Head};
use super::read::MysqlReader;
use super::rows::{TEXT_COLUMNS, bytes, message, number};
use super::sql_text::SqlText;
use super::sync::{first_head, write_head};
use crate::page::Span;
use crate::search::{self, Log, Logs, Names};

/// What a search reads.
pub(super) struct Searched<'a>(pub &'a mut MysqlReader);

/// The head of a mailbox.
fn head(session: &mut Session, sql: &mut SqlText, owner: UserId) -> Result<Head, Abort> {
    sql.clear();
    write_head(sql, owner);
    first_head(session.run(sql.as_str())?.into_iter().next())
}

impl Logs for Searched<'_> {
    type Stop = Stop;

    /// Up to a head that is on disk.
    fn visible(&mut self, reader: UserId, log: Log) -> Result<Vec<Span>, Stop> {
        match log {
            Log::Mailbox(owner) => {
                let head = head(self.0.primary.session()?, &mut self.0.sql, owner)?;
                self.0.secure(&[(owner, head)])?;
                Ok(vec![Span { first: 1, last: head.seq }])
            }
            Log::Stream(group) => Ok(self.0.seen_of_stream(reader, group)?),
        }
    }

    fn next_stream(&mut self, user: UserId, after: GroupId) -> Result<Option<GroupId>, Stop> {
        search::next_stream(&mut self.snapshot()?, user, after)
    }

    fn blocks(&mut self, log: Log, first: u64, last: u64) -> Result<Vec<IndexBlock>, Stop> {
        let (session, sql) = (self.0.primary.session()?, &mut self.0.sql);
        sql.clear();
        sql.statement("SELECT block, data FROM im_search_block WHERE owner = ");
        sql.number(log.index_key());
        sql.push(" AND block BETWEEN ").number(first).push(" AND ").number(last);
        let rows = session.run(sql.as_str())?.into_iter().flatten();
        rows.map(|mut row| {
            let (number, data) = (number(&mut row, 0)?, Bytes::from(bytes(&mut row, 1)?));
            Ok(IndexBlock { group: log.group(), number, data })
        })
        .collect()
    }

    fn texts(&mut self, log: Log, seqs: &[u64]) -> Result<Vec<(Seq, StoredMessage)>, Stop> {
        let (session, sql) = (self.0.primary.session()?, &mut self.0.sql);
        sql.clear();
        match log {
            Log::Mailbox(owner) => {
                sql.statement("SELECT i.seq, ").push(TEXT_COLUMNS);
                sql.push(
                    " FROM im_message_index i STRAIGHT_JOIN im_message_body b
                      ON b.msg_id = i.msg_id WHERE i.owner = ",
                );
                sql.number(owner.0).push(" AND i.seq IN ");
            }
            Log::Stream(group) => {
                sql.statement("SELECT b.conv_seq, ").push(TEXT_COLUMNS);
                sql.push(
                    " FROM im_message_body b FORCE INDEX (im_message_place)
                      WHERE b.lo = 0 AND b.hi = ",
                );
                sql.number(group.0).push(" AND b.conv_seq IN ");
            }
        }
        sql.numbers(seqs.iter().copied());
        let rows = session.run(sql.as_str())?.into_iter().flatten();
        rows.map(|mut row| Ok((Seq(number(&mut row, 0)?), message(&mut row, 1)?))).collect()
    }

    fn cleared(
        &mut self,
        owner: UserId,
        conversations: &[ConversationKey],
    ) -> Result<Vec<u64>, Stop> {
        search::cleared(&mut self.snapshot()?, owner, conversations)
    }
}

impl Searched<'_> {
    fn snapshot(&mut self) -> Result<Snapshot<'_>, Stop> {
        Ok(Snapshot { session: self.0.primary.session()?, sql: &mut self.0.sql })
    }
}

impl Names for Snapshot<'_> {
    fn users(&mut self, users: &[UserId]) -> Result<Vec<pb::UserInfo>, Stop> {
        self.sql.clear();
        Ok(lookups::users(self.session, self.sql, users)?)
    }

    fn groups(
        &mut self,
        user: UserId,
        after: GroupId,
        limit: usize,
    ) -> Result<pb::GroupListResp, Stop> {
        self.sql.clear();
        Ok(lookups::groups(self.session, self.sql, user, after, limit)?)
    }
}
