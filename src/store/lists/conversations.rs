//! CONVERSATION_LIST: a user's conversations by their newest entries, with what is unread. Knows no
//! backend.
//!
//! The mailbox is in the order of the list, so it is read from its newest entry down. An entry that
//! is the last one of its conversation that the user can see stands for it; the others were passed
//! over on this page or an earlier one, so a page needs to know nothing of those before it.

use std::collections::HashSet;

use aldis_logic::job::{
    ConversationSummary, ConversationsPage, HistoryRange, JobError, StoredMessage,
};
use aldis_wire::limits::{OWN_MARK_ENTRIES_MAX, PREVIEW_BYTES_MAX};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, SHORTENED, Seq, UserId, pb};
use bytes::Bytes;

use super::{Look, Outline, Place, STEP_ROWS, Scan, Search};
use crate::page::{Span, above, plan};
use crate::record::{Follow, Key, Record, Table, View};
use crate::rules::shown;

/// Entries of the mailbox that one page looks at: a busy conversation may hide all others behind
/// more.
const LOOKED_ENTRIES_MAX: usize = 4 * STEP_ROWS;

/// Entries of the first step for each conversation that is wanted: often they are enough.
const FIRST_STEP_FACTOR: usize = 2;

/// A conversation of the page.
struct Item {
    view: View,
    /// What the user can see of it, ascending.
    visible: Vec<Span>,
    /// The last entry of that.
    top: Outline,
}

/// A position in a conversation, and the messages up to and with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    conv_seq: u64,
    msg_no: u64,
}

/// All conversations, newest first.
pub(crate) fn conversations<L: Look>(
    look: &mut L,
    user: UserId,
    before: Seq,
    limit: usize,
) -> Result<ConversationsPage, L::Stop> {
    let head = head(look, user)?;
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    let mut looked_count = 0;
    let mut below = if before.0 == 0 { head + 1 } else { before.0.min(head + 1) };
    while below > 1 && items.len() < limit && looked_count < LOOKED_ENTRIES_MAX {
        let step =
            if looked_count == 0 { STEP_ROWS.min(FIRST_STEP_FACTOR * limit) } else { STEP_ROWS };
        let entries = look.mailbox(user, below - 1, step)?;
        looked_count += entries.len();
        below = entries.last().map_or(1, |(seq, _)| *seq);
        let mut rest: Vec<(u64, Outline)> = entries
            .into_iter()
            .filter(|(_, entry)| {
                let key = entry.place.conversation;
                !key.is_own() && seen.insert(key)
            })
            .collect();
        while !rest.is_empty() && items.len() < limit {
            let chunk: Vec<_> = rest.drain(..rest.len().min(limit - items.len())).collect();
            items.extend(listed(look, user, &chunk)?);
            if items.len() == limit {
                below = chunk.last().map_or(below, |(seq, _)| *seq);
            }
        }
    }
    let next_before = Seq(if below > 1 { below } else { 0 });
    Ok(ConversationsPage {
        conversations: summaries(look, user, items)?,
        next_before,
        head: Seq(head),
    })
}

/// Those that the user has pinned, also if nothing of them is shown any more.
pub(crate) fn pinned<L: Look>(look: &mut L, user: UserId) -> Result<ConversationsPage, L::Stop> {
    let keys = look.pinned(user)?;
    page_of(look, user, &keys, Seq(0))
}

/// The streams that the user follows, ascending by group: their entries are in no mailbox. The cursor is
/// the last group that was looked at.
pub(crate) fn streams<L: Look>(
    look: &mut L,
    user: UserId,
    after: GroupId,
    limit: usize,
) -> Result<ConversationsPage, L::Stop> {
    let rows = look.scan(Table::Follow, &[user.0], after.0, limit)?;
    let next = if rows.len() < limit { 0 } else { rows.last().map_or(0, |(group, _)| *group) };
    let mut keys = Vec::with_capacity(rows.len());
    for (group, row) in rows {
        let follow = Follow::from_row(row).ok_or(JobError::Internal)?;
        if follow.is_over == 0 {
            keys.push(ConversationKey::group(GroupId(group)));
        }
    }
    page_of(look, user, &keys, Seq(next))
}

/// A page of these conversations, which have entries that the user can see.
fn page_of<L: Look>(
    look: &mut L,
    user: UserId,
    keys: &[ConversationKey],
    next_before: Seq,
) -> Result<ConversationsPage, L::Stop> {
    let head = head(look, user)?;
    let views = views(look, user, keys)?;
    let standings = look.standings(user, keys)?;
    let visible: Vec<_> =
        keys.iter().zip(&standings).map(|(key, standing)| standing.visible(*key)).collect();
    let places: Vec<Place> = keys
        .iter()
        .zip(&visible)
        .map(|(&conversation, spans)| Place { conversation, conv_seq: last(spans) })
        .collect();
    let tops = look.outlines(&places)?;
    let items = views.into_iter().zip(visible).zip(tops);
    let items = items.map(|((view, visible), top)| Item { view, visible, top }).collect();
    let conversations = summaries(look, user, items)?;
    Ok(ConversationsPage { conversations, next_before, head: Seq(head) })
}

fn head<L: Look>(look: &mut L, user: UserId) -> Result<u64, L::Stop> {
    Ok(look.heads(&[user])?.first().copied().unwrap_or(0))
}

fn last(spans: &[Span]) -> u64 {
    spans.last().map_or(0, |span| span.last)
}

/// What these conversations are to the user, in their order.
pub(crate) fn views<S: Scan>(
    look: &mut S,
    user: UserId,
    keys: &[ConversationKey],
) -> Result<Vec<View>, S::Stop> {
    let keys: Vec<Key> =
        keys.iter().map(|key| Key::from_slice(&[user.0, key.lo, key.hi])).collect();
    let rows = look.rows(Table::View, &keys)?.into_iter();
    let view = |row| match row {
        Some(row) => View::from_row(row).ok_or_else(|| JobError::Internal.into()),
        None => Ok(View::default()),
    };
    rows.map(view).collect()
}

/// Which of the entries stand for their conversations.
fn listed<L: Look>(
    look: &mut L,
    user: UserId,
    entries: &[(u64, Outline)],
) -> Result<Vec<Item>, L::Stop> {
    let keys: Vec<_> = entries.iter().map(|(_, entry)| entry.place.conversation).collect();
    let standings = look.standings(user, &keys)?;
    let views = views(look, user, &keys)?;
    let followed = followed(look, user, &keys)?;
    let mut items = Vec::new();
    for (((_, top), standing), view) in entries.iter().zip(&standings).zip(views) {
        if followed.contains(&top.place.conversation) {
            continue;
        }
        let visible = standing.visible(top.place.conversation);
        let conv_seq = top.place.conv_seq;
        if conv_seq == last(&visible) && conv_seq > view.cleared_seq {
            items.push(Item { view, visible, top: *top });
        }
    }
    Ok(items)
}

/// Those of the conversations that the user follows as streams: they are in a list of their own.
fn followed<L: Look>(
    look: &mut L,
    user: UserId,
    keys: &[ConversationKey],
) -> Result<HashSet<ConversationKey>, L::Stop> {
    let groups: Vec<GroupId> = keys.iter().filter_map(|key| key.as_group()).collect();
    if groups.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<Key> = groups.iter().map(|group| Key::from_slice(&[user.0, group.0])).collect();
    let rows = look.rows(Table::Follow, &rows)?;
    let mut followed = HashSet::new();
    for (group, row) in groups.into_iter().zip(rows) {
        let Some(row) = row else { continue };
        if Follow::from_row(row).ok_or(JobError::Internal)?.is_over == 0 {
            followed.insert(ConversationKey::group(group));
        }
    }
    Ok(followed)
}

fn summaries<L: Look>(
    look: &mut L,
    user: UserId,
    items: Vec<Item>,
) -> Result<Vec<ConversationSummary>, L::Stop> {
    let unread = unread(look, user, &items)?;
    let mut lasts = last_messages(look, &items)?.into_iter();
    let summary = |(item, unread): (Item, u64)| ConversationSummary {
        view: shown(user, item.top.place.conversation, &item.view),
        max_conv_seq: ConvSeq(item.top.place.conv_seq),
        update_time_ms: item.top.time_ms,
        unread,
        last: lasts.next().flatten(),
    };
    Ok(items.into_iter().zip(unread).map(summary).collect())
}

/// Messages above all marks: what was read, what was cleared, and one's own newest message.
fn unread<L: Look>(look: &mut L, user: UserId, items: &[Item]) -> Result<Vec<u64>, L::Stop> {
    let mut marks: Vec<Mark> = items.iter().map(|item| stored_mark(&item.view)).collect();
    let mut searches = Vec::new();
    let mut searched = Vec::new();
    for (number, (item, mark)) in items.iter().zip(&marks).enumerate() {
        if let Some(search) = search(item, mark.conv_seq, Some(user)) {
            searches.push(search);
            searched.push(number);
        }
    }
    for (number, own) in searched.into_iter().zip(look.newest(&searches)?) {
        if let (Some(mark), Some(own)) = (marks.get_mut(number), own) {
            *mark = Mark { conv_seq: own.place.conv_seq, msg_no: own.msg_no };
        }
    }
    let mut anchors = Vec::new();
    for (item, mark) in items.iter().zip(&marks) {
        let conversation = item.top.place.conversation;
        let places = anchors_of(item, *mark).into_iter();
        anchors.extend(places.map(|conv_seq| Place { conversation, conv_seq }));
    }
    let mut numbers = look.outlines(&anchors)?.into_iter().map(|outline| outline.msg_no);
    let mut unread = Vec::with_capacity(items.len());
    for (item, mark) in items.iter().zip(marks) {
        let count = anchors_of(item, mark).len();
        let numbers: Vec<u64> = numbers.by_ref().take(count).collect();
        unread.push(count_above(item, mark, &numbers));
    }
    Ok(unread)
}

fn stored_mark(view: &View) -> Mark {
    let read = Mark { conv_seq: view.read_seq, msg_no: view.read_no };
    read.max(Mark { conv_seq: view.cleared_seq, msg_no: view.cleared_no })
}

/// Asks for the newest message above a position, if there is anything.
fn search(item: &Item, position: u64, sender: Option<UserId>) -> Option<Search> {
    let visible = above(&item.visible, position);
    let spans = plan(&visible, HistoryRange::Newest, OWN_MARK_ENTRIES_MAX).spans;
    let conversation = item.top.place.conversation;
    (!spans.is_empty()).then_some(Search { conversation, spans, sender })
}

/// The positions at which messages are counted, besides the mark and the top: where stays above the
/// mark begin, and where all but the last one end. A stay begins with the entry that says so, and
/// no message; before the first entry of all there is nothing to count.
fn anchors_of(item: &Item, mark: Mark) -> Vec<u64> {
    let top = item.top.place.conv_seq;
    let unread = item.visible.iter().filter(|span| span.last > mark.conv_seq);
    let ends = |span: &Span| {
        let begins_unread = span.first > mark.conv_seq && span.first > 1;
        let first = begins_unread.then_some(span.first);
        first.into_iter().chain((span.last < top).then_some(span.last))
    };
    unread.flat_map(ends).collect()
}

/// Counts messages, `numbers` being those of [`anchors_of`].
fn count_above(item: &Item, mark: Mark, numbers: &[u64]) -> u64 {
    let mut numbers = numbers.iter().copied();
    let top = item.top.place.conv_seq;
    let mut count = 0;
    for span in item.visible.iter().filter(|span| span.last > mark.conv_seq) {
        let before = match (span.first > mark.conv_seq, span.first > 1) {
            (true, true) => numbers.next().unwrap_or(0),
            (true, false) => 0,
            (false, _) => mark.msg_no,
        };
        let until = if span.last < top { numbers.next().unwrap_or(0) } else { item.top.msg_no };
        count += until.saturating_sub(before);
    }
    count
}

/// The newest message of each that is shown, shortened.
fn last_messages<L: Look>(
    look: &mut L,
    items: &[Item],
) -> Result<Vec<Option<StoredMessage>>, L::Stop> {
    let mut searches = Vec::new();
    let mut found: Vec<Result<Option<Outline>, usize>> = Vec::with_capacity(items.len());
    for item in items {
        let is_shown = item.top.place.conv_seq > item.view.cleared_seq;
        if is_shown && item.top.kind.is_message() {
            found.push(Ok(Some(item.top)));
            continue;
        }
        match search(item, item.view.cleared_seq, None) {
            Some(search) => {
                found.push(Err(searches.len()));
                searches.push(search);
            }
            None => found.push(Ok(None)),
        }
    }
    let answers = look.newest(&searches)?;
    let newest: Vec<Option<Outline>> = found
        .into_iter()
        .map(|known| known.unwrap_or_else(|at| answers.get(at).copied().flatten()))
        .collect();
    let found: Vec<Outline> = newest.iter().flatten().copied().collect();
    let mut messages = look.messages(&found, PREVIEW_BYTES_MAX)?.into_iter();
    Ok(newest.iter().map(|known| known.and_then(|_| messages.next()).map(shortened)).collect())
}

/// A text is cut where a character begins; what is nothing but bytes is shown whole or not at all.
fn shortened(mut message: StoredMessage) -> StoredMessage {
    if message.content.len() > PREVIEW_BYTES_MAX {
        message.flags |= SHORTENED;
        let length = match message.kind {
            pb::MsgType::Text => text_length(&message.content),
            _ => 0,
        };
        message.content.truncate(length);
    }
    if message.extra.len() > PREVIEW_BYTES_MAX {
        message.flags |= SHORTENED;
        message.extra = Bytes::new();
    }
    message
}

/// How much of a text is shown.
fn text_length(text: &[u8]) -> usize {
    const CONTINUATION: u8 = 0b1000_0000;
    let begins_character =
        |at: &usize| text.get(*at).is_none_or(|byte| byte & 0b1100_0000 != CONTINUATION);
    (0..=PREVIEW_BYTES_MAX).rev().find(begins_character).unwrap_or(0)
}
