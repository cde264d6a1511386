//! Brings the schema up to date and makes what is made once: store epoch, signing key, hash key.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::secrets::{SECRET_BYTES, random, random_epoch, random_kid, unix_ms};
use crate::traits::StoreError;

/// Every migration, in order; the position + 1 is the schema's version. A released one is never
/// changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../sql/sqlite/0001_first.sql"),
    include_str!("../../../sql/sqlite/0002_relations.sql"),
    include_str!("../../../sql/sqlite/0003_groups.sql"),
    include_str!("../../../sql/sqlite/0004_issued_epochs.sql"),
    include_str!("../../../sql/sqlite/0005_messages.sql"),
    include_str!("../../../sql/sqlite/0006_conversations.sql"),
    include_str!("../../../sql/sqlite/0007_accounts.sql"),
    include_str!("../../../sql/sqlite/0008_search.sql"),
    include_str!("../../../sql/sqlite/0009_streams.sql"),
    include_str!("../../../sql/sqlite/0010_history.sql"),
    include_str!("../../../sql/sqlite/0011_nicknames.sql"),
];

/// Applies the migrations that the file lacks, all in one transaction under the write lock.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    apply(conn, MIGRATIONS)
}

fn apply(conn: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS im_meta (name TEXT PRIMARY KEY, value ANY NOT NULL)
         STRICT, WITHOUT ROWID",
    )?;
    let found: u32 = meta(&tx, "schema_version")?.unwrap_or(0);
    let known = migrations.len() as u32;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, sql) in (1..).zip(migrations).skip(found as usize) {
        log::info!("bringing the store's schema to version {version}");
        tx.execute_batch(sql)?;
    }
    if found == 0 {
        make_secrets(&tx)?;
    }
    if found < known {
        tx.execute("INSERT OR REPLACE INTO im_meta VALUES ('schema_version', ?)", [known])?;
    }
    tx.commit()?;
    Ok(())
}

fn make_secrets(tx: &Transaction<'_>) -> Result<(), StoreError> {
    renew_epoch(tx)?;
    tx.execute("INSERT INTO im_meta VALUES ('hash_key', ?)", [random::<16>()?])?;
    tx.execute(
        "INSERT INTO im_key (kid, secret, created_ms, active) VALUES (?, ?, ?, 1)",
        (random_kid()?, random::<SECRET_BYTES>()?, unix_ms() as i64),
    )?;
    Ok(())
}

/// Another epoch than before.
pub(super) fn renew_epoch(conn: &Connection) -> Result<u64, StoreError> {
    let epoch = random_epoch()?;
    conn.execute("INSERT OR REPLACE INTO im_meta VALUES ('store_epoch', ?)", [epoch as i64])?;
    Ok(epoch)
}

/// Random, made with the store.
pub(super) fn store_epoch(conn: &Connection) -> Result<u64, StoreError> {
    let epoch: Option<i64> = meta(conn, "store_epoch")?;
    epoch.map(|epoch| epoch as u64).ok_or(StoreError::Damaged("no store_epoch in im_meta"))
}

/// The secret of the hashes that are stored.
pub(super) fn hash_key(conn: &Connection) -> Result<[u8; 16], StoreError> {
    meta(conn, "hash_key")?.ok_or(StoreError::Damaged("no hash_key in im_meta"))
}

fn meta<T: rusqlite::types::FromSql>(
    conn: &Connection,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let value = conn
        .query_row("SELECT value FROM im_meta WHERE name = ?", [name], |row| row.get(0))
        .optional()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_run_once_each_and_in_order() {
        let mut conn = Connection::open_in_memory().unwrap();
        let first = MIGRATIONS[0];
        apply(&mut conn, &[first]).unwrap();
        let epoch = store_epoch(&conn).unwrap();
        let second = "CREATE TABLE second (a INTEGER); INSERT INTO second VALUES (1)";
        apply(&mut conn, &[first, second]).unwrap();
        apply(&mut conn, &[first, second]).unwrap();
        let rows: u32 = conn.query_row("SELECT count(*) FROM second", [], |r| r.get(0)).unwrap();
        assert_eq!(rows, 1);
        assert_eq!(store_epoch(&conn).unwrap(), epoch, "made once");
        assert_eq!(meta(&conn, "schema_version").unwrap(), Some(2u32));
    }

    #[test]
    fn a_failed_migration_changes_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, &[MIGRATIONS[0]]).unwrap();
        let broken = "CREATE TABLE second (a INTEGER); NONSENSE";
        assert!(apply(&mut conn, &[MIGRATIONS[0], broken]).is_err());
        assert_eq!(meta(&conn, "schema_version").unwrap(), Some(1u32));
        assert!(conn.prepare("SELECT * FROM second").is_err());
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, &[MIGRATIONS[0], "SELECT 1"]).unwrap();
        let error = apply(&mut conn, &[MIGRATIONS[0]]).unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found: 2, known: 1 }), "{error}");
    }
}
