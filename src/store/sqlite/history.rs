//! HISTORY: what a reader may see of a conversation, and a page of it.

use std::collections::HashMap;

use aldis_logic::job::{HistoryPage, HistoryRange, SyncPage};
use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{ConvSeq, ConversationKey, GroupId, Seq, UserId};
use rusqlite::OptionalExtension;

use super::failure::{Stop, damaged};
use super::groups;
use super::index::Index;
use super::read::Snapshot;
use super::records::find;
use super::rows::number;
use crate::group::StreamState;
use crate::page::{END, PageBytes, Span, above, blank, end_of, plan, plan_stream};
use crate::record::{Key, Record, Table, View};
use crate::refusal::{NO_SUCH_GROUP, NOT_A_PARTY};
use crate::search;
use crate::stays::readable;

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
            Some(group) => self.visible_stays(group, reader, head)?,
            None if key.lo != reader.0 && key.hi != reader.0 => return Err(NOT_A_PARTY.into()),
            None if head == 0 => vec![],
            None => vec![Span { first: 1, last: head }],
        };
        let max_conv_seq = ConvSeq(visible.last().map_or(0, |span| span.last));
        let shown = above(&visible, self.cleared(reader, key)?);
        let plan = plan(&shown, range, limit.min(SYNC_ENTRIES_MAX));
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
        let (Some(state), Some(number)) =
            (self.stream_state(group)?, self.conversation_number(ConversationKey::group(group))?)
        else {
            return Err(NO_SUCH_GROUP.into());
        };
        let last = Index::Conversations.last(self.conn, number)?;
        let head = last.map_or(0, |last| last.position);
        let stays = groups::stays(self.conn, group, reader)?;
        let limit = limit.min(SYNC_ENTRIES_MAX);
        let plan = plan_stream(state, &stays, head, after.0, limit).ok_or(NO_SUCH_GROUP)?;
        let mut entries = Vec::new();
        if let Some(span) = plan.span {
            let ids = Index::Conversations.ids(self.conn, number, span.first, span.last)?;
            let mut bytes = PageBytes::default();
            let cleared = self.cleared(reader, ConversationKey::group(group))?;
            for (seq, id) in (span.first..).zip(ids) {
                let mut message = self.message(id)?;
                if seq <= cleared {
                    blank(&mut message);
                }
                if !bytes.take(&message) {
                    break;
                }
                entries.push((Seq(seq), message));
            }
        }
        Ok(plan.page(group, entries))
    }

    /// Where streams ended for readers who are members no more.
    pub(super) fn stream_ends(&self, asks: &[(UserId, GroupId)]) -> Result<Vec<Option<Seq>>, Stop> {
        let end = |&(reader, group): &(UserId, GroupId)| match self.stream(reader, group, END, 0) {
            Ok(page) => Ok(end_of(&page)),
            Err(Stop::Refuse(_)) => Ok(None),
            Err(why) => Err(why),
        };
        asks.iter().map(end).collect()
    }

    fn stream_state(&self, group: GroupId) -> Result<Option<StreamState>, Stop> {
        let Ok(key) = i64::try_from(group.0) else { return Ok(None) };
        let state = self
            .conn
            .prepare_cached(
                "SELECT begin_seq, end_seq, member_seq FROM im_group WHERE group_id = ?",
            )?
            .query_row([key], |row| {
                Ok(StreamState::of_row(number(row, 0)?, number(row, 1)?, number(row, 2)?))
            })
            .optional()?;
        Ok(state.flatten())
    }

    /// The places of a group's conversation that are there for a reader, and in no mailbox.
    pub(super) fn seen_of_stream(&self, reader: UserId, group: GroupId) -> Result<Vec<Span>, Stop> {
        let Some(number) = self.conversation_number(ConversationKey::group(group))? else {
            return Ok(vec![]);
        };
        let last = Index::Conversations.last(self.conn, number)?;
        let head = last.map_or(0, |last| last.position);
        let stays = groups::stays(self.conn, group, reader)?;
        Ok(search::visible(self.stream_state(group)?, &stays, head))
    }

    pub(super) fn conversation_number(&self, key: ConversationKey) -> Result<Option<u64>, Stop> {
        let number = self
            .conn
            .prepare_cached("SELECT number FROM im_conversation WHERE lo = ? AND hi = ?")?
            .query_row((key.lo as i64, key.hi as i64), |row| number(row, 0))
            .optional()?;
        Ok(number)
    }

    /// What the reader may see of a group, ascending.
    fn visible_stays(&self, group: GroupId, reader: UserId, head: u64) -> Result<Vec<Span>, Stop> {
        let stays = groups::stays(self.conn, group, reader)?;
        if stays.is_empty() {
            return Err(NO_SUCH_GROUP.into());
        }
        Ok(readable(&stays, head))
    }

    /// Up to where a conversation's history is cleared for one of its members.
    fn cleared(&self, owner: UserId, key: ConversationKey) -> Result<u64, Stop> {
        let key = Key::from_slice(&[owner.0, key.lo, key.hi]);
        let view =
            find(self.conn, Table::View, &key)?.map_or(Some(View::default()), View::from_row);
        Ok(view.ok_or_else(|| damaged("a view"))?.cleared_seq)
    }

    /// The conversations whose history a user has cleared, up to where.
    pub(super) fn all_cleared(&self, owner: UserId) -> Result<HashMap<ConversationKey, u64>, Stop> {
        let cleared = self
            .conn
            .prepare_cached(
                "SELECT lo, hi, cleared_seq FROM im_read_mark WHERE owner = ? AND cleared_seq > 0",
            )?
            .query_map([owner.0 as i64], |row| {
                let key = ConversationKey { lo: number(row, 0)?, hi: number(row, 1)? };
                Ok((key, number(row, 2)?))
            })?
            .collect::<rusqlite::Result<HashMap<_, _>>>()?;
        Ok(cleared)
    }
}
