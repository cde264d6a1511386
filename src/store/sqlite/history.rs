//! HISTORY: what a reader may see of a conversation, and a page of it.

use aldis_logic::job::{HistoryPage, HistoryRange, SyncPage};
use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{ConvSeq, ConversationKey, GroupId, Seq, UserId};
use rusqlite::OptionalExtension;

use super::failure::{Stop, damaged};
use super::index::Index;
use super::read::Snapshot;
use super::rows::number;
use crate::group::StreamState;
use crate::page::{PageBytes, Span, plan, plan_stream};
use crate::refusal::{NO_SUCH_GROUP, NOT_A_PARTY};

impl Snapshot<'_> {
    pub(super) fn history(
        &self,
        reader: UserId,
        key: ConversationKey,
        range: HistoryRange,
        limit: usize,
    ) -> Result<HistoryPage, Stop> {
        let number = self.conversation_number(key)?;
        let last = match number {
            Some(number) => Index::Conversations.last(self.conn, number)?,
            None => None,
        };
        let head = last.map_or(0, |last| last.position);
        let visible = match key.as_group() {
            Some(group) => self.stays(group, reader, head)?,
            None if key.lo != reader.0 && key.hi != reader.0 => return Err(NOT_A_PARTY.into()),
            None if head == 0 => vec![],
            None => vec![Span { first: 1, last: head }],
        };
        let max_conv_seq = ConvSeq(visible.last().map_or(0, |span| span.last));
        let plan = plan(&visible, range, limit.min(SYNC_ENTRIES_MAX));
        let mut more = plan.more;
        let mut ids = Vec::new();
        for span in &plan.spans {
            let number = number.ok_or_else(|| damaged("a stay without a conversation"))?;
            ids.extend(Index::Conversations.ids(self.conn, number, span.first, span.last)?);
        }
        if plan.is_descending {
            ids.reverse();
        }
        let mut bytes = PageBytes::default();
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            let message = self.message(id)?;
            if !bytes.take(&message) {
                more = true;
                break;
            }
            entries.push(message);
        }
        if plan.is_descending {
            entries.reverse();
        }
        Ok(HistoryPage { entries, more, max_conv_seq })
    }

    /// MSG_SYNC of a stream.
    pub(super) fn stream(
        &self,
        reader: UserId,
        group: GroupId,
        after: Seq,
        limit: usize,
    ) -> Result<SyncPage, Stop> {
        let Ok(key) = i64::try_from(group.0) else { return Err(NO_SUCH_GROUP.into()) };
        let state = self
            .conn
            .prepare_cached(
                "SELECT begin_seq, end_seq, member_seq FROM im_group WHERE group_id = ?",
            )?
            .query_row([key], |row| {
                Ok(StreamState::of_row(number(row, 0)?, number(row, 1)?, number(row, 2)?))
            })
            .optional()?
            .flatten();
        let (Some(state), Some(number)) =
            (state, self.conversation_number(ConversationKey::group(group))?)
        else {
            return Err(NO_SUCH_GROUP.into());
        };
        let last = Index::Conversations.last(self.conn, number)?;
        let head = last.map_or(0, |last| last.position);
        let stays = self.stay_rows(group, reader)?;
        let limit = limit.min(SYNC_ENTRIES_MAX);
        let plan = plan_stream(state, &stays, head, after.0, limit).ok_or(NO_SUCH_GROUP)?;
        let mut entries = Vec::new();
        if let Some(span) = plan.span {
            let ids = Index::Conversations.ids(self.conn, number, span.first, span.last)?;
            let mut bytes = PageBytes::default();
            for (seq, id) in (span.first..).zip(ids) {
                let message = self.message(id)?;
                if !bytes.take(&message) {
                    break;
                }
                entries.push((Seq(seq), message));
            }
        }
        Ok(plan.page(group, entries))
    }

    fn conversation_number(&self, key: ConversationKey) -> Result<Option<u64>, Stop> {
        let number = self
            .conn
            .prepare_cached("SELECT number FROM im_conversation WHERE lo = ? AND hi = ?")?
            .query_row((key.lo as i64, key.hi as i64), |row| number(row, 0))
            .optional()?;
        Ok(number)
    }

    /// The reader's stays, ascending.
    fn stays(&self, group: GroupId, reader: UserId, head: u64) -> Result<Vec<Span>, Stop> {
        let stays = self.stay_rows(group, reader)?;
        if stays.is_empty() {
            return Err(NO_SUCH_GROUP.into());
        }
        let span = |(first, last)| Span { first, last: if last == 0 { head } else { last } };
        Ok(stays.into_iter().map(span).collect())
    }

    /// join_seq and leave_seq of the reader's stays, ascending.
    fn stay_rows(&self, group: GroupId, reader: UserId) -> Result<Vec<(u64, u64)>, Stop> {
        let stays = self
            .conn
            .prepare_cached(
                "SELECT join_seq, leave_seq FROM im_group_member
                 WHERE group_id = ? AND user_id = ? ORDER BY join_seq",
            )?
            .query_map((group.0 as i64, reader.0 as i64), |row| {
                Ok((number(row, 0)?, number(row, 1)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(stays)
    }
}
