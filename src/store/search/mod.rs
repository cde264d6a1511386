//! SEARCH of messages, written once for all backends: walks a mailbox or a stream from its newest entry
//! down and looks into every text, skipping what the index rules out. Knows no backend.
//!
//! The mailbox is what its owner may read, and of a stream the places within the reader's stays are;
//! every hit is an entry as it is stored now: what was recalled holds no text any more.
//!
//! The index only says where a search need not look. A block of it covers [`BLOCK_ENTRIES`] entries and
//! follows from them alone; the first search that reads all of them makes it. So nothing is indexed
//! that nobody searches, sending a message costs nothing, no process has to be the one that indexes, and
//! there is no lag: where there is no block, the texts themselves are read. Entries go into a block when
//! no EDIT can change them any more, and a block that tells too much costs a look and no wrong hit.

mod block;
mod log;
mod names;

use std::collections::BTreeMap;

use aldis_logic::job::{IndexBlock, JobError, SearchMessages, SearchPage, StoredMessage};
use aldis_logic::search::SearchQuery;
use aldis_wire::limits::EDIT_MS_MAX;
use aldis_wire::{ConversationKey, GroupId, Seq, UserId, pb};
use bytes::Bytes;

use crate::lists::{self, Scan};
use crate::page::{PageBytes, Span};
use block::{Filter, candidates};
use log::Cursor;

pub(crate) use log::{Log, next_stream, visible};
pub(crate) use names::{Names, search_names};

/// Entries that a block covers: few enough that a block is read and decided on in no time, enough that its
/// row is not mostly overhead.
pub(crate) const BLOCK_ENTRIES: u64 = 64;
/// Entries that one request reads, with their texts: some tens of ms of work. The last block is read to its
/// end.
const TEXTS_MAX: usize = 2_048;
/// Bytes of texts that one request reads before it ends with what it has.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Blocks that one request looks at: 131,072 entries, about 6 MB.
const BLOCKS_MAX: usize = 2_048;
/// Blocks that are fetched at once, about 180 KB.
const BLOCKS_STEP: u64 = 64;
/// Streams that one request goes on to: each costs some questions, however little is in it.
const STREAMS_MAX: usize = 32;
/// Entries that are gathered from blocks before they are read.
const TEXTS_STEP: usize = 64;
/// How far the clocks of two nodes may be apart for an edit to be seen, ms.
const CLOCK_SLACK_MS: u64 = 2 * 3_600_000;
/// Age from which an entry can be in a block, ms.
const FINAL_AGE_MS: u64 = EDIT_MS_MAX + CLOCK_SLACK_MS;

const _: () = assert!(BLOCK_ENTRIES as usize <= TEXTS_MAX);

/// A snapshot of a backend, as a search sees it.
pub(crate) trait Logs {
    /// Why it cannot be read; a refusal is one of the reasons.
    type Stop: From<JobError>;

    /// The places of a log that are there for the reader, ascending; none of a stream in which the reader
    /// never was.
    fn visible(&mut self, reader: UserId, log: Log) -> Result<Vec<Span>, Self::Stop>;

    /// The next stream above this one that the user follows or followed.
    fn next_stream(&mut self, user: UserId, after: GroupId) -> Result<Option<GroupId>, Self::Stop>;

    /// The blocks with these numbers that there are, in any order.
    fn blocks(&mut self, log: Log, first: u64, last: u64) -> Result<Vec<IndexBlock>, Self::Stop>;

    /// The entries at these places, which exist and are descending; in any order. What is no text comes
    /// without content.
    fn texts(&mut self, log: Log, seqs: &[u64]) -> Result<Vec<(Seq, StoredMessage)>, Self::Stop>;

    /// Up to which conv_seq the owner has cleared each of these conversations.
    fn cleared(
        &mut self,
        owner: UserId,
        conversations: &[ConversationKey],
    ) -> Result<Vec<u64>, Self::Stop>;
}

/// The same, for a snapshot that lists look at.
pub(crate) fn cleared<S: Scan>(
    snapshot: &mut S,
    owner: UserId,
    conversations: &[ConversationKey],
) -> Result<Vec<u64>, S::Stop> {
    let views = lists::views(snapshot, owner, conversations)?;
    Ok(views.into_iter().map(|view| view.cleared_seq).collect())
}

/// Which entries a search wants.
struct Wanted<'a> {
    query: &'a SearchQuery,
    conversation: Option<ConversationKey>,
}

impl Wanted<'_> {
    fn fits(&self, entry: &StoredMessage) -> bool {
        entry.kind == pb::MsgType::Text
            && self.conversation.is_none_or(|key| key == entry.conversation)
            && std::str::from_utf8(&entry.content).is_ok_and(|text| self.query.matches(text))
    }
}

/// A search while it runs.
struct Search<'a> {
    job: &'a SearchMessages,
    filter: Filter,
    page: SearchPage,
    page_bytes: PageBytes,
    log: Log,
    /// Places of the log that are there for the reader, ascending.
    visible: Vec<Span>,
    /// Everything above was looked at; 0: all of the log.
    at: u64,
    texts_left: usize,
    text_bytes_left: usize,
    blocks_left: usize,
    /// Blocks that were fetched: all there are with at least the number `fetched_from`.
    fetched: BTreeMap<u64, Bytes>,
    fetched_from: u64,
}

/// A page of hits.
pub(crate) fn search_messages<L: Logs>(
    logs: &mut L,
    job: &SearchMessages,
) -> Result<SearchPage, L::Stop> {
    let mut cursor = Cursor::of(job);
    let mut search = Search {
        job,
        filter: Filter::new(&job.query, job.conversation),
        page: SearchPage::default(),
        page_bytes: PageBytes::default(),
        log: cursor.log,
        visible: Vec::new(),
        at: 0,
        texts_left: TEXTS_MAX,
        text_bytes_left: TEXT_BYTES_MAX,
        blocks_left: if job.limit == 0 { 0 } else { BLOCKS_MAX },
        fetched: BTreeMap::new(),
        fetched_from: u64::MAX,
    };
    for _ in 0..STREAMS_MAX {
        search.begin(logs, cursor)?;
        let is_full = search.walk(logs)?;
        if search.at > 0 {
            search.page.cursor = Cursor { log: search.log, before: search.at + 1 }.number();
            return Ok(search.page);
        }
        let Some(next) = next_log(logs, job, search.log)? else {
            search.page.cursor = 0;
            return Ok(search.page);
        };
        cursor = Cursor::newest(next);
        search.page.cursor = cursor.number();
        if is_full {
            break;
        }
    }
    Ok(search.page)
}

/// What is searched after this log.
fn next_log<L: Logs>(logs: &mut L, job: &SearchMessages, log: Log) -> Result<Option<Log>, L::Stop> {
    let after = match (job.conversation, log) {
        (Some(_), Log::Mailbox(_)) => return Ok(None),
        (Some(_), Log::Stream(_)) => return Ok(Some(Log::Mailbox(job.user))),
        (None, Log::Mailbox(_)) => GroupId(0),
        (None, Log::Stream(group)) => group,
    };
    Ok(logs.next_stream(job.user, after)?.map(Log::Stream))
}

impl Search<'_> {
    /// Goes on in this log, below this place.
    fn begin<L: Logs>(&mut self, logs: &mut L, cursor: Cursor) -> Result<(), L::Stop> {
        self.log = cursor.log;
        self.visible = logs.visible(self.job.user, cursor.log)?;
        self.fetched.clear();
        self.fetched_from = u64::MAX;
        let head = self.visible.last().map_or(0, |span| span.last);
        self.at = self.descend(head.min(cursor.before.saturating_sub(1)));
        Ok(())
    }

    /// Walks down the log; whether the page is full.
    fn walk<L: Logs>(&mut self, logs: &mut L) -> Result<bool, L::Stop> {
        while self.goes_on() {
            let seqs = self.gather(logs)?;
            let is_full = if seqs.is_empty() {
                self.at > 0 && self.read_block(logs)?
            } else {
                let entries = logs.texts(self.log, &seqs)?;
                self.take(logs, entries)?
            };
            if is_full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn goes_on(&self) -> bool {
        self.at > 0 && self.texts_left > 0 && self.text_bytes_left > 0 && self.blocks_left > 0
    }

    fn is_visible(&self, seq: u64) -> bool {
        self.visible.iter().any(|span| (span.first..=span.last).contains(&seq))
    }

    /// The highest place at or below this one that is there for the reader; 0: there is none.
    fn descend(&self, at: u64) -> u64 {
        let below = self.visible.iter().rev().find(|span| span.first <= at);
        below.map_or(0, |span| span.last.min(at))
    }

    /// Walks down over what is indexed and returns the entries that must be looked at, descending.
    fn gather<L: Logs>(&mut self, logs: &mut L) -> Result<Vec<u64>, L::Stop> {
        let mut seqs = Vec::new();
        while self.at > 0 && self.blocks_left > 0 && seqs.len() < TEXTS_STEP {
            let number = block_of(self.at);
            self.fetch(logs, number)?;
            let found = self.fetched.remove(&number);
            let Some(data) = found else { break };
            let Some(found) = candidates(&data, &self.filter) else { break };
            self.blocks_left -= 1;
            let first = number * BLOCK_ENTRIES + 1;
            let seen = found.into_iter().map(|offset| first + u64::from(offset));
            seqs.extend(seen.rev().filter(|&seq| seq <= self.at && self.is_visible(seq)));
            self.at = self.descend(first - 1);
        }
        Ok(seqs)
    }

    fn fetch<L: Logs>(&mut self, logs: &mut L, number: u64) -> Result<(), L::Stop> {
        if number >= self.fetched_from {
            return Ok(());
        }
        let first = number.saturating_sub(BLOCKS_STEP - 1);
        let blocks = logs.blocks(self.log, first, number)?;
        self.fetched = blocks.into_iter().map(|block| (block.number, block.data)).collect();
        self.fetched_from = first;
        Ok(())
    }

    /// Reads what there is of a block that is not indexed, and makes its index if it can be made.
    fn read_block<L: Logs>(&mut self, logs: &mut L) -> Result<bool, L::Stop> {
        let number = block_of(self.at);
        let first = number * BLOCK_ENTRIES + 1;
        let seqs: Vec<u64> = (first..=self.at).rev().collect();
        let mut entries = logs.texts(self.log, &seqs)?;
        let is_final =
            |entry: &StoredMessage| entry.time_ms.saturating_add(FINAL_AGE_MS) <= self.job.now_ms;
        if entries.len() as u64 == BLOCK_ENTRIES && entries.iter().all(|(_, entry)| is_final(entry))
        {
            let data = block::encode(&entries);
            self.page.blocks.push(IndexBlock { group: self.log.group(), number, data });
        }
        entries.retain(|(seq, _)| self.is_visible(seq.0));
        let is_full = self.take(logs, entries)?;
        if !is_full {
            self.at = self.descend(first - 1);
        }
        Ok(is_full)
    }

    /// Takes the hits among the entries. If they fill the page, the next one begins below the last of them.
    fn take<L: Logs>(
        &mut self,
        logs: &mut L,
        mut entries: Vec<(Seq, StoredMessage)>,
    ) -> Result<bool, L::Stop> {
        let wanted = Wanted { query: &self.job.query, conversation: self.job.conversation };
        self.texts_left = self.texts_left.saturating_sub(entries.len());
        let bytes = entries.iter().map(|(_, entry)| entry.content.len() + entry.extra.len()).sum();
        self.text_bytes_left = self.text_bytes_left.saturating_sub(bytes);
        entries.retain(|(_, entry)| wanted.fits(entry));
        entries.sort_unstable_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        let mut keys: Vec<ConversationKey> =
            entries.iter().map(|(_, entry)| entry.conversation).collect();
        keys.sort_unstable();
        keys.dedup();
        let cleared = if keys.is_empty() { vec![] } else { logs.cleared(self.job.user, &keys)? };
        let cleared: BTreeMap<ConversationKey, u64> = keys.into_iter().zip(cleared).collect();
        for (seq, entry) in entries {
            if cleared.get(&entry.conversation).is_some_and(|&last| entry.conv_seq.0 <= last) {
                continue;
            }
            if !self.page_bytes.take(&entry) {
                self.at = seq.0;
                return Ok(true);
            }
            self.page.entries.push((seq, entry));
            if self.page.entries.len() >= self.job.limit {
                self.at = seq.0 - 1;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The block that covers a place, which is not 0.
fn block_of(seq: u64) -> u64 {
    (seq - 1) / BLOCK_ENTRIES
}
