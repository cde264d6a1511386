//! The store that the configuration names: the one place of the server that knows all kinds.

use std::time::{Duration, Instant};

use aldis_logic::job::{BootId, NewUser};
use aldis_store::mysql::{ClaimOutcome, Claimant, MysqlOptions, MysqlStore, SchemaState, migrate};
use aldis_store::sqlite::SqliteStore;
use aldis_store::{Boot, SeedUsers, Store, StoreError};
use aldis_wire::UserId;
use anyhow::{Context, bail};

use crate::clock::unix_ms;
use crate::config::{Config, StoreKind};
use crate::data_dir;

/// How long a start waits for the lease of another process that has this node's number: three
/// leases, so that one that is alive has renewed it.
const CLAIM_WAIT_MAX: Duration = Duration::from_secs(15);
/// Pause between two looks at that lease.
const CLAIM_POLL: Duration = Duration::from_millis(250);

/// An opened store of some kind.
pub enum AnyStore {
    /// A file.
    Sqlite(SqliteStore),
    /// A server.
    Mysql(MysqlStore),
}

impl AnyStore {
    /// Opens the configured store for one life of this process. SQLite's schema is brought up to
    /// date, that of a database server is not.
    pub fn open(config: &Config, boot: BootId) -> anyhow::Result<Self> {
        let node = *config.node.id.get_ref();
        Ok(match config.store.kind.get_ref() {
            StoreKind::Sqlite => Self::Sqlite(data_dir::open_store(&config.data_dir, node)?),
            StoreKind::Mysql => {
                let options = MysqlOptions {
                    url: config.store.url.get_ref().0.clone(),
                    replicas: config.store.replicas.iter().map(|url| url.0.clone()).collect(),
                    node,
                    boot,
                    allow_unsafe_durability: config.store.allow_unsafe_durability,
                };
                let store = MysqlStore::open(options).context("cannot open the store")?;
                #[cfg(feature = "planted-bugs")]
                plant(&store)?;
                Self::Mysql(store)
            }
        })
    }

    /// See [`Store::boot`].
    pub fn boot(&self) -> Result<Boot, StoreError> {
        match self {
            Self::Sqlite(store) => store.boot(),
            Self::Mysql(store) => store.boot(),
        }
    }

    /// See [`Store::renew_epoch`].
    pub fn renew_epoch(&self) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.renew_epoch(),
            Self::Mysql(store) => store.renew_epoch(),
        }
    }

    /// See [`Store::seed_users`].
    pub fn seed_users(&self, seed: &SeedUsers) -> Result<Vec<UserId>, StoreError> {
        match self {
            Self::Sqlite(store) => store.seed_users(seed, unix_ms()),
            Self::Mysql(store) => store.seed_users(seed, unix_ms()),
        }
    }

    /// See [`Store::add_user`].
    pub fn add_user(&self, user: NewUser) -> Result<UserId, StoreError> {
        match self {
            Self::Sqlite(store) => store.add_user(user, unix_ms()),
            Self::Mysql(store) => store.add_user(user, unix_ms()),
        }
    }
}

/// Makes the store wrong as the environment says: the history checker has to notice.
#[cfg(feature = "planted-bugs")]
fn plant(store: &MysqlStore) -> anyhow::Result<()> {
    use aldis_store::mysql::Bug;
    store.plant(match crate::planted::name().as_deref() {
        Some("ack-before-commit") => Some(Bug::AckBeforeCommit),
        Some("seq-before-transaction") => Some(Bug::SeqBeforeTransaction),
        Some("no-dedupe") => Some(Bug::NoDedupe),
        name => {
            crate::planted::check(name)?;
            None
        }
    });
    Ok(())
}

/// Makes this process the one that has the node's number.
pub fn claim_node(store: &MysqlStore) -> anyhow::Result<()> {
    let claimant = Claimant::this_process().context("cannot tell which process this is")?;
    let deadline = Instant::now() + CLAIM_WAIT_MAX;
    let mut is_told = false;
    loop {
        match store.claim_node(&claimant, unix_ms())? {
            ClaimOutcome::Claimed => return Ok(()),
            ClaimOutcome::HeldBy { who, .. } if Instant::now() >= deadline => {
                bail!("this node's number (node.id) is that of another running process: {who}")
            }
            ClaimOutcome::HeldBy { who, remaining_ms } => {
                if !std::mem::replace(&mut is_told, true) {
                    log::warn!("{who} had this node's number; waiting {remaining_ms} ms for it");
                }
                std::thread::sleep(CLAIM_POLL);
            }
        }
    }
}

/// Brings the schema of a database server up to date. Nothing is asked of the account when it is.
pub fn migrate_on_start(config: &Config) -> anyhow::Result<()> {
    if *config.store.kind.get_ref() == StoreKind::Sqlite {
        return Ok(());
    }
    let url = &config.store.url.get_ref().0;
    match migrate::check(url).context("cannot read the store's schema")? {
        SchemaState::UpToDate { .. } => Ok(()),
        state => {
            migrate::migrate(url).with_context(|| {
                format!("{state}; run `aldisd migrate --url …` with an account that may do it")
            })?;
            Ok(())
        }
    }
}

/// `aldisd migrate`: `url` overrides the configured one.
pub fn migrate(config: &Config, url: Option<&str>) -> anyhow::Result<()> {
    if *config.store.kind.get_ref() == StoreKind::Sqlite {
        data_dir::open_store(&config.data_dir, *config.node.id.get_ref())?;
        println!("The schema is up to date.");
        return Ok(());
    }
    let url = url.unwrap_or(&config.store.url.get_ref().0);
    let migrated = migrate::migrate(url).context("cannot migrate")?;
    println!("{migrated}");
    Ok(())
}

/// `aldisd migrate --check`: an error unless the schema is up to date. Changes nothing.
pub fn check_schema(config: &Config, url: Option<&str>) -> anyhow::Result<()> {
    if *config.store.kind.get_ref() == StoreKind::Sqlite {
        println!("SQLite's schema is brought up to date whenever the store is opened.");
        return Ok(());
    }
    let url = url.unwrap_or(&config.store.url.get_ref().0);
    match migrate::check(url).context("cannot read the store's schema")? {
        state @ SchemaState::UpToDate { .. } => {
            println!("{state}");
            Ok(())
        }
        state => bail!("{state}"),
    }
}
