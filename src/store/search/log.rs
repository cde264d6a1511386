//! Where a search looks: the reader's mailbox and the conversations of groups, one after the other, and
//! the cursor that says how far it is. Knows no text and no backend.
//!
//! A search of everything reads the mailbox and then the groups of which something is there for the reader
//! in no mailbox, by group; one of such a group reads that and then what the mailbox has. Here all of them
//! are called streams: what was said in a small group before the reader came in is read like one.

use aldis_logic::job::SearchMessages;
use aldis_wire::{ConversationKey, GroupId, UserId};

use crate::group::StreamState;
use crate::lists::Scan;
use crate::page::{Span, stream_spans};
use crate::record::Table;
use crate::stays::{StoredStay, earlier};

/// Entries that are numbered from 1 without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Mailbox(UserId),
    Stream(GroupId),
}

/// Added to a group's id in the key of its index: ids are far below, and SQLite's numbers end above.
const STREAMS: u64 = 1 << 62;

impl Log {
    /// Of a part of the index.
    pub(crate) fn of(owner: UserId, group: Option<GroupId>) -> Self {
        group.map_or(Self::Mailbox(owner), Self::Stream)
    }

    /// Under which its index is stored. A stream's serves all of its readers.
    pub(crate) fn index_key(self) -> u64 {
        match self {
            Log::Mailbox(owner) => owner.0,
            Log::Stream(group) => group.0 | STREAMS,
        }
    }

    /// The group of a stream.
    pub(crate) fn group(self) -> Option<GroupId> {
        match self {
            Log::Mailbox(_) => None,
            Log::Stream(group) => Some(group),
        }
    }
}

/// What of a group's conversation is there for a reader and in no mailbox of its own, ascending: what is in
/// the stream, if the group is one, and what was said before the reader came in and can be read.
pub(crate) fn visible(stream: Option<StreamState>, stays: &[StoredStay], head: u64) -> Vec<Span> {
    let mut spans = stream.map_or(vec![], |state| stream_spans(state, stays, head));
    spans.retain(|span| span.first <= span.last);
    spans.extend(earlier(stays));
    spans.sort_unstable_by_key(|span| span.first);
    spans
}

/// The next group that holds something for the user beside the mailbox.
pub(crate) fn next_stream<S: Scan>(
    snapshot: &mut S,
    user: UserId,
    after: GroupId,
) -> Result<Option<GroupId>, S::Stop> {
    let rows = snapshot.scan(Table::Follow, &[user.0], after.0, 1)?;
    Ok(rows.first().map(|(group, _)| GroupId(*group)))
}

/// Bits of a cursor that are the place in a log.
const PLACE_BITS: u32 = 32;
/// The place of a log that was not looked at yet: above all entries.
const NEWEST: u64 = (1 << PLACE_BITS) - 1;

/// How far a search is: the log, and the place below which it goes on. Clients keep it and understand
/// nothing of it; as a number the group stands above the place, 0 for the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub log: Log,
    /// Below this.
    pub before: u64,
}

impl Cursor {
    /// Where a job begins or goes on. What a client made up names a log that is checked like any.
    pub(super) fn of(job: &SearchMessages) -> Self {
        let group = job.conversation.and_then(ConversationKey::as_group);
        let (cursor_group, before) = (GroupId(job.cursor >> PLACE_BITS), job.cursor & NEWEST);
        let log = match (job.cursor, group, cursor_group) {
            (0, Some(group), _) => Log::Stream(group),
            (_, _, GroupId(0)) => Log::Mailbox(job.user),
            // Of one conversation no other one is searched.
            (_, group, cursor_group) => Log::Stream(group.unwrap_or(cursor_group)),
        };
        let before = if job.cursor == 0 { NEWEST } else { before };
        Self { log, before }
    }

    /// The beginning of a log.
    pub(super) fn newest(log: Log) -> Self {
        Self { log, before: NEWEST }
    }

    /// As clients get it; never 0.
    pub(super) fn number(self) -> u64 {
        let group = self.log.group().map_or(0, |group| group.0);
        group << PLACE_BITS | self.before.clamp(1, NEWEST)
    }
}

#[cfg(test)]
mod tests {
    use aldis_logic::search::SearchQuery;

    use super::*;

    fn job(conversation: Option<ConversationKey>, cursor: u64) -> SearchMessages {
        let query = SearchQuery::parse("x").unwrap();
        SearchMessages { user: UserId(3), query, conversation, cursor, limit: 1, now_ms: 0 }
    }

    #[test]
    fn a_cursor_goes_to_a_client_and_back() {
        for log in [Log::Mailbox(UserId(3)), Log::Stream(GroupId(20_001))] {
            for cursor in [Cursor { log, before: 17 }, Cursor::newest(log)] {
                assert_eq!(Cursor::of(&job(None, cursor.number())), cursor);
            }
        }
    }

    #[test]
    fn a_search_of_one_conversation_stays_in_it() {
        let group = ConversationKey::group(GroupId(7));
        let log = |conversation, cursor| Cursor::of(&job(conversation, cursor)).log;
        assert_eq!(log(None, 0), Log::Mailbox(UserId(3)));
        assert_eq!(log(Some(group), 0), Log::Stream(GroupId(7)));
        assert_eq!(log(Some(group), 8 << 32 | 5), Log::Stream(GroupId(7)));
        assert_eq!(log(Some(group), 5), Log::Mailbox(UserId(3)));
    }
}
