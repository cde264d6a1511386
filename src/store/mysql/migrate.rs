//! Brings the schema up to date and makes what is made once: store epoch, signing key, hash key.
//! Knows no traffic.
//!
//! DDL commits by itself, so a crash can leave a half of a migration: every statement can be run
//! again. A lock of the server lets one process at a time do it.

use mysql::Row;

use super::connection::{Purpose, Session, connect};
use super::failure::Abort;
use super::options::Endpoint;
use super::rows;
use super::sql_text::SqlText;
use crate::secrets::{SECRET_BYTES, random, random_epoch, random_kid, unix_ms};
use crate::traits::StoreError;

/// Every migration, in order; the position + 1 is the schema's version. A released one is never
/// changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../sql/mysql/0001_first.sql"),
    include_str!("../../../sql/mysql/0002_relations.sql"),
    include_str!("../../../sql/mysql/0003_groups.sql"),
    include_str!("../../../sql/mysql/0004_issued_epochs.sql"),
    include_str!("../../../sql/mysql/0005_messages.sql"),
    include_str!("../../../sql/mysql/0006_conversations.sql"),
    include_str!("../../../sql/mysql/0007_accounts.sql"),
    include_str!("../../../sql/mysql/0008_search.sql"),
    include_str!("../../../sql/mysql/0009_streams.sql"),
    include_str!("../../../sql/mysql/0010_history.sql"),
    include_str!("../../../sql/mysql/0011_nicknames.sql"),
];

/// How long to wait for another process's migration, seconds. One that takes longer goes on, and
/// this one is started again by whoever did.
const LOCK_WAIT_S: u64 = 60;

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// What this program needs.
    UpToDate {
        /// Of the schema.
        version: u32,
    },
    /// Some migrations are missing, or all of them (`found` is 0).
    Behind {
        /// In the database.
        found: u32,
        /// In the program.
        known: u32,
    },
    /// A newer version of the program has been there.
    Newer {
        /// In the database.
        found: u32,
        /// In the program.
        known: u32,
    },
}

impl std::fmt::Display for SchemaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UpToDate { version } => {
                write!(f, "the schema is up to date (version {version})")
            }
            Self::Behind { found: 0, known } => {
                write!(f, "the database has no tables of Aldis (needed: version {known})")
            }
            Self::Behind { found, known } => {
                write!(f, "the schema has version {found}; missing: ")?;
                for version in found + 1..=*known {
                    let comma = if version > found + 1 { ", " } else { "" };
                    write!(f, "{comma}{version}")?;
                }
                Ok(())
            }
            Self::Newer { found, known } => {
                write!(f, "the schema has version {found}, this program knows up to {known}")
            }
        }
    }
}

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Version before; 0: no tables.
    pub from: u32,
    /// Version now.
    pub to: u32,
}

impl std::fmt::Display for Migrated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { from, to } if from == to => {
                write!(f, "The schema is up to date (version {to}).")
            }
            Self { from: 0, to } => write!(f, "The tables were made (version {to})."),
            Self { from, to } => write!(f, "The schema went from version {from} to {to}."),
        }
    }
}

/// What is there. Changes nothing.
pub fn check(url: &str) -> Result<SchemaState, StoreError> {
    let mut session = connect(&Endpoint::parse(url)?, Purpose::Administer)?;
    state(&mut session, MIGRATIONS)
}

/// Applies the migrations that the database lacks. Needs no right to do so when it lacks none.
pub fn migrate(url: &str) -> Result<Migrated, StoreError> {
    let mut session = connect(&Endpoint::parse(url)?, Purpose::Administer)?;
    apply(&mut session, MIGRATIONS)
}

/// What is there, through a connection.
pub(super) fn check_session(session: &mut Session) -> Result<SchemaState, StoreError> {
    state(session, MIGRATIONS)
}

fn state(session: &mut Session, migrations: &[&str]) -> Result<SchemaState, StoreError> {
    let found = version(session)?;
    let known = migrations.len() as u32;
    Ok(match found.cmp(&known) {
        std::cmp::Ordering::Equal => SchemaState::UpToDate { version: found },
        std::cmp::Ordering::Less => SchemaState::Behind { found, known },
        std::cmp::Ordering::Greater => SchemaState::Newer { found, known },
    })
}

fn apply(session: &mut Session, migrations: &[&str]) -> Result<Migrated, StoreError> {
    match state(session, migrations)? {
        SchemaState::UpToDate { version } => return Ok(Migrated { from: version, to: version }),
        SchemaState::Newer { found, known } => return Err(StoreError::TooNew { found, known }),
        SchemaState::Behind { .. } => (),
    }
    lock(session)?;
    let migrated = apply_locked(session, migrations);
    // Ends with the connection in any case.
    if let Err(error) = session.run(&format!("DO RELEASE_LOCK({LOCK_NAME})")) {
        log::debug!("the lock of migrations: {error}");
    }
    migrated
}

/// Names are the server's, so the database is part of it; at most 64 characters.
const LOCK_NAME: &str = "CONCAT('aldis.migrate.', MD5(DATABASE()))";

fn lock(session: &mut Session) -> Result<(), StoreError> {
    let sets = session.run(&format!("SELECT GET_LOCK({LOCK_NAME}, {LOCK_WAIT_S})"))?;
    let granted: Option<u64> =
        sets.first().and_then(|rows| rows.first()).and_then(|row| row.get(0));
    if granted == Some(1) { Ok(()) } else { Err(StoreError::MigrationLocked) }
}

fn apply_locked(session: &mut Session, migrations: &[&str]) -> Result<Migrated, StoreError> {
    // Another process may have been faster.
    let from = match state(session, migrations)? {
        SchemaState::UpToDate { version } => return Ok(Migrated { from: version, to: version }),
        SchemaState::Newer { found, known } => return Err(StoreError::TooNew { found, known }),
        SchemaState::Behind { found, .. } => found,
    };
    session.run(
        "CREATE TABLE IF NOT EXISTS im_meta (
             name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
             value VARBINARY(255) NOT NULL
         ) ENGINE=InnoDB",
    )?;
    for (version, statements) in (1..).zip(migrations).skip(from as usize) {
        log::info!("bringing the store's schema to version {version}");
        session.run(statements)?;
        let mut sql = SqlText::default();
        sql.statement("BEGIN");
        if version == 1 {
            make_secrets(&mut sql)?;
        }
        put_meta(&mut sql, b"schema_version", version.to_string().as_bytes());
        sql.statement("COMMIT");
        session.run(sql.as_str())?;
    }
    Ok(Migrated { from, to: migrations.len() as u32 })
}

/// In one transaction with the first version, so there is none without them and none has two.
fn make_secrets(sql: &mut SqlText) -> Result<(), StoreError> {
    put_meta(sql, b"store_epoch", random_epoch()?.to_string().as_bytes());
    put_meta(sql, b"hash_key", &random::<16>()?);
    sql.statement("DELETE FROM im_key");
    sql.statement("INSERT INTO im_key (kid, secret, created_ms, active) VALUES (")
        .text(&random_kid()?)
        .push(", ")
        .bytes(&random::<SECRET_BYTES>()?)
        .push(", ")
        .number(unix_ms())
        .push(", 1)");
    Ok(())
}

/// Another epoch than before.
pub(super) fn renew_epoch(session: &mut Session) -> Result<u64, StoreError> {
    let epoch = random_epoch()?;
    let mut sql = SqlText::default();
    put_meta(&mut sql, b"store_epoch", epoch.to_string().as_bytes());
    session.run(sql.as_str())?;
    Ok(epoch)
}

/// Random, made with the store.
pub(super) fn store_epoch(session: &mut Session) -> Result<u64, StoreError> {
    let value = meta(session, "SELECT value FROM im_meta WHERE name = 'store_epoch'")?;
    value
        .and_then(|value| String::from_utf8(value).ok()?.parse().ok())
        .ok_or(StoreError::Damaged("no store_epoch in im_meta"))
}

/// The secret of the hashes that are stored.
pub(super) fn hash_key(session: &mut Session) -> Result<[u8; 16], StoreError> {
    let value = meta(session, "SELECT value FROM im_meta WHERE name = 'hash_key'")?;
    value
        .and_then(|value| value.try_into().ok())
        .ok_or(StoreError::Damaged("no hash_key in im_meta"))
}

/// 0 when there is no table, or only a half of the first migration.
fn version(session: &mut Session) -> Result<u32, StoreError> {
    match meta(session, "SELECT value FROM im_meta WHERE name = 'schema_version'") {
        Ok(None) => Ok(0),
        Ok(Some(value)) => String::from_utf8(value)
            .ok()
            .and_then(|value| value.parse().ok())
            .ok_or(StoreError::Damaged("schema_version is no number")),
        Err(StoreError::Mysql(mysql::Error::MySqlError(error))) if error.code == NO_SUCH_TABLE => {
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// ER_NO_SUCH_TABLE.
const NO_SUCH_TABLE: u16 = 1146;

fn meta(session: &mut Session, sql: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row: Option<Row> = session.run(sql)?.into_iter().flatten().next();
    match row.map(|mut row| rows::bytes(&mut row, 0)).transpose() {
        Ok(value) => Ok(value),
        Err(Abort::Poisoned(_) | Abort::Retry(_) | Abort::Unavailable(_)) => {
            Err(StoreError::Damaged("a value in im_meta"))
        }
    }
}

fn put_meta(sql: &mut SqlText, name: &[u8], value: &[u8]) {
    sql.statement("REPLACE INTO im_meta (name, value) VALUES (")
        .bytes(name)
        .push(", ")
        .bytes(value)
        .push(")");
}
