//! Hashes that are stored, the same in every backend. Knows no backend.

use std::hash::Hasher;

use aldis_logic::job::Append;
use aldis_wire::pb;
use siphasher::sip::SipHasher13;

/// Hashes with the store's own secret, so that nobody can make two things collide on purpose.
#[derive(Clone)]
pub(crate) struct StoredHash {
    key: [u8; 16],
}

impl StoredHash {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// An empty hasher.
    pub(crate) fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.key)
    }

    /// Of what a resend must repeat.
    pub(crate) fn body(&self, job: &Append) -> i64 {
        self.of(job.kind, &job.content, &job.extra, &job.refs)
    }

    /// Of what a repeat of a request that makes an entry of this kind must repeat.
    pub(crate) fn event(&self, kind: pb::MsgType, body: &[u8]) -> i64 {
        self.of(kind, body, &[], &[])
    }

    fn of(&self, kind: pb::MsgType, content: &[u8], extra: &[u8], refs: &[u8]) -> i64 {
        let mut hasher = self.hasher();
        hasher.write(&i32::from(kind).to_le_bytes());
        hasher.write(&(content.len() as u64).to_le_bytes());
        hasher.write(content);
        hasher.write(extra);
        if !refs.is_empty() {
            // Without them the hash is that of the first release.
            hasher.write(refs);
            hasher.write(&(refs.len() as u64).to_le_bytes());
        }
        hasher.finish() as i64
    }
}

impl std::fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredHash").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{ClientMsgId, ConversationKey, UserId};
    use bytes::Bytes;

    use super::*;

    fn job(content: &'static str) -> Append {
        Append {
            conversation: ConversationKey::direct(UserId(1), UserId(2)),
            sender: UserId(1),
            client_msg_id: ClientMsgId([1; 16]),
            kind: pb::MsgType::Text,
            content: Bytes::from(content),
            extra: Bytes::new(),
            refs: Bytes::new(),
            friends_only: false,
        }
    }

    #[test]
    fn a_body_is_told_from_another_one() {
        let hash = StoredHash::new([7; 16]);
        assert_eq!(hash.body(&job("a")), hash.body(&job("a")));
        assert_ne!(hash.body(&job("a")), hash.body(&job("b")));
        assert_ne!(hash.body(&job("a")), StoredHash::new([8; 16]).body(&job("a")));
        let mut moved = job("");
        moved.extra = Bytes::from("a");
        assert_ne!(hash.body(&job("a")), hash.body(&moved));
        let reply = |extra, refs| Append { extra, refs, ..job("a") };
        let (some, none) = (|| Bytes::from("r"), Bytes::new);
        assert_ne!(hash.body(&reply(none(), some())), hash.body(&job("a")));
        assert_ne!(hash.body(&reply(none(), some())), hash.body(&reply(some(), none())));
    }

    #[test]
    fn stored_hashes_stay_what_they_are() {
        assert_eq!(StoredHash::new([7; 16]).body(&job("a")), BODY_HASH_OF_A);
    }

    /// What the first release stored.
    const BODY_HASH_OF_A: i64 = -9_008_307_234_005_380_336;
}
