//! What SEARCH reads and stores in SQLite. Knows no query.

use aldis_logic::job::{IndexBlock, StoredMessage};
use aldis_wire::{ConversationKey, GroupId, MsgId, Seq, UserId, pb};
use bytes::Bytes;

use super::accounts::ID_END;
use super::batch::Batch;
use super::failure::{Stop, damaged};
use super::index::Index;
use super::read::Snapshot;
use super::rows::{message, number};
use crate::page::Span;
use crate::search::{self, Log, Logs, Names};

/// As the statement for any entry, but with texts only.
const TEXT_BY_ID: &str =
    "SELECT msg_id, lo, hi, conv_seq, msg_no, sender, client_msg_id, kind, time_ms, flags,
            CASE kind WHEN 1 THEN content ELSE x'' END,
            CASE kind WHEN 1 THEN extra ELSE x'' END, refs
     FROM im_message_body WHERE msg_id = ?";

const _: () = assert!(pb::MsgType::Text as i32 == 1, "the statement says so");

impl Logs for Snapshot<'_> {
    type Stop = Stop;

    fn visible(&mut self, reader: UserId, log: Log) -> Result<Vec<Span>, Stop> {
        match log {
            Log::Mailbox(owner) => Ok(vec![Span { first: 1, last: self.mailbox_head(owner)?.0 }]),
            Log::Stream(group) => self.seen_of_stream(reader, group),
        }
    }

    fn next_stream(&mut self, user: UserId, after: GroupId) -> Result<Option<GroupId>, Stop> {
        search::next_stream(self, user, after)
    }

    fn blocks(&mut self, log: Log, first: u64, last: u64) -> Result<Vec<IndexBlock>, Stop> {
        let blocks = self
            .conn
            .prepare_cached(
                "SELECT block, data FROM im_search_block WHERE owner = ? AND block BETWEEN ? AND ?",
            )?
            .query_map((log.index_key() as i64, first as i64, last as i64), |row| {
                let data = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
                Ok(IndexBlock { group: log.group(), number: number(row, 0)?, data })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(blocks)
    }

    fn texts(&mut self, log: Log, seqs: &[u64]) -> Result<Vec<(Seq, StoredMessage)>, Stop> {
        let (index, owner) = match log {
            Log::Mailbox(owner) => (Index::Mailboxes, owner.0),
            Log::Stream(group) => {
                let number = self.conversation_number(ConversationKey::group(group))?;
                let number = number.ok_or_else(|| damaged("a stream without a conversation"))?;
                (Index::Conversations, number)
            }
        };
        let mut statement = self.conn.prepare_cached(TEXT_BY_ID)?;
        let mut entries = Vec::with_capacity(seqs.len());
        // One look into the index for all that stand together.
        for run in seqs.chunk_by(|above, below| below + 1 == *above) {
            let (Some(&last), Some(&first)) = (run.first(), run.last()) else { continue };
            let ids = index.ids(self.conn, owner, first, last)?;
            for (seq, MsgId(id)) in (first..).zip(ids) {
                entries.push((Seq(seq), statement.query_row([id as i64], message)?));
            }
        }
        Ok(entries)
    }

    fn cleared(
        &mut self,
        owner: UserId,
        conversations: &[ConversationKey],
    ) -> Result<Vec<u64>, Stop> {
        search::cleared(self, owner, conversations)
    }
}

impl Names for Snapshot<'_> {
    fn users(&mut self, users: &[UserId]) -> Result<Vec<pb::UserInfo>, Stop> {
        Snapshot::users(self, users)
    }

    fn groups(
        &mut self,
        user: UserId,
        after: GroupId,
        limit: usize,
    ) -> Result<pb::GroupListResp, Stop> {
        Snapshot::groups(self, user, after, limit)
    }
}

impl Batch<'_> {
    /// Parts of the index of a mailbox or stream; whoever wrote them before wrote the same.
    pub(super) fn store_index(&self, user: UserId, blocks: &[IndexBlock]) -> Result<(), Stop> {
        debug_assert!(user.0 < ID_END, "whoever has a mailbox has such an id");
        let mut insert = self.conn.prepare_cached(
            "INSERT OR REPLACE INTO im_search_block (owner, block, data) VALUES (?, ?, ?)",
        )?;
        for block in blocks {
            let log = Log::of(user, block.group).index_key();
            insert.execute((log as i64, block.number as i64, &block.data[..]))?;
        }
        Ok(())
    }
}
