//! The MySQL backend: MariaDB 10.11 or MySQL 8, shared by any number of nodes. This file opens
//! stores and does what administrators ask for; the mechanisms are in the others.

mod accounts;
mod append;
mod batch;
mod claim;
mod connection;
mod durable;
mod failure;
mod history;
mod link;
mod load;
mod look;
mod lookups;
mod mailboxes;
pub mod migrate;
mod options;
mod packet;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod process;
mod questions;
mod read;
mod records;
mod replica;
mod rows;
mod search;
mod sql_text;
mod sync;
mod working_set;
mod write_back;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aldis_logic::job::{JobError, NewUser, ReactorId, Ticket, WriteJob, WriteRequest, Written};
use aldis_wire::{Command, ConnId, RequestId, UserId};

pub use claim::{ClaimOutcome, Claimant};
pub use migrate::{Migrated, SchemaState};
pub use options::MysqlOptions;
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
pub use read::MysqlReader;
pub use writer::MysqlWriter;

use crate::snowflake::NODE_MAX;
use crate::sqlite::seed_names;
use crate::stored_hash::StoredHash;
use crate::traits::{Boot, SeedUsers, SigningKey, Store, StoreError, Writer};
use claim::Claim;
use connection::{Purpose, Session, connect};
use durable::{Barrier, DurableHeads};
use failure::Abort;
use link::Target;
use options::Endpoint;
use replica::Replica;
use sql_text::SqlText;

/// Users that seeding makes in one transaction.
const SEED_USERS_PER_BATCH: usize = 400;

/// An opened store whose schema is up to date.
#[derive(Clone, Debug)]
pub struct MysqlStore {
    shared: Arc<Shared>,
}

/// What the connections of a process have in common.
#[derive(Debug)]
struct Shared {
    primary: Endpoint,
    replicas: Vec<Replica>,
    allow_unsafe_durability: bool,
    store_epoch: u64,
    stored_hash: StoredHash,
    claim: Claim,
    durable: DurableHeads,
    /// Readers and writers that were opened, to tell their barriers apart.
    opened_count: AtomicU32,
    #[cfg(feature = "planted-bugs")]
    planted: planted::Planted,
}

impl MysqlStore {
    /// Connects and checks the schema's version and the server's settings. Changes nothing; see
    /// [`migrate::migrate`].
    pub fn open(options: MysqlOptions) -> Result<Self, StoreError> {
        if options.node > NODE_MAX {
            return Err(StoreError::Node(options.node));
        }
        let primary = Endpoint::parse(&options.url)?;
        let replicas = options.replicas.iter().map(|url| Endpoint::parse(url).map(Replica::new));
        let replicas = replicas.collect::<Result<Vec<_>, _>>()?;
        let mut session = connect(&primary, Purpose::Write)?;
        session.server.check(options.allow_unsafe_durability)?;
        session.server.warn();
        primary.warn();
        match migrate::check_session(&mut session)? {
            SchemaState::UpToDate { .. } => (),
            state => return Err(StoreError::Schema(state)),
        }
        let shared = Shared {
            primary,
            replicas,
            allow_unsafe_durability: options.allow_unsafe_durability,
            store_epoch: migrate::store_epoch(&mut session)?,
            stored_hash: StoredHash::new(migrate::hash_key(&mut session)?),
            claim: Claim::new(options.node, options.boot),
            durable: DurableHeads::new(),
            opened_count: AtomicU32::new(0),
            #[cfg(feature = "planted-bugs")]
            planted: planted::Planted::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Tries to make this process the one that has the node's number. Writers need it for jobs
    /// that make entries, and keep it from then on. `now_ms` is Unix time.
    pub fn claim_node(&self, claimant: &Claimant, now_ms: u64) -> Result<ClaimOutcome, StoreError> {
        let mut session = self.session()?;
        Ok(self.shared.claim.take(&mut session, claimant, now_ms)?)
    }

    /// Gives the number back, so that a restart on another machine need not wait for the lease.
    /// Nothing can be written any more.
    pub fn release_node(&self) {
        let released = self.session().and_then(|mut session| {
            self.shared.claim.release(&mut session)?;
            Ok(())
        });
        if let Err(error) = released {
            log::warn!("the node's number is free only when its lease has run out: {error}");
        }
    }

    /// A connection for something that is not a batch.
    fn session(&self) -> Result<Session, StoreError> {
        let session = connect(&self.shared.primary, Purpose::Write)?;
        session.server.check(self.shared.allow_unsafe_durability)?;
        Ok(session)
    }
}

impl Shared {
    /// The primary, for a link.
    fn target(&self, purpose: Purpose) -> Arc<Target> {
        Arc::new(Target {
            endpoint: self.primary.clone(),
            purpose,
            store_epoch: self.store_epoch,
            allow_unsafe_durability: Some(self.allow_unsafe_durability),
        })
    }

    /// Another reader's or writer's number in this process.
    fn next_number(&self) -> u32 {
        self.opened_count.fetch_add(1, Ordering::Relaxed)
    }

    /// A barrier for another connection.
    fn barrier(&self) -> Barrier {
        Barrier::new(self.claim.node(), self.next_number())
    }
}

impl Store for MysqlStore {
    type Writer = MysqlWriter;
    type Reader = MysqlReader;

    fn writer(&self) -> Result<MysqlWriter, StoreError> {
        MysqlWriter::open(self.shared.clone())
    }

    fn reader(&self) -> Result<MysqlReader, StoreError> {
        MysqlReader::open(self.shared.clone())
    }

    fn boot(&self) -> Result<Boot, StoreError> {
        let mut session = self.session()?;
        let sql = "SELECT kid, secret, created_ms, active FROM im_key ORDER BY created_ms, kid";
        let mut signing_keys = Vec::new();
        for mut row in session.run(sql)?.into_iter().flatten() {
            signing_keys.push(SigningKey {
                kid: rows::text(&mut row, 0)?,
                secret: rows::bytes(&mut row, 1)?,
                created_ms: rows::number(&mut row, 2)?,
                active: rows::take(&mut row, 3)?,
            });
        }
        Ok(Boot { store_epoch: self.shared.store_epoch, signing_keys })
    }

    fn renew_epoch(&self) -> Result<u64, StoreError> {
        migrate::renew_epoch(&mut self.session()?)
    }

    fn has_claim(&self) -> bool {
        self.shared.claim.is_held()
    }

    fn seed_users(&self, seed: &SeedUsers, now_ms: u64) -> Result<Vec<UserId>, StoreError> {
        let names = seed_names(seed)?;
        let mut session = self.session()?;
        let mut writer = self.writer()?;
        let mut users = Vec::with_capacity(names.len());
        for names in names.chunks(SEED_USERS_PER_BATCH) {
            users.extend(seed_chunk(&mut session, &mut writer, names, now_ms)?);
        }
        Ok(users)
    }
}

/// Users of one chunk: those that have no password already, the others made as by REGISTER.
fn seed_chunk(
    session: &mut Session,
    writer: &mut MysqlWriter,
    names: &[String],
    now_ms: u64,
) -> Result<Vec<UserId>, StoreError> {
    let mut sql = SqlText::default();
    sql.statement(
        "SELECT n.name, u.user_id, u.password_phc = '' FROM im_username n
         JOIN im_user u ON u.user_id = n.user_id WHERE n.name IN (",
    )
    .list(names, |sql, name| {
        sql.text(name);
    })
    .push(")");
    let mut known = HashMap::new();
    for mut row in session.run(sql.as_str())?.into_iter().flatten() {
        let row = &mut row;
        let user = UserId(rows::number(row, 1)?);
        known.insert(rows::text(row, 0)?, (user, rows::take::<bool>(row, 2)?));
    }
    if let Some((name, _)) = known.iter().find(|(_, (_, is_seeded))| !is_seeded) {
        return Err(StoreError::NameTaken(name.clone()));
    }
    let missing: Vec<&String> = names.iter().filter(|name| !known.contains_key(*name)).collect();
    let batch: Vec<WriteRequest> = missing.iter().map(|name| registration(name)).collect();
    for (name, result) in missing.into_iter().zip(writer.commit(now_ms, &batch).results) {
        match result {
            Ok(Written::Registered(user)) => known.insert(name.clone(), (user, true)),
            Ok(_) => return Err(StoreError::Job(JobError::Internal)),
            Err(why) => return Err(StoreError::Job(why)),
        };
    }
    names
        .iter()
        .map(|name| known.get(name).map(|&(user, _)| user))
        .collect::<Option<Vec<_>>>()
        .ok_or(StoreError::Job(JobError::Internal))
}

fn registration(name: &str) -> WriteRequest {
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::Register;
    let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
    let job = WriteJob::Register(NewUser {
        username: name.to_owned(),
        nickname: name.to_owned(),
        password_phc: String::new(),
        request_id: RequestId::default(),
    });
    WriteRequest { ticket, fence: 0, job }
}

impl From<Abort> for StoreError {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Retry(why) | Abort::Unavailable(why) | Abort::Poisoned(why) => {
                StoreError::Unreachable(why)
            }
        }
    }
}
