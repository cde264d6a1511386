//! What SEARCH reads and stores in SQLite. Knows no query.

use aldis_logic::job::{IndexBlock, StoredMessage};
use aldis_wire::{ConversationKey, GroupId, MsgId, Seq, UserId, pb};
use bytes::Bytes;

use super::accounts::ID_END;
use super::batch::Batch;
use super::failure::Stop;
use super::index::Index;
use super::read::Snapshot;
use super::rows::{message, number};
use crate::search::{self, Mailbox, Names};

/// As the statement for any entry, but with texts only.
const TEXT_BY_ID: &str =
    "SELECT msg_id, lo, hi, conv_seq, msg_no, sender, client_msg_id, kind, time_ms, flags,
            CASE kind WHEN 1 THEN content ELSE x'' END,
            CASE kind WHEN 1 THEN extra ELSE x'' END, refs
     FROM im_message_body WHERE msg_id = ?";

const _: () = assert!(pb::MsgType::Text as i32 == 1, "the statement says so");

impl Mailbox for Snapshot<'_> {
    type Stop = Stop;

    fn head(&mut self, owner: UserId) -> Result<Seq, Stop> {
        self.mailbox_head(owner)
    }

    fn blocks(&mut self, owner: UserId, first: u64, last: u64) -> Result<Vec<IndexBlock>, Stop> {
        let blocks = self
            .conn
            .prepare_cached(
                "SELECT block, data FROM im_search_block WHERE owner = ? AND block BETWEEN ? AND ?",
            )?
            .query_map((owner.0 as i64, first as i64, last as i64), |row| {
                let data = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
                Ok(IndexBlock { number: number(row, 0)?, data })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(blocks)
    }

    fn texts(&mut self, owner: UserId, seqs: &[u64]) -> Result<Vec<(Seq, StoredMessage)>, Stop> {
        let mut statement = self.conn.prepare_cached(TEXT_BY_ID)?;
        let mut entries = Vec::with_capacity(seqs.len());
        // One look into the index for all that stand together.
        for run in seqs.chunk_by(|above, below| below + 1 == *above) {
            let (Some(&last), Some(&first)) = (run.first(), run.last()) else { continue };
            let ids = Index::Mailboxes.ids(self.conn, owner.0, first, last)?;
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
    /// Parts of a mailbox's index; whoever wrote them before wrote the same.
    pub(super) fn store_index(&self, user: UserId, blocks: &[IndexBlock]) -> Result<(), Stop> {
        debug_assert!(user.0 < ID_END, "whoever has a mailbox has such an id");
        let mut insert = self.conn.prepare_cached(
            "INSERT OR REPLACE INTO im_search_block (owner, block, data) VALUES (?, ?, ?)",
        )?;
        for block in blocks {
            insert.execute((user.0 as i64, block.number as i64, &block.data[..]))?;
        }
        Ok(())
    }
}
