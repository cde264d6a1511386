//! The data directory of one machine: its files, who may see them, and who uses them.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aldis_store::sqlite::SqliteStore;
use anyhow::{Context, bail};

/// The database's file in the directory.
const DATABASE: &str = "aldis.sqlite";
/// Locked by the running server.
const LOCK: &str = "aldisd.lock";

/// Opens the store; makes the directory and the database when they are missing.
pub fn open_store(dir: &Path, node: u16) -> anyhow::Result<SqliteStore> {
    make(dir)?;
    let path = dir.join(DATABASE);
    SqliteStore::open(&path, node).with_context(|| format!("cannot open {}", path.display()))
}

/// Makes sure that no other server uses the directory, as long as the file is held.
pub fn lock(dir: &Path) -> anyhow::Result<File> {
    make(dir)?;
    let path: PathBuf = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another aldisd is running with {}", dir.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Only the owner may look into it: it holds messages, password hashes and signing keys.
fn make(dir: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the data directory {}", dir.display()))
}
