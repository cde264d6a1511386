//! What a block of the index says: for each entry short hashes of what its text holds. An entry whose
//! hashes lack one of a query's cannot be a hit. Knows no mailbox and no backend.
//!
//! A unit of a script without spaces is hashed as it is. Of a word its first two characters are hashed,
//! and of a longer one its first four too, so that the beginning of a word finds it. The entry's
//! conversation is hashed like a unit of its text.

use std::hash::Hasher;

use aldis_logic::job::StoredMessage;
use aldis_logic::search::{SearchQuery, Units};
use aldis_wire::{ConversationKey, Seq, pb};
use bytes::Bytes;
use siphasher::sip::SipHasher13;

use super::BLOCK_ENTRIES;

/// The layout: this byte; for each entry the number of its hashes; all the hashes. Numbers are of two
/// bytes, little-endian. Another first byte is another program's: such a block counts as missing.
const LAYOUT: u8 = 1;
/// Hashes of an entry; one that would need more is looked at by every search.
const HASHES_MAX: usize = 1_000;
/// In place of the number of hashes: look at the entry.
const LOOK: u16 = u16::MAX;
/// Characters of the two beginnings of a word that are hashed.
const SHORT: usize = 2;
const LONG: usize = 4;

const _: () = assert!(HASHES_MAX < LOOK as usize && SHORT < LONG);

/// Hashes that an entry must have to be a hit; none of them means any.
pub(super) struct Filter {
    hashes: Vec<[u8; 2]>,
}

impl Filter {
    pub(super) fn new(query: &SearchQuery, conversation: Option<ConversationKey>) -> Self {
        let mut hashes: Vec<[u8; 2]> = conversation.map(hash_conversation).into_iter().collect();
        for term in query.terms() {
            let count = term.iter().len();
            for (number, (text, is_word)) in term.iter().enumerate() {
                let is_beginning = is_word && number + 1 == count;
                let length = text.chars().take(LONG).count();
                hashes.extend(match (is_word, is_beginning, length) {
                    (false, ..) => Some(hash(text)),
                    (true, true, ..SHORT) => None,
                    (true, true, SHORT..LONG) => Some(hash(beginning(text, SHORT))),
                    (true, ..) => Some(hash(beginning(text, LONG))),
                });
            }
        }
        hashes.sort_unstable();
        hashes.dedup();
        Self { hashes }
    }
}

/// The block of these entries, which are in descending or ascending order.
pub(super) fn encode(entries: &[(Seq, StoredMessage)]) -> Bytes {
    let mut entries: Vec<&(Seq, StoredMessage)> = entries.iter().collect();
    entries.sort_unstable_by_key(|(seq, _)| *seq);
    let mut data = vec![LAYOUT];
    let mut all = Vec::new();
    for (_, entry) in entries {
        let hashes = hashes_of(entry);
        let is_long = hashes.len() > HASHES_MAX;
        let count = if is_long { LOOK } else { hashes.len() as u16 };
        data.extend(count.to_le_bytes());
        if !is_long {
            all.extend(hashes.into_iter().flatten());
        }
    }
    data.extend(all);
    Bytes::from(data)
}

/// The entries of a block, from 0, ascending, that may be hits; `None`: it is no block of this program.
pub(super) fn candidates(data: &[u8], filter: &Filter) -> Option<Vec<u8>> {
    let (&layout, data) = data.split_first()?;
    let (counts, mut rest) = data.split_at_checked(2 * BLOCK_ENTRIES as usize)?;
    if layout != LAYOUT {
        return None;
    }
    let mut found = Vec::new();
    for (offset, count) in (0..).zip(counts.as_chunks().0) {
        let count = u16::from_le_bytes(*count);
        let byte_count = if count == LOOK { 0 } else { 2 * usize::from(count) };
        let (hashes, below) = rest.split_at_checked(byte_count)?;
        rest = below;
        let hashes = hashes.as_chunks().0;
        // Without a hash of its conversation there is no text.
        let may_fit = !hashes.is_empty() && filter.hashes.iter().all(|hash| hashes.contains(hash));
        if count == LOOK || may_fit {
            found.push(offset);
        }
    }
    Some(found)
}

/// What an entry's text holds, each once; nothing if it is no text.
fn hashes_of(entry: &StoredMessage) -> Vec<[u8; 2]> {
    let text = match std::str::from_utf8(&entry.content) {
        Ok(text) if entry.kind == pb::MsgType::Text && !text.is_empty() => text,
        _ => return Vec::new(),
    };
    let mut hashes = vec![hash_conversation(entry.conversation)];
    for (unit, is_word) in Units::of(text).iter() {
        if !is_word {
            hashes.push(hash(unit));
            continue;
        }
        let (short, long) = (beginning(unit, SHORT), beginning(unit, LONG));
        hashes.push(hash(short));
        if long != short {
            hashes.push(hash(long));
        }
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

fn beginning(word: &str, chars: usize) -> &str {
    word.char_indices().nth(chars).map_or(word, |(end, _)| word.get(..end).unwrap_or(word))
}

/// Without a key: whoever makes hashes meet only makes searches look at more.
fn hash(text: &str) -> [u8; 2] {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    (hasher.finish() as u16).to_le_bytes()
}

fn hash_conversation(key: ConversationKey) -> [u8; 2] {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(key.lo);
    hasher.write_u64(key.hi);
    (hasher.finish() as u16).to_le_bytes()
}
