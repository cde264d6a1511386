//! Commits batches: transactions, what happens when they fail, checkpoints. Knows no job.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aldis_logic::job::{JobError, WriteJob, WriteRequest, Written};
use aldis_wire::MsgId;
use aldis_wire::limits::GROUP_MEMBERS_MAX;
use rusqlite::Connection;

use super::Options;
use super::batch::{Batch, HotStatements, PendingEntries};
use super::cache::Caches;
use super::connection;
use super::failure::{Abort, Stop, is_contention};
use crate::rules::{self, Deferred};
use crate::snowflake::Snowflake;
use crate::stored_hash::StoredHash;
use crate::traits::{Committed, Fenced, StoreError, Writer};

/// Pages that the log grows by before a pause between batches is used for a checkpoint: 16 MiB.
/// Fewer means writing the same pages more often, more means longer pauses.
const CHECKPOINT_PAGES: u32 = 4_000;
/// Pages in the log from which a checkpoint waits for readers, so that the log can start over:
/// 64 MiB. Otherwise readers that always overlap would let it grow without bound.
const LOG_PAGES_MAX: u32 = 16_000;
/// How long such a checkpoint waits. Our own readers need a few ms; a stranger who holds a snapshot
/// for longer lets the log grow, but does not stop the writer.
const WAIT_FOR_READERS: Duration = Duration::from_millis(50);

const _: () = assert!(CHECKPOINT_PAGES < LOG_PAGES_MAX);

/// The writer of a SQLite store.
pub struct SqliteWriter {
    options: Arc<Options>,
    stored_hash: StoredHash,
    /// `None` after a failure that may have broken it.
    open: Option<Open>,
    ids: Snowflake,
    caches: Caches,
    pending: PendingEntries,
}

/// A connection and what is known of the file through it.
struct Open {
    conn: Connection,
    /// Pages in the log after the last commit.
    log_pages: Arc<AtomicU32>,
    /// Pages in the log at which the next checkpoint is due.
    checkpoint_at: u32,
    /// Changes when another process commits.
    data_version: i64,
}

impl Open {
    fn new(options: &Options) -> Result<Self, StoreError> {
        let mut conn = connection::open_for_writing(&options.path)?;
        let log_pages = connection::count_log_pages(&mut conn)?;
        Ok(Self { conn, log_pages, checkpoint_at: CHECKPOINT_PAGES, data_version: -1 })
    }
}

impl Open {
    fn checkpoint_if_due(&mut self) -> rusqlite::Result<()> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages + CHECKPOINT_PAGES < self.checkpoint_at {
            // The log has started over since.
            self.checkpoint_at = CHECKPOINT_PAGES;
        }
        if pages < self.checkpoint_at {
            return Ok(());
        }
        self.checkpoint_at = pages + CHECKPOINT_PAGES;
        if pages < LOG_PAGES_MAX {
            return self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        self.conn.busy_timeout(WAIT_FOR_READERS)?;
        let done = self.conn.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
        self.conn.busy_timeout(connection::BUSY_TIMEOUT)?;
        done
    }
}

/// A transaction that was given up.
struct Failed {
    why: Abort,
    /// Whether the connection should be opened anew.
    is_broken: bool,
}

impl From<Abort> for Failed {
    fn from(why: Abort) -> Self {
        let is_broken = matches!(why, Abort::Unavailable(_));
        Self { why, is_broken }
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        let is_broken = !is_contention(&error);
        Self { why: Abort::Unavailable(error.to_string()), is_broken }
    }
}

impl SqliteWriter {
    pub(super) fn open(options: Arc<Options>, stored_hash: StoredHash) -> Result<Self, StoreError> {
        let open = Open::new(&options)?;
        let ids = Snowflake::new(options.node, largest_id(&open.conn)?);
        Ok(Self {
            options,
            stored_hash,
            open: Some(open),
            ids,
            caches: Caches::new(),
            pending: PendingEntries::default(),
        })
    }

    /// Runs a part of a batch as one transaction.
    fn commit_part(
        &mut self,
        now_ms: u64,
        part: &[WriteRequest],
        out: &mut Committed,
    ) -> Result<(), Failed> {
        let open = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(Open::new(&self.options).map_err(|error| Failed {
                why: Abort::Unavailable(error.to_string()),
                is_broken: true,
            })?),
        };
        let conn = &open.conn;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let data_version = conn
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get::<_, i64>(0))?;
        if data_version != open.data_version {
            self.caches.forget();
            if let Some(id) = largest_id(conn)? {
                self.ids.rise_above(id);
            }
            open.data_version = data_version;
        }
        let mut batch = Batch {
            conn,
            hot: HotStatements::new(conn)?,
            caches: &mut self.caches,
            ids: &mut self.ids,
            pending: &mut self.pending,
            stored_hash: &self.stored_hash,
            now_ms,
            events: Vec::with_capacity(part.len()),
            deferred: Deferred::default(),
        };
        let results = run_all(&mut batch, part)?;
        batch.write_pending()?;
        let events = std::mem::take(&mut batch.events);
        drop(batch);
        conn.prepare_cached("COMMIT")?.execute([])?;
        self.caches.trim();
        out.results.extend(results);
        out.events.extend(events);
        Ok(())
    }

    /// Leaves no trace of a transaction that was given up.
    fn roll_back(&mut self, is_broken: bool) {
        self.caches.forget();
        self.pending.clear();
        let Some(open) = &self.open else { return };
        // SQLite has rolled back by itself after some errors.
        let is_clean = open.conn.is_autocommit() || open.conn.execute_batch("ROLLBACK").is_ok();
        if is_broken || !is_clean {
            self.open = None;
        }
    }
}

fn largest_id(conn: &Connection) -> rusqlite::Result<Option<MsgId>> {
    let id: Option<i64> =
        conn.query_row("SELECT max(msg_id) FROM im_message_body", [], |row| row.get(0))?;
    Ok(id.map(|id| MsgId(id as u64)))
}

fn run_all(
    batch: &mut Batch<'_>,
    part: &[WriteRequest],
) -> Result<Vec<Result<Written, JobError>>, Abort> {
    let mut results = Vec::with_capacity(part.len());
    for (number, request) in part.iter().enumerate() {
        batch.deferred.job = number;
        match batch.run(request) {
            Ok(written) => results.push(Ok(written)),
            Err(Stop::Refuse(why)) => results.push(Err(why)),
            Err(Stop::Abort(why)) => return Err(why),
        }
    }
    let told = rules::finish(batch).map_err(Stop::into_abort)?;
    for (job, placed) in told {
        results[job] = Ok(Written::Changed { seq: placed.seq });
    }
    Ok(results)
}

impl Writer for SqliteWriter {
    fn commit(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Committed {
        let mut out = Committed {
            results: Vec::with_capacity(batch.len()),
            events: Vec::with_capacity(batch.len()),
        };
        // The next part is on top. A part with a poisoned job is halved until the job is alone;
        // what follows waits for the outcome, so order holds.
        let mut parts: Vec<Range<usize>> = Vec::new();
        if !batch.is_empty() {
            parts.push(0..batch.len());
        }
        while let Some(part) = parts.pop() {
            let Some(requests) = batch.get(part.clone()) else { break };
            let Err(failed) = self.commit_part(now_ms, requests, &mut out) else { continue };
            self.roll_back(failed.is_broken);
            match failed.why {
                Abort::Poisoned(why) if part.len() == 1 => {
                    log::error!("a job fails by itself: {why}");
                    out.results.push(Err(JobError::Internal));
                }
                Abort::Poisoned(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Abort::Unavailable(why) => {
                    log::error!("the store is unavailable: {why}");
                    break;
                }
            }
        }
        out.results.resize(batch.len(), Err(JobError::Unavailable));
        out
    }

    fn mailbox_rows(&self, job: &WriteJob) -> usize {
        match job {
            WriteJob::Append(job) => match job.conversation.as_group() {
                None => 2,
                Some(group) => self
                    .caches
                    .groups
                    .peek(group)
                    .map_or(GROUP_MEMBERS_MAX, |group| group.members.len()),
            },
            WriteJob::CreateGroup(job) => job.members.len() + 1,
            WriteJob::InviteMembers { .. } | WriteJob::LeaveGroup { .. } | WriteJob::Group(_) => {
                GROUP_MEMBERS_MAX
            }
            WriteJob::Message(job) if job.conversation.as_group().is_some() => GROUP_MEMBERS_MAX,
            WriteJob::Friend(_) | WriteJob::Message(_) => 2,
            WriteJob::Register(_)
            | WriteJob::OpenSession(_)
            | WriteJob::ReleaseSession { .. }
            | WriteJob::RevokeDevice { .. }
            | WriteJob::MarkDelivered { .. }
            | WriteJob::View(_)
            | WriteJob::UpdateUser(_)
            | WriteJob::EndDevice { .. }
            | WriteJob::ChangePassword { .. }
            | WriteJob::NoteSeen { .. } => 1,
            WriteJob::StoreIndex { .. } => 0,
        }
    }

    /// Copies the log into the database file. It happens here and not in a commit, so that replies
    /// do not wait for it, and not on a thread of its own, because the log can only start over
    /// when no commit has come in between.
    fn maintain(&mut self, _now_ms: u64) -> Result<(), Fenced> {
        if let Some(open) = &mut self.open
            && let Err(error) = open.checkpoint_if_due()
        {
            log::warn!("the log cannot be copied into the database: {error}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aldis_logic::job::{NewUser, ReactorId, Ticket};
    use aldis_wire::{Command, ConnId, RequestId};

    use super::*;
    use crate::sqlite::SqliteStore;
    use crate::traits::Store;

    fn register(number: u32) -> WriteRequest {
        let conn = ConnId { index: 0, generation: 0 };
        let command = Command::Register;
        let user = NewUser {
            username: format!("user{number}"),
            nickname: "n".repeat(128),
            password_phc: "p".repeat(128),
            request_id: RequestId::default(),
        };
        WriteRequest {
            ticket: Ticket { reactor: ReactorId(0), conn, request: number, command, bytes: 0 },
            fence: 0,
            job: WriteJob::Register(user),
        }
    }

    #[test]
    fn a_full_disk_is_unavailable_and_the_writer_recovers_without_a_restart() {
        let name = format!("aldis-full-{}.sqlite", std::process::id());
        let path = std::env::temp_dir().join(name);
        let store = SqliteStore::open(&path, 0).unwrap();
        let mut writer = store.writer().unwrap();
        let ok = writer.commit(0, &[register(0)]);
        assert!(ok.results[0].is_ok());
        let conn = &writer.open.as_ref().unwrap().conn;
        conn.query_row("PRAGMA max_page_count = 1", [], |_| Ok(())).unwrap();
        let batch: Vec<_> = (1..200).map(register).collect();
        let full = writer.commit(0, &batch);
        assert!(full.results.iter().all(|result| *result == Err(JobError::Unavailable)));
        assert!(full.events.is_empty());
        let again = writer.commit(0, &batch);
        assert!(again.results.iter().all(Result::is_ok), "the limit was the connection's");
        drop((writer, store));
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }
}
