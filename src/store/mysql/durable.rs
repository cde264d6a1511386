//! Makes sure that what a page shows is on disk. Knows im_barrier and no other table.
//!
//! InnoDB makes a commit visible to other connections before it flushes the log up to it. A crash
//! in between takes back what a reader has seen, and another entry would come to stand at the same
//! place. So before fresh entries are shown, a transaction of our own is committed: the log is
//! flushed in its order, so everything that was visible before is on disk then. With the binary log
//! on, commits become visible only after they are in that log, on disk.

use std::time::{Duration, Instant};

use aldis_wire::{ConversationKey, MsgId, UserId};
use parking_lot::Mutex;

use super::claim::time_ms;
use super::connection::Session;
use super::failure::{Abort, is_connection_loss};
use super::rows::{number, text};
use super::sql_text::SqlText;
use crate::recent::Recent;

/// After this time by the database's clock an entry is on disk, ms: InnoDB gives up by itself when
/// a flush hangs for so long (innodb_fatal_semaphore_wait_threshold), and ids are not behind its
/// clock by more than seconds (see `claim`).
const FRESH_MS: u64 = 600_000;
/// How long a question waits for the log of a server that cannot be written to. Twice the time in
/// which InnoDB flushes it by itself.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(2);
/// Pause between two looks at it.
const FLUSH_POLL: Duration = Duration::from_millis(50);
/// Mailboxes and conversations whose durable heads are remembered: about 40 bytes each, 5 MiB.
const HEADS_MAX: usize = 1 << 17;

/// Whether an entry may not be on disk yet. `now_ms` is the database's clock.
pub(super) fn is_fresh(id: MsgId, now_ms: u64) -> bool {
    time_ms(id).saturating_add(FRESH_MS) > now_ms
}

/// A row of im_barrier: each connection has its own, so that none waits for another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Barrier {
    row: u64,
}

impl Barrier {
    /// `number` counts the connections of a node; there may be gaps and repetitions.
    pub(super) fn new(node: u16, number: u32) -> Self {
        Self { row: u64::from(node) << 16 | u64::from(number & 0xffff) }
    }

    /// A change for a transaction that changes nothing else, so that its commit flushes the log.
    pub(super) fn write(self, sql: &mut SqlText) {
        sql.statement("INSERT INTO im_barrier (connection, count) VALUES (")
            .number(self.row)
            .push(", 1) ON DUPLICATE KEY UPDATE count = count + 1");
    }

    /// Returns once everything that was visible before is on disk. Not within a transaction.
    pub(super) fn pass(self, session: &mut Session) -> Result<(), Abort> {
        if session.server.has_binary_log {
            return Ok(());
        }
        let mut sql = SqlText::default();
        self.write(&mut sql);
        match session.run(sql.as_str()) {
            Ok(_) => Ok(()),
            Err(error) if is_connection_loss(&error) => Err(error.into()),
            // A server that cannot be written to, such as one whose disk is full, still answers.
            Err(_) => wait_until_flushed(session),
        }
    }
}

/// Waits until the log is on disk up to where it is now. InnoDB flushes it once a second by itself.
fn wait_until_flushed(session: &mut Session) -> Result<(), Abort> {
    let begun = Instant::now();
    let wanted = log_position(session)?.written;
    while begun.elapsed() < FLUSH_WAIT_MAX {
        if log_position(session)?.flushed >= wanted {
            return Ok(());
        }
        std::thread::sleep(FLUSH_POLL);
    }
    Err(Abort::Unavailable("the database does not flush its log".to_owned()))
}

/// Bytes of the log since it was made.
struct LogPosition {
    written: u64,
    flushed: u64,
}

fn log_position(session: &mut Session) -> Result<LogPosition, Abort> {
    let sql = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_lsn_current', \
               'Innodb_lsn_flushed', 'Innodb_redo_log_current_lsn', \
               'Innodb_redo_log_flushed_to_disk_lsn')";
    let (mut written, mut flushed) = (None, None);
    for mut row in session.run(sql)?.into_iter().flatten() {
        let name = text(&mut row, 0)?;
        let position = Some(number(&mut row, 1)?);
        if name.contains("current") {
            written = position;
        } else {
            flushed = position;
        }
    }
    match (written, flushed) {
        (Some(written), Some(flushed)) => Ok(LogPosition { written, flushed }),
        _ => Err(Abort::Unavailable("the database does not say what is on its disk".to_owned())),
    }
}

/// Positions that are known to be on disk, of what was written or shown lately.
#[derive(Debug)]
pub(super) struct DurableHeads {
    heads: Mutex<Heads>,
}

#[derive(Debug)]
struct Heads {
    mailboxes: Recent<UserId, u64>,
    conversations: Recent<ConversationKey, u64>,
}

impl DurableHeads {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        let mailboxes = Recent::new(HEADS_MAX);
        let conversations = Recent::new(HEADS_MAX);
        Self { heads: Mutex::new(Heads { mailboxes, conversations }) }
    }

    /// What a batch has appended to, after its COMMIT has returned.
    pub(super) fn raise_all(
        &self,
        mailboxes: impl IntoIterator<Item = (UserId, u64)>,
        conversations: impl IntoIterator<Item = (ConversationKey, u64)>,
    ) {
        let mut heads = self.heads.lock();
        for (owner, seq) in mailboxes {
            raise(&mut heads.mailboxes, owner, seq);
        }
        for (key, conv_seq) in conversations {
            raise(&mut heads.conversations, key, conv_seq);
        }
    }

    /// A mailbox, after a barrier.
    pub(super) fn raise_mailbox(&self, owner: UserId, seq: u64) {
        raise(&mut self.heads.lock().mailboxes, owner, seq);
    }

    /// A conversation, after a barrier.
    pub(super) fn raise_conversation(&self, key: ConversationKey, conv_seq: u64) {
        raise(&mut self.heads.lock().conversations, key, conv_seq);
    }

    /// Whether the mailbox is known to be on disk up to there.
    pub(super) fn has_mailbox(&self, owner: UserId, seq: u64) -> bool {
        self.heads.lock().mailboxes.peek(owner).is_some_and(|&head| head >= seq)
    }

    /// Whether the conversation is known to be on disk up to there.
    pub(super) fn has_conversation(&self, key: ConversationKey, conv_seq: u64) -> bool {
        self.heads.lock().conversations.peek(key).is_some_and(|&head| head >= conv_seq)
    }
}

fn raise<K: Eq + std::hash::Hash + Copy>(heads: &mut Recent<K, u64>, key: K, position: u64) {
    match heads.get_mut(key) {
        Some(head) => *head = position.max(*head),
        None => {
            heads.insert(key, position);
            heads.trim();
        }
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::GroupId;

    use super::*;
    use crate::snowflake::{MSG_ID_EPOCH_MS, Snowflake};

    #[test]
    fn what_was_raised_is_known_and_nothing_above() {
        let durable = DurableHeads::new();
        let (owner, key) = (UserId(7), ConversationKey::group(GroupId(7)));
        assert!(!durable.has_mailbox(owner, 1));
        durable.raise_mailbox(owner, 5);
        durable.raise_mailbox(owner, 3);
        assert!(durable.has_mailbox(owner, 5) && !durable.has_mailbox(owner, 6));
        assert!(!durable.has_conversation(key, 1));
        durable.raise_conversation(key, 2);
        assert!(durable.has_conversation(key, 2));
    }

    #[test]
    fn only_old_entries_need_no_barrier() {
        let now_ms = MSG_ID_EPOCH_MS + 10 * FRESH_MS;
        let mut ids = Snowflake::new(1, None);
        let old = ids.next_id(now_ms - FRESH_MS).unwrap();
        assert!(!is_fresh(old, now_ms));
        assert!(is_fresh(ids.next_id(now_ms - FRESH_MS + 1).unwrap(), now_ms));
        assert!(is_fresh(ids.next_id(now_ms + 3 * FRESH_MS).unwrap(), now_ms), "a clock ahead");
    }
}
