//! HISTORY: what a reader may see of a conversation, and a page of it.

use aldis_logic::job::{HistoryPage, HistoryRange, StoredMessage, SyncPage};
use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{ConvSeq, ConversationKey, GroupId, MsgId, Seq, UserId};
use mysql::Row;

use super::claim::NOW_MS;
use super::connection::Session;
use super::durable::is_fresh;
use super::failure::{Abort, Stop, damaged};
use super::lookups::SNAPSHOT;
use super::read::MysqlReader;
use super::rows::{MESSAGE_COLUMNS, message, number, take};
use super::sql_text::SqlText;
use super::sync::OPTIMISTIC_BYTES_MAX;
use crate::group::StreamState;
use crate::page::{END, PageBytes, Plan, Span, above, blank, end_of, plan, plan_stream};
use crate::refusal::{NO_SUCH_GROUP, NOT_A_PARTY};
use crate::search;
use crate::stays::{StoredStay, readable};

/// Counters of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ConversationHead {
    max_seq: u64,
    /// Rises with every change of anything in it.
    change_seq: u64,
    /// Its newest entry may not be on disk yet.
    is_fresh: bool,
}

impl ConversationHead {
    fn read(row: &mut Row) -> Result<Self, Abort> {
        let newest: Option<u64> = take(row, 2)?;
        let now_ms = number(row, 3)?;
        Ok(Self {
            max_seq: number(row, 0)?,
            change_seq: number(row, 1)?,
            is_fresh: newest.is_none_or(|id| is_fresh(MsgId(id), now_ms)),
        })
    }
}

impl MysqlReader {
    pub(super) fn history(
        &mut self,
        reader: UserId,
        key: ConversationKey,
        range: HistoryRange,
        limit: usize,
    ) -> Result<HistoryPage, Stop> {
        let is_group = key.as_group().is_some();
        if !is_group && key.lo != reader.0 && key.hi != reader.0 {
            return Err(NOT_A_PARTY.into());
        }
        let Standing { head, stays, cleared_seq } =
            read_standing(self.primary.session()?, &mut self.sql, key, reader)?;
        let visible = match is_group {
            true if stays.is_empty() => return Err(NO_SUCH_GROUP.into()),
            true => readable(&stays, head.max_seq),
            false if head.max_seq == 0 => vec![],
            false => vec![Span { first: 1, last: head.max_seq }],
        };
        self.secure_conversation(key, head)?;
        let max_conv_seq = ConvSeq(visible.last().map_or(0, |span| span.last));
        let shown = above(&visible, cleared_seq);
        let plan = plan(&shown, range, limit.min(SYNC_ENTRIES_MAX));
        if plan.spans.is_empty() {
            return Ok(HistoryPage { entries: vec![], more: plan.more, max_conv_seq });
        }
        let entries = self.read_page(key, reader, head, &plan)?;
        Ok(trim(entries, &plan, max_conv_seq))
    }

    /// MSG_SYNC of a stream.
    pub(super) fn stream(
        &mut self,
        reader: UserId,
        group: GroupId,
        after: Seq,
        limit: usize,
    ) -> Result<SyncPage, Stop> {
        let key = ConversationKey::group(group);
        let session = self.primary.session()?;
        let Standing { head, stays, cleared_seq } =
            read_standing(session, &mut self.sql, key, reader)?;
        let state = read_state(session, &mut self.sql, group)?.ok_or(NO_SUCH_GROUP)?;
        let limit = limit.min(SYNC_ENTRIES_MAX);
        let planned = plan_stream(state, &stays, head.max_seq, after.0, limit);
        let planned = planned.ok_or(NO_SUCH_GROUP)?;
        self.secure_conversation(key, head)?;
        let Some(span) = planned.span else { return Ok(planned.page(group, vec![])) };
        let plan = Plan { spans: vec![span], more: false, is_descending: false };
        let entries = self.read_page(key, reader, head, &plan)?;
        let mut entries = trim(entries, &plan, ConvSeq(planned.head)).entries;
        entries.iter_mut().filter(|entry| entry.conv_seq.0 <= cleared_seq).for_each(blank);
        Ok(planned.page(group, entries.into_iter().map(|e| (Seq(e.conv_seq.0), e)).collect()))
    }

    /// Where streams ended for readers who are members no more.
    pub(super) fn stream_ends(
        &mut self,
        asks: &[(UserId, GroupId)],
    ) -> Result<Vec<Option<Seq>>, Stop> {
        let end = |&(reader, group): &(UserId, GroupId)| match self.stream(reader, group, END, 0) {
            Ok(page) => Ok(end_of(&page)),
            Err(Stop::Refuse(_)) => Ok(None),
            Err(why) => Err(why),
        };
        asks.iter().map(end).collect()
    }

    /// The places of a group's conversation that are there for a reader and in no mailbox, up to a head that
    /// is on disk.
    pub(super) fn seen_of_stream(
        &mut self,
        reader: UserId,
        group: GroupId,
    ) -> Result<Vec<Span>, Abort> {
        let key = ConversationKey::group(group);
        let session = self.primary.session()?;
        let Standing { head, stays, .. } = read_standing(session, &mut self.sql, key, reader)?;
        let state = read_state(session, &mut self.sql, group)?;
        self.secure_conversation(key, head)?;
        Ok(search::visible(state, &stays, head.max_seq))
    }

    /// Makes sure that what the head counts is on disk.
    fn secure_conversation(
        &mut self,
        key: ConversationKey,
        head: ConversationHead,
    ) -> Result<(), Abort> {
        if head.is_fresh && !self.shared.durable.has_conversation(key, head.max_seq) {
            self.barrier.pass(self.primary.session()?)?;
            self.shared.durable.raise_conversation(key, head.max_seq);
        }
        Ok(())
    }

    /// The entries of a plan, from a replica that has all that the head counts, or the primary.
    fn read_page(
        &mut self,
        key: ConversationKey,
        reader: UserId,
        head: ConversationHead,
        plan: &Plan,
    ) -> Result<Vec<StoredMessage>, Abort> {
        let from_replica = self.replicas.try_each(|session| {
            let standing = read_standing(session, &mut self.sql, key, reader)?.head;
            if standing.max_seq < head.max_seq || standing.change_seq < head.change_seq {
                return Ok(None);
            }
            read_entries(session, &mut self.sql, key, plan).map(Some)
        });
        match from_replica {
            Some(entries) => Ok(entries),
            None => read_entries(self.primary.session()?, &mut self.sql, key, plan),
        }
    }
}

/// How a reader stands in a conversation; one snapshot.
#[derive(Debug, Default)]
struct Standing {
    head: ConversationHead,
    /// Of a group: the reader's stays, ascending.
    stays: Vec<StoredStay>,
    /// Nothing up to there is shown to the reader.
    cleared_seq: u64,
}

/// What a group is as a stream. Read after the stays: it stays one, and it has its end when they have.
fn read_state(
    session: &mut Session,
    sql: &mut SqlText,
    group: GroupId,
) -> Result<Option<StreamState>, Abort> {
    sql.clear();
    sql.statement("SELECT begin_seq, end_seq, member_seq FROM im_group WHERE group_id = ");
    sql.number(group.0);
    match session.run(sql.as_str())?.into_iter().flatten().next() {
        None => Ok(None),
        Some(mut row) => {
            let row = &mut row;
            Ok(StreamState::of_row(number(row, 0)?, number(row, 1)?, number(row, 2)?))
        }
    }
}

fn read_standing(
    session: &mut Session,
    sql: &mut SqlText,
    key: ConversationKey,
    reader: UserId,
) -> Result<Standing, Abort> {
    sql.clear();
    sql.statement(SNAPSHOT);
    sql.statement("SELECT c.max_seq, c.change_seq, b.msg_id, ").push(NOW_MS);
    sql.push(
        " FROM im_conversation c LEFT JOIN im_message_body b
          ON b.lo = c.lo AND b.hi = c.hi AND b.conv_seq = c.max_seq WHERE c.lo = ",
    );
    sql.number(key.lo).push(" AND c.hi = ").number(key.hi);
    sql.statement("SELECT cleared_seq FROM im_read_mark WHERE owner = ").number(reader.0);
    sql.push(" AND lo = ").number(key.lo).push(" AND hi = ").number(key.hi);
    if let Some(group) = key.as_group() {
        sql.statement(
            "SELECT join_seq, leave_seq, from_seq FROM im_group_member WHERE group_id = ",
        );
        sql.number(group.0).push(" AND user_id = ").number(reader.0).push(" ORDER BY join_seq");
    }
    sql.statement("COMMIT");
    let mut sets = session.run(sql.as_str())?.into_iter().skip(1);
    let head = match sets.next().unwrap_or_default().first_mut() {
        Some(row) => ConversationHead::read(row)?,
        None => ConversationHead::default(),
    };
    let cleared_seq = match sets.next().unwrap_or_default().first_mut() {
        Some(row) => number(row, 0)?,
        None => 0,
    };
    let mut stays = Vec::new();
    for mut row in sets.next().unwrap_or_default() {
        let row = &mut row;
        stays.push(StoredStay::of_row(number(row, 0)?, number(row, 1)?, number(row, 2)?));
    }
    Ok(Standing { head, stays, cleared_seq })
}

/// The entries of a plan, ascending; of a large one those that fit a page. Entries do not change
/// places, so this needs no snapshot.
fn read_entries(
    session: &mut Session,
    sql: &mut SqlText,
    key: ConversationKey,
    plan: &Plan,
) -> Result<Vec<StoredMessage>, Abort> {
    sql.clear();
    write_entries(sql, key, &plan.spans);
    sql.push(" AND (SELECT SUM(b.bytes)");
    write_from(sql, key, &plan.spans);
    sql.push(") <= ").number(OPTIMISTIC_BYTES_MAX);
    sql.push(" ORDER BY b.conv_seq");
    let mut rows = session.run(sql.as_str())?.into_iter().next().unwrap_or_default();
    if rows.is_empty() {
        let spans = fitting(session, sql, key, plan)?;
        sql.clear();
        write_entries(sql, key, &spans);
        sql.push(" ORDER BY b.conv_seq");
        rows = session.run(sql.as_str())?.into_iter().next().unwrap_or_default();
    }
    let entries = rows.into_iter().map(|mut row| message(&mut row, 0));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        return Err(damaged("a conversation lacks entries"));
    }
    Ok(entries)
}

/// What of the plan's positions fits a page.
fn fitting(
    session: &mut Session,
    sql: &mut SqlText,
    key: ConversationKey,
    plan: &Plan,
) -> Result<Vec<Span>, Abort> {
    sql.clear();
    sql.statement("SELECT b.conv_seq, b.bytes");
    write_from(sql, key, &plan.spans);
    sql.push(if plan.is_descending { " ORDER BY b.conv_seq DESC" } else { " ORDER BY b.conv_seq" });
    let mut bytes = PageBytes::default();
    let mut spans = Vec::new();
    for mut row in session.run(sql.as_str())?.into_iter().flatten() {
        if !bytes.take_bytes(number(&mut row, 1)? as usize) {
            break;
        }
        let at = number(&mut row, 0)?;
        spans.push(Span { first: at, last: at });
    }
    if spans.is_empty() { Err(damaged("a conversation lacks entries")) } else { Ok(spans) }
}

/// Ends the page where its bytes do.
fn trim(mut entries: Vec<StoredMessage>, plan: &Plan, max_conv_seq: ConvSeq) -> HistoryPage {
    if plan.is_descending {
        entries.reverse();
    }
    let wanted = plan.spans.iter().map(|span| span.last + 1 - span.first).sum::<u64>();
    let mut bytes = PageBytes::default();
    let fitting_count = entries.iter().take_while(|entry| bytes.take(entry)).count();
    let more = plan.more || (fitting_count as u64) < wanted;
    entries.truncate(fitting_count);
    if plan.is_descending {
        entries.reverse();
    }
    HistoryPage { entries, more, max_conv_seq }
}

fn write_entries(sql: &mut SqlText, key: ConversationKey, spans: &[Span]) {
    sql.statement("SELECT ").push(MESSAGE_COLUMNS);
    write_from(sql, key, spans);
}

/// Where the entries of some places of a conversation are found.
pub(super) fn write_from(sql: &mut SqlText, key: ConversationKey, spans: &[Span]) {
    sql.push(" FROM im_message_body b FORCE INDEX (im_message_place) WHERE b.lo = ");
    sql.number(key.lo).push(" AND b.hi = ").number(key.hi).push(" AND (");
    for (number, span) in spans.iter().enumerate() {
        sql.push(if number == 0 { "" } else { " OR " });
        sql.push("b.conv_seq BETWEEN ").number(span.first).push(" AND ").number(span.last);
    }
    sql.push(")");
}
