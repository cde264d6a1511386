//! Bugs that can be planted, to prove that the checker finds them in the histories of real nodes.
//! Built only with the feature `planted-bugs`; nothing else in the backend is wrong on purpose.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use aldis_wire::ClientMsgId;

use super::MysqlStore;
use super::mailboxes::Mailboxes;
use super::sql_text::SqlText;
use super::working_set::Sent;

/// Of so many batches one is lost: often enough for a test of some seconds.
const LOST_BATCH_INTERVAL: u64 = 50;

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// Now and then a batch is answered that was rolled back.
    AckBeforeCommit = 1,
    /// Seqs come from counters that were read without a lock, and the later one wins a place.
    SeqBeforeTransaction,
    /// A resend is a new message.
    NoDedupe,
}

/// What is planted in a store.
#[derive(Debug, Default)]
pub(super) struct Planted {
    bug: AtomicU8,
    batch_count: AtomicU64,
}

impl MysqlStore {
    /// Makes the store's writers wrong on purpose.
    pub fn plant(&self, bug: Option<Bug>) {
        self.shared.planted.bug.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
    }
}

impl Planted {
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug.load(Ordering::Relaxed) == bug as u8
    }

    /// How the next transaction ends.
    pub(super) fn end(&self) -> &'static str {
        let number = self.batch_count.fetch_add(1, Ordering::Relaxed) + 1;
        let is_lost = self.has(Bug::AckBeforeCommit) && number.is_multiple_of(LOST_BATCH_INTERVAL);
        if is_lost { "ROLLBACK" } else { "COMMIT" }
    }

    /// A resend becomes a message with another id, because the column is unique.
    pub(super) fn forget_sent<'a>(
        &self,
        sent: Option<&'a Sent>,
        id: ClientMsgId,
    ) -> (Option<&'a Sent>, ClientMsgId) {
        if sent.is_none() || !self.has(Bug::NoDedupe) {
            return (sent, id);
        }
        let mut other = id;
        let salt = getrandom::u64().unwrap_or_default();
        for (byte, salt) in other.0.iter_mut().rev().zip(salt.to_le_bytes()) {
            *byte ^= salt;
        }
        (None, other)
    }
}

/// Reads counters as if they were counted up and locked.
pub(super) fn write_unlocked_heads(sql: &mut SqlText, mailboxes: &Mailboxes) {
    sql.statement("WITH k (owner, count) AS (VALUES ").list(
        mailboxes.counts(),
        |sql, (owner, count)| {
            sql.numbers([owner.0, count]);
        },
    );
    sql.push(
        ") SELECT k.owner, COALESCE(m.max_seq, 0) + k.count FROM k \
         LEFT JOIN im_mailbox m ON m.owner = k.owner",
    );
}
