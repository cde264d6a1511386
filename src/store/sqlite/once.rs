//! Finds resends: the table im_message_once and the hashes it is made of. Knows no counters.

use std::hash::Hasher;

use aldis_logic::job::Appended;
use aldis_wire::{ConvSeq, MsgId, Seq};
use rusqlite::OptionalExtension;

use super::batch::Batch;
use super::failure::{Stop, damaged};
use super::rows::number;
use crate::refusal;
use crate::rules::SentKey;
use crate::stored_hash::StoredHash;

/// Keys tried before a chain counts as damaged. With a keyed hash of 30 bits for each second even
/// two in a row are rare.
const PROBES_MAX: u32 = 1_000;
/// Bits of the hash; above them stands the client id's time, so that inserts are near each other.
const HASH_BITS: u32 = 30;
/// Bits of the time in units of 1,024 ms: 270 years.
const TIME_BITS: u32 = 33;

const _: () = assert!(HASH_BITS + TIME_BITS == 63, "keys are positive");

impl StoredHash {
    /// Where the search for a message begins.
    fn first_key(&self, sent: &SentKey) -> i64 {
        let id = sent.client_msg_id.0;
        let mut hasher = self.hasher();
        hasher.write(&sent.conversation.lo.to_le_bytes());
        hasher.write(&sent.conversation.hi.to_le_bytes());
        hasher.write(&sent.sender.0.to_le_bytes());
        hasher.write(&id);
        let hash = hasher.finish() & ((1 << HASH_BITS) - 1);
        // UUIDv7 (RFC 9562, 5.7) begins with 48 bits of Unix ms.
        let time = u64::from_be_bytes([0, 0, id[0], id[1], id[2], id[3], id[4], id[5]]) >> 10;
        let time = time & ((1 << TIME_BITS) - 1);
        ((time << HASH_BITS) | hash) as i64
    }
}

fn next_key(key: i64) -> i64 {
    key.wrapping_add(1) & i64::MAX
}

/// The first sending of a message.
enum Found {
    /// By the same request.
    Same { first: Appended, body_hash: i64 },
    /// The key belongs to another message.
    Other,
}

impl Batch<'_> {
    /// Registers the message under its new id, or finds what its first sending gave.
    pub(super) fn claim(
        &mut self,
        sent: &SentKey,
        msg_id: MsgId,
        body_hash: i64,
    ) -> Result<Option<Appended>, Stop> {
        let mut key = self.stored_hash.first_key(sent);
        for _ in 0..PROBES_MAX {
            if self.hot.once_insert.execute((key, msg_id.0 as i64))? == 1 {
                return Ok(None);
            }
            if let Found::Same { first, body_hash: stored } = self.compare(key, sent)? {
                return same_body(first, stored, body_hash).map(Some);
            }
            key = next_key(key);
        }
        Err(damaged("a chain in im_message_once is too long"))
    }

    /// Finds what the first sending gave, without registering anything.
    pub(super) fn find_resend(
        &mut self,
        sent: &SentKey,
        body_hash: i64,
    ) -> Result<Option<Appended>, Stop> {
        let mut key = self.stored_hash.first_key(sent);
        for _ in 0..PROBES_MAX {
            if !self.hot.once_find.exists([key])? {
                return Ok(None);
            }
            if let Found::Same { first, body_hash: stored } = self.compare(key, sent)? {
                return same_body(first, stored, body_hash).map(Some);
            }
            key = next_key(key);
        }
        Err(damaged("a chain in im_message_once is too long"))
    }

    fn compare(&mut self, key: i64, sent: &SentKey) -> Result<Found, Stop> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT b.lo, b.hi, b.sender, b.client_msg_id,
                        b.msg_id, b.sender_seq, b.conv_seq, b.time_ms, b.body_hash
                 FROM im_message_once o JOIN im_message_body b ON b.msg_id = o.msg_id
                 WHERE o.key = ?",
            )?
            .query_row([key], |row| {
                let is_same = number(row, 0)? == sent.conversation.lo
                    && number(row, 1)? == sent.conversation.hi
                    && number(row, 2)? == sent.sender.0
                    && row.get_ref(3)?.as_blob_or_null()? == Some(&sent.client_msg_id.0);
                if !is_same {
                    return Ok(Found::Other);
                }
                let first = Appended {
                    msg_id: MsgId(number(row, 4)?),
                    seq: Seq(number(row, 5)?),
                    conv_seq: ConvSeq(number(row, 6)?),
                    time_ms: number(row, 7)?,
                };
                Ok(Found::Same { first, body_hash: row.get(8)? })
            })
            .optional()?;
        found.ok_or_else(|| damaged("im_message_once names a message that is not there"))
    }
}

fn same_body(first: Appended, stored: i64, body_hash: i64) -> Result<Appended, Stop> {
    if stored == body_hash { Ok(first) } else { Err(Stop::Refuse(refusal::OTHER_BODY)) }
}

#[cfg(test)]
mod tests {
    use aldis_logic::job::{Append, ReactorId, Ticket, WriteJob, WriteRequest, Written};
    use aldis_wire::{ClientMsgId, Command, ConnId, ConversationKey, UserId, pb};
    use bytes::Bytes;
    use rusqlite::Connection;

    use super::*;
    use crate::sqlite::SqliteStore;
    use crate::traits::{SeedUsers, Store, Writer};

    fn job(client_msg_id: [u8; 16], sender: u64, content: &'static str) -> Append {
        Append {
            conversation: ConversationKey::direct(UserId(1), UserId(2)),
            sender: UserId(sender),
            client_msg_id: ClientMsgId(client_msg_id),
            kind: pb::MsgType::Text,
            content: Bytes::from(content),
            extra: Bytes::new(),
            refs: Bytes::new(),
            friends_only: false,
        }
    }

    #[test]
    fn keys_are_positive_and_near_in_time() {
        let hash = StoredHash::new([7; 16]);
        let mut last = 0;
        for second in 0..100u64 {
            let mut id = [0xff; 16];
            id[..6].copy_from_slice(&(1_700_000_000_000 + second * 1024).to_be_bytes()[2..]);
            let key = hash.first_key(&SentKey::of(&job(id, 1, "")));
            assert!(key > last, "a later client id has a higher key");
            last = key;
        }
        assert!(hash.first_key(&SentKey::of(&job([0xff; 16], 1, ""))) >= 0);
        assert_eq!(next_key(i64::MAX), 0);
    }

    #[test]
    fn keys_depend_on_sender_and_secret() {
        let hash = StoredHash::new([7; 16]);
        let first = hash.first_key(&SentKey::of(&job([1; 16], 1, "")));
        assert_ne!(first, hash.first_key(&SentKey::of(&job([1; 16], 2, ""))));
        assert_ne!(first, StoredHash::new([8; 16]).first_key(&SentKey::of(&job([1; 16], 1, ""))));
    }

    #[test]
    fn a_key_that_another_message_took_means_the_next_one() {
        let name = format!("aldis-once-{}.sqlite", std::process::id());
        let path = std::env::temp_dir().join(name);
        let store = SqliteStore::open(&path, 0).unwrap();
        let seed = SeedUsers { prefix: "u".into(), count: 1 };
        let user = store.seed_users(&seed, 0).unwrap()[0];
        let mut writer = store.writer().unwrap();
        let note = |id: u8| Append {
            conversation: ConversationKey::direct(user, user),
            ..job([id; 16], user.0, "note")
        };
        let conn = ConnId { index: 0, generation: 0 };
        let command = Command::MsgSend;
        let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
        let request = |id| WriteRequest { ticket, fence: 0, job: WriteJob::Append(note(id)) };
        let first = writer.commit(0, &[request(1)]).results;
        let Ok(Written::Appended(placed)) = &first[0] else { panic!("{first:?}") };

        // The first message also takes the first three keys of the second one.
        let key = store.stored_hash.first_key(&SentKey::of(&note(2)));
        let other = Connection::open(&path).unwrap();
        for key in [key, next_key(key), next_key(next_key(key))] {
            let row = (key, placed.msg_id.0 as i64);
            other.execute("INSERT INTO im_message_once VALUES (?, ?)", row).unwrap();
        }
        let second = writer.commit(0, &[request(2)]).results;
        assert!(second[0].is_ok() && second != first);
        assert_eq!(writer.commit(0, &[request(2), request(1)]).results[0], second[0]);
        assert_eq!(writer.commit(0, &[request(1)]).results, first);
        drop((writer, store, other));
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }
}
