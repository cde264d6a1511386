//! SEARCH of messages, written once for all backends: walks a mailbox from its newest entry down and
//! looks into every text, skipping what the index rules out. Knows no backend.
//!
//! The mailbox is what its owner may read, so nothing else has to be asked for permission, and every
//! hit is an entry as it is stored now: what was recalled holds no text any more.
//!
//! The index only says where a search need not look. A block of it covers [`BLOCK_ENTRIES`] entries and
//! follows from them alone; the first search that reads all of them makes it. So nothing is indexed
//! that nobody searches, sending a message costs nothing, no process has to be the one that indexes, and
//! there is no lag: where there is no block, the texts themselves are read. Entries go into a block when
//! no EDIT can change them any more, and a block that tells too much costs a look and no wrong hit.

mod block;
mod names;

use std::collections::BTreeMap;

use aldis_logic::job::{IndexBlock, JobError, SearchMessages, SearchPage, StoredMessage};
use aldis_logic::search::SearchQuery;
use aldis_wire::limits::EDIT_MS_MAX;
use aldis_wire::{ConversationKey, Seq, UserId, pb};
use bytes::Bytes;

use crate::lists::{self, Scan};
use crate::page::PageBytes;
use block::{Filter, candidates};

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
/// Entries that are gathered from blocks before they are read.
const TEXTS_STEP: usize = 64;
/// How far the clocks of two nodes may be apart for an edit to be seen, ms.
const CLOCK_SLACK_MS: u64 = 2 * 3_600_000;
/// Age from which an entry can be in a block, ms.
const FINAL_AGE_MS: u64 = EDIT_MS_MAX + CLOCK_SLACK_MS;

const _: () = assert!(BLOCK_ENTRIES as usize <= TEXTS_MAX);

/// A snapshot of a backend, as a search sees it.
pub(crate) trait Mailbox {
    /// Why it cannot be read; a refusal is one of the reasons.
    type Stop: From<JobError>;

    /// The highest seq.
    fn head(&mut self, owner: UserId) -> Result<Seq, Self::Stop>;

    /// The blocks with these numbers that there are, in any order.
    fn blocks(
        &mut self,
        owner: UserId,
        first: u64,
        last: u64,
    ) -> Result<Vec<IndexBlock>, Self::Stop>;

    /// The entries at these places, which exist and are descending; in any order. What is no text comes
    /// without content.
    fn texts(
        &mut self,
        owner: UserId,
        seqs: &[u64],
    ) -> Result<Vec<(Seq, StoredMessage)>, Self::Stop>;

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
    /// Everything above was looked at.
    at: u64,
    texts_left: usize,
    text_bytes_left: usize,
    blocks_left: usize,
    /// Blocks that were fetched: all there are with at least the number `fetched_from`.
    fetched: BTreeMap<u64, Bytes>,
    fetched_from: u64,
}

/// A page of hits.
pub(crate) fn search_messages<M: Mailbox>(
    mailbox: &mut M,
    job: &SearchMessages,
) -> Result<SearchPage, M::Stop> {
    let head = mailbox.head(job.user)?.0;
    let mut search = Search {
        job,
        filter: Filter::new(&job.query, job.conversation),
        page: SearchPage::default(),
        page_bytes: PageBytes::default(),
        at: job.before.0.checked_sub(1).map_or(head, |top| top.min(head)),
        texts_left: TEXTS_MAX,
        text_bytes_left: TEXT_BYTES_MAX,
        blocks_left: BLOCKS_MAX,
        fetched: BTreeMap::new(),
        fetched_from: u64::MAX,
    };
    if job.limit == 0 {
        search.blocks_left = 0;
    }
    while search.goes_on() {
        let seqs = search.gather(mailbox)?;
        let is_full = if seqs.is_empty() {
            search.at > 0 && search.read_block(mailbox)?
        } else {
            let entries = mailbox.texts(job.user, &seqs)?;
            search.take(mailbox, entries)?
        };
        if is_full {
            break;
        }
    }
    let Search { mut page, at, .. } = search;
    page.next = if at == 0 { Seq(0) } else { Seq(at + 1) };
    Ok(page)
}

impl Search<'_> {
    fn goes_on(&self) -> bool {
        self.at > 0 && self.texts_left > 0 && self.text_bytes_left > 0 && self.blocks_left > 0
    }

    /// Walks down over what is indexed and returns the entries that must be looked at, descending.
    fn gather<M: Mailbox>(&mut self, mailbox: &mut M) -> Result<Vec<u64>, M::Stop> {
        let mut seqs = Vec::new();
        while self.at > 0 && self.blocks_left > 0 && seqs.len() < TEXTS_STEP {
            let number = block_of(self.at);
            self.fetch(mailbox, number)?;
            let found = self.fetched.remove(&number);
            let Some(data) = found else { break };
            let Some(found) = candidates(&data, &self.filter) else { break };
            self.blocks_left -= 1;
            let first = number * BLOCK_ENTRIES + 1;
            let seen = found.into_iter().map(|offset| first + u64::from(offset));
            seqs.extend(seen.rev().filter(|&seq| seq <= self.at));
            self.at = first - 1;
        }
        Ok(seqs)
    }

    fn fetch<M: Mailbox>(&mut self, mailbox: &mut M, number: u64) -> Result<(), M::Stop> {
        if number >= self.fetched_from {
            return Ok(());
        }
        let first = number.saturating_sub(BLOCKS_STEP - 1);
        let blocks = mailbox.blocks(self.job.user, first, number)?;
        self.fetched = blocks.into_iter().map(|block| (block.number, block.data)).collect();
        self.fetched_from = first;
        Ok(())
    }

    /// Reads what there is of a block that is not indexed, and makes its index if it can be made.
    fn read_block<M: Mailbox>(&mut self, mailbox: &mut M) -> Result<bool, M::Stop> {
        let number = block_of(self.at);
        let first = number * BLOCK_ENTRIES + 1;
        let seqs: Vec<u64> = (first..=self.at).rev().collect();
        let entries = mailbox.texts(self.job.user, &seqs)?;
        let is_final =
            |entry: &StoredMessage| entry.time_ms.saturating_add(FINAL_AGE_MS) <= self.job.now_ms;
        if entries.len() as u64 == BLOCK_ENTRIES && entries.iter().all(|(_, entry)| is_final(entry))
        {
            let data = block::encode(&entries);
            self.page.blocks.push(IndexBlock { number, data });
        }
        let is_full = self.take(mailbox, entries)?;
        if !is_full {
            self.at = first - 1;
        }
        Ok(is_full)
    }

    /// Takes the hits among the entries. If they fill the page, the next one begins below the last of them.
    fn take<M: Mailbox>(
        &mut self,
        mailbox: &mut M,
        mut entries: Vec<(Seq, StoredMessage)>,
    ) -> Result<bool, M::Stop> {
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
        let cleared =
            if keys.is_empty() { vec![] } else { mailbox.cleared(self.job.user, &keys)? };
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
