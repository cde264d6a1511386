//! One transaction while it runs: its statements, what it has counted up, what it must still write.
//! Knows nothing of when it begins and how it ends.

use aldis_logic::job::{Event, WriteJob, WriteRequest, Written};
use rusqlite::{CachedStatement, Connection};

use super::cache::Caches;
use super::failure::{Abort, Stop};
use super::runs::{self, Entry};
use crate::rules::{self, Deferred};
use crate::snowflake::Snowflake;
use crate::stored_hash::StoredHash;

/// Statements of the message path, looked up once for each batch.
pub(super) struct HotStatements<'a> {
    pub once_insert: CachedStatement<'a>,
    pub once_find: CachedStatement<'a>,
    pub body_insert: CachedStatement<'a>,
    pub mailbox_insert: CachedStatement<'a>,
    pub conversation_insert: CachedStatement<'a>,
}

impl<'a> HotStatements<'a> {
    pub(super) fn new(conn: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            once_insert: conn.prepare_cached(
                "INSERT INTO im_message_once (key, msg_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            )?,
            once_find: conn.prepare_cached("SELECT 1 FROM im_message_once WHERE key = ?")?,
            body_insert: conn.prepare_cached(
                "INSERT INTO im_message_body (msg_id, lo, hi, conv_seq, msg_no, sender, sender_seq,
                     client_msg_id, body_hash, kind, time_ms, flags, content, extra, refs)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, ?12, ?13, ?14)",
            )?,
            mailbox_insert: conn
                .prepare_cached("INSERT INTO im_message_index (key, msgs) VALUES (?, ?)")?,
            conversation_insert: conn
                .prepare_cached("INSERT INTO im_conversation_index (key, msgs) VALUES (?, ?)")?,
        })
    }
}

/// Index rows of a transaction. They are written at its end, sorted by key: consecutive entries of
/// one owner become one row, and each page is visited once.
#[derive(Debug, Default)]
pub(super) struct PendingEntries {
    pub mailboxes: Vec<Entry>,
    pub conversations: Vec<Entry>,
    buffer: Vec<u8>,
}

impl PendingEntries {
    pub(super) fn clear(&mut self) {
        self.mailboxes.clear();
        self.conversations.clear();
    }
}

/// One transaction while it runs.
pub(super) struct Batch<'a> {
    pub conn: &'a Connection,
    pub hot: HotStatements<'a>,
    pub caches: &'a mut Caches,
    pub ids: &'a mut Snowflake,
    pub pending: &'a mut PendingEntries,
    pub stored_hash: &'a StoredHash,
    pub now_ms: u64,
    pub events: Vec<Event>,
    pub deferred: Deferred,
}

impl Batch<'_> {
    /// Runs one job. A refused one has changed nothing.
    pub(super) fn run(&mut self, request: &WriteRequest) -> Result<Written, Stop> {
        let ticket = request.ticket;
        match &request.job {
            WriteJob::Append(job) => self.append(ticket, job),
            WriteJob::Register(user) => self.register(user),
            WriteJob::OpenSession(job) => self.open_session(job),
            WriteJob::ReleaseSession { user, class, epoch, before } => {
                self.release_session(*user, *class, *epoch, *before)
            }
            WriteJob::RevokeDevice { user, device_id } => self.revoke_device(*user, device_id),
            WriteJob::MarkDelivered { user, device_id, seq } => {
                self.mark_delivered(*user, device_id, *seq)
            }
            WriteJob::StoreIndex { user, blocks } => {
                self.store_index(*user, blocks)?;
                Ok(Written::IndexStored)
            }
            job @ (WriteJob::CreateGroup(_)
            | WriteJob::InviteMembers { .. }
            | WriteJob::LeaveGroup { .. }
            | WriteJob::Group(_)
            | WriteJob::Friend(_)
            | WriteJob::Message(_)
            | WriteJob::View(_)
            | WriteJob::UpdateUser(_)
            | WriteJob::EndDevice { .. }
            | WriteJob::ChangePassword { .. }
            | WriteJob::NoteSeen { .. }) => rules::run(self, ticket, job),
        }
    }

    /// Writes the index rows.
    pub(super) fn write_pending(&mut self) -> Result<(), Abort> {
        let PendingEntries { mailboxes, conversations, buffer } = &mut *self.pending;
        write_runs(&mut self.hot.mailbox_insert, mailboxes, buffer)?;
        write_runs(&mut self.hot.conversation_insert, conversations, buffer)
    }
}

fn write_runs(
    insert: &mut CachedStatement<'_>,
    entries: &mut Vec<Entry>,
    buffer: &mut Vec<u8>,
) -> Result<(), Abort> {
    entries.sort_unstable();
    let mut rest = entries.as_slice();
    while let Some(first) = rest.first() {
        let (run, tail) = rest.split_at(runs::run_len(rest));
        insert.execute((first.key, runs::encode(run, buffer)))?;
        rest = tail;
    }
    entries.clear();
    Ok(())
}
