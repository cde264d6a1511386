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
use super::rows::{TEXT_COLUMNS, bytes, message, number};
use super::sql_text::SqlText;
use super::sync::{first_head, write_head};
use crate::search::{self, Mailbox, Names};

/// A mailbox up to a head that is on disk.
pub(super) struct MailboxAt<'a> {
    pub session: &'a mut Session,
    pub sql: &'a mut SqlText,
    pub head: Seq,
}

/// The head of a mailbox.
pub(super) fn head(session: &mut Session, sql: &mut SqlText, owner: UserId) -> Result<Head, Abort> {
    sql.clear();
    write_head(sql, owner);
    first_head(session.run(sql.as_str())?.into_iter().next())
}

impl Mailbox for MailboxAt<'_> {
    type Stop = Stop;

    fn head(&mut self, _owner: UserId) -> Result<Seq, Stop> {
        Ok(self.head)
    }

    fn blocks(&mut self, owner: UserId, first: u64, last: u64) -> Result<Vec<IndexBlock>, Stop> {
        let sql = &mut *self.sql;
        sql.clear();
        sql.statement("SELECT block, data FROM im_search_block WHERE owner = ").number(owner.0);
        sql.push(" AND block BETWEEN ").number(first).push(" AND ").number(last);
        let rows = self.session.run(sql.as_str())?.into_iter().flatten();
        rows.map(|mut row| {
            let number = number(&mut row, 0)?;
            Ok(IndexBlock { number, data: Bytes::from(bytes(&mut row, 1)?) })
        })
        .collect()
    }

    fn texts(&mut self, owner: UserId, seqs: &[u64]) -> Result<Vec<(Seq, StoredMessage)>, Stop> {
        let sql = &mut *self.sql;
        sql.clear();
        sql.statement("SELECT i.seq, ").push(TEXT_COLUMNS);
        sql.push(
            " FROM im_message_index i STRAIGHT_JOIN im_message_body b ON b.msg_id = i.msg_id
             WHERE i.owner = ",
        );
        sql.number(owner.0).push(" AND i.seq IN ").numbers(seqs.iter().copied());
        let rows = self.session.run(sql.as_str())?.into_iter().flatten();
        rows.map(|mut row| Ok((Seq(number(&mut row, 0)?), message(&mut row, 1)?))).collect()
    }

    fn cleared(
        &mut self,
        owner: UserId,
        conversations: &[ConversationKey],
    ) -> Result<Vec<u64>, Stop> {
        search::cleared(
            &mut Snapshot { session: self.session, sql: self.sql },
            owner,
            conversations,
        )
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
