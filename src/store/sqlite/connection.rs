//! How connections are opened: pragmas and their reasons. Knows no table.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::traits::StoreError;

/// Bytes of a page, fixed when the file is made: what a random insert writes to the log.
const PAGE_BYTES: u32 = 4_096;
/// How long a statement waits for another process's transaction before the answer is Unavailable.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Page cache of the writer: the ends of the ranges of some thousand active users.
const WRITER_CACHE_KIB: i32 = 16 << 10;
/// Page cache of a reader: what one page of a mailbox touches. The operating system caches the
/// file anyway, and readers are several.
const READER_CACHE_KIB: i32 = 1 << 10;
/// Prepared statements of a connection: all there are.
const STATEMENTS_MAX: usize = 64;
/// What the log file is cut to when it starts over, bytes; a burst does not leave a large file.
const LOG_BYTES_KEPT: u32 = 64 << 20;

/// Makes the file if there is none. Only its owner may read it: it holds keys.
pub(super) fn create(path: &Path) -> Result<Connection, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::File { path: path.display().to_string(), source })?;
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Only counts before the first table is made, and before the log is switched on.
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NoLog(path.display().to_string()));
    }
    set_up_writing(&conn)?;
    Ok(conn)
}

/// A connection that may write.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_up_writing(&conn)?;
    Ok(conn)
}

/// A connection that cannot write.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(conn)
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(conn)
}

fn set_up_writing(conn: &Connection) -> Result<(), StoreError> {
    // FULL: a commit returns after fdatasync. This is the promise of an acknowledgement.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    Ok(())
}

/// Takes checkpoints out of commits and counts the pages in the log instead.
pub(super) fn count_log_pages(conn: &mut Connection) -> Result<Arc<AtomicU32>, StoreError> {
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    let log_pages = Arc::new(AtomicU32::new(0));
    let counter = log_pages.clone();
    conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
        counter.store(pages.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(log_pages)
}
