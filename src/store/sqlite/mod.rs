//! The SQLite backend: one file on one machine. This file opens stores and does what administrators
//! ask for; the mechanisms are in the others.
//!
//! A message costs one row for finding resends, one body, and one row in each index, all of them
//! appended or near the end of a range. Counters are in the single writer's memory and in no table.

mod accounts;
mod append;
mod batch;
mod cache;
mod connection;
mod failure;
mod groups;
mod history;
mod index;
mod look;
mod migrate;
mod once;
mod read;
mod records;
mod rows;
mod runs;
mod search;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aldis_logic::job::{JobError, NewUser};
use aldis_wire::name::normalize_username;
use aldis_wire::{RequestId, UserId};
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use read::SqliteReader;
pub use writer::SqliteWriter;

use crate::snowflake::NODE_MAX;
use crate::stored_hash::StoredHash;
use crate::traits::{Boot, SeedUsers, SigningKey, Store, StoreError};
use accounts::{insert_user, take_ids, user_by_name};
use failure::{Abort, Stop};

/// Users that seeding writes in one transaction: the server beside it waits some ms at most.
const SEED_USERS_PER_TRANSACTION: usize = 500;

/// Where a store is.
#[derive(Debug)]
struct Options {
    path: PathBuf,
    node: u16,
}

/// An opened and migrated store.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    options: Arc<Options>,
    stored_hash: StoredHash,
}

impl SqliteStore {
    /// Opens the database file, makes it when there is none (its folder exists; SQLite puts two
    /// more files beside it), and brings its schema up to date. `node` is the number of this node in
    /// message ids, at most [`NODE_MAX`].
    pub fn open(path: &Path, node: u16) -> Result<Self, StoreError> {
        if node > NODE_MAX {
            return Err(StoreError::Node(node));
        }
        let options = Options { path: path.to_owned(), node };
        let mut conn = connection::create(path)?;
        migrate::migrate(&mut conn)?;
        let stored_hash = StoredHash::new(migrate::hash_key(&conn)?);
        Ok(Self { options: Arc::new(options), stored_hash })
    }
}

impl Store for SqliteStore {
    type Writer = SqliteWriter;
    type Reader = SqliteReader;

    fn writer(&self) -> Result<SqliteWriter, StoreError> {
        SqliteWriter::open(self.options.clone(), self.stored_hash.clone())
    }

    fn reader(&self) -> Result<SqliteReader, StoreError> {
        SqliteReader::open(self.options.path.clone())
    }

    fn boot(&self) -> Result<Boot, StoreError> {
        let conn = connection::open_for_reading(&self.options.path)?;
        let signing_keys = conn
            .prepare("SELECT kid, secret, created_ms, active FROM im_key ORDER BY created_ms, kid")?
            .query_map([], |row| {
                Ok(SigningKey {
                    kid: row.get(0)?,
                    secret: row.get(1)?,
                    created_ms: rows::number(row, 2)?,
                    active: row.get(3)?,
                })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Boot { store_epoch: migrate::store_epoch(&conn)?, signing_keys })
    }

    fn renew_epoch(&self) -> Result<u64, StoreError> {
        migrate::renew_epoch(&connection::open_for_writing(&self.options.path)?)
    }

    fn seed_users(&self, seed: &SeedUsers, now_ms: u64) -> Result<Vec<UserId>, StoreError> {
        let mut conn = connection::open_for_writing(&self.options.path)?;
        let names = seed_names(seed)?;
        let mut users = Vec::with_capacity(names.len());
        for chunk in names.chunks(SEED_USERS_PER_TRANSACTION) {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for name in chunk {
                users.push(seed_user(&tx, name, now_ms)?);
            }
            tx.commit()?;
        }
        Ok(users)
    }
}

/// The names to seed, in their comparable form.
pub(crate) fn seed_names(seed: &SeedUsers) -> Result<Vec<String>, StoreError> {
    (1..=seed.count)
        .map(|number| {
            let name = format!("{}-{number:04}", seed.prefix);
            normalize_username(&name).ok_or(StoreError::BadName(name))
        })
        .collect()
}

fn seed_user(tx: &Transaction<'_>, name: &str, now_ms: u64) -> Result<UserId, StoreError> {
    if let Some(user) = user_by_name(tx, name)? {
        return match has_password(tx, user)? {
            true => Err(StoreError::NameTaken(name.to_owned())),
            false => Ok(user),
        };
    }
    let id = take_ids(tx, "user", 1).map(UserId).map_err(|stop| match stop {
        Stop::Refuse(why) => StoreError::Job(why),
        Stop::Abort(Abort::Unavailable(_)) => StoreError::Job(JobError::Unavailable),
        Stop::Abort(Abort::Poisoned(_)) => StoreError::Job(JobError::Internal),
    })?;
    let user = NewUser {
        username: name.to_owned(),
        nickname: name.to_owned(),
        password_phc: String::new(),
        request_id: RequestId::default(),
    };
    insert_user(tx, id, &user, now_ms)?;
    Ok(id)
}

fn has_password(conn: &Connection, user: UserId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM im_user WHERE user_id = ? AND password_phc <> ''")?
        .exists([user.0 as i64])
}
