//! What a store can do, for all backends. Knows no backend.

use aldis_logic::job::{
    Event, JobError, NewUser, ReactorId, ReadJob, ReadResult, Ticket, WriteJob, WriteRequest,
    Written,
};
use aldis_wire::{Command, ConnId, UserId};

/// An opened and migrated store: a handle that can be cloned and sent to other threads.
pub trait Store: Clone + Send + Sync + 'static {
    /// What changes it.
    type Writer: Writer + Send;
    /// What answers questions.
    type Reader: Reader + Send;

    /// A writer with a connection of its own. One of them at a time serves messages.
    fn writer(&self) -> Result<Self::Writer, StoreError>;

    /// A reader with a connection of its own.
    fn reader(&self) -> Result<Self::Reader, StoreError>;

    /// What a server needs to know of the store before it serves.
    fn boot(&self) -> Result<Boot, StoreError>;

    /// Gives the store a new epoch, after a restore or a failover that may have lost commits: what
    /// clients remember of positions is void. Returns it. Running servers have to end.
    fn renew_epoch(&self) -> Result<u64, StoreError>;

    /// Whether this process still has its node's number for certain. Asks nobody: where numbers are
    /// claimed, writers renew the claim. A store of one process needs none.
    fn has_claim(&self) -> bool {
        true
    }

    /// Users without passwords for load tests. Those that exist already are returned as they are.
    fn seed_users(&self, seed: &SeedUsers, now_ms: u64) -> Result<Vec<UserId>, StoreError>;

    /// One user, as by REGISTER. `now_ms` is Unix time.
    fn add_user(&self, user: NewUser, now_ms: u64) -> Result<UserId, StoreError> {
        let nobody = Ticket {
            reactor: ReactorId(0),
            conn: ConnId { index: 0, generation: 0 },
            request: 0,
            command: Command::Register,
            bytes: 0,
        };
        let request = WriteRequest { ticket: nobody, fence: 0, job: WriteJob::Register(user) };
        match self.writer()?.commit(now_ms, &[request]).results.pop() {
            Some(Ok(Written::Registered(user))) => Ok(user),
            Some(Err(why)) => Err(StoreError::Job(why)),
            _ => Err(StoreError::Job(JobError::Internal)),
        }
    }
}

/// Changes the store, batch by batch.
pub trait Writer {
    /// Runs the batch in order as one transaction and returns once it is durable. A job that fails
    /// by its own fault fails alone. `now_ms` is Unix time.
    fn commit(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Committed;

    /// How many mailbox entries the job makes; where that is not known, an upper bound.
    fn mailbox_rows(&self, job: &WriteJob) -> usize;

    /// Housekeeping that may take some milliseconds; the loop calls it when a batch was answered,
    /// and at least every [`crate::MAINTAIN_INTERVAL`]. `now_ms` is Unix time. An error means that
    /// this process must not write any more.
    fn maintain(&mut self, _now_ms: u64) -> Result<(), Fenced> {
        Ok(())
    }
}

/// Why a process must not write any more: somebody else may act in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// Another process has claimed this node's number.
    #[error("node {node} was claimed by another process")]
    NodeClaimed {
        /// This node.
        node: u16,
    },
    /// The store was restored or replaced by one that may lack commits.
    #[error("the store has another epoch now ({found}, it was {known}): restart the server")]
    StoreReplaced {
        /// In the store now.
        found: u64,
        /// When this process started.
        known: u64,
    },
}

/// Answers questions, each from one consistent snapshot.
pub trait Reader {
    /// The answer.
    fn read(&mut self, job: &ReadJob) -> Result<ReadResult, JobError>;
}

/// Outcome of a batch.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// One for each request, in their order.
    pub results: Vec<Result<Written, JobError>>,
    /// Entries that were made, in commit order. Resends make none.
    pub events: Vec<Event>,
}

/// What a server needs to know of the store before it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Random, made with the store. Another one means that positions of clients are void.
    pub store_epoch: u64,
    /// Keys that sign tokens; at least one of them is active.
    pub signing_keys: Vec<SigningKey>,
}

/// A key that signs tokens. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Names the key in tokens.
    pub kid: String,
    /// At least 32 bytes.
    pub secret: Vec<u8>,
    /// When it was made, Unix ms.
    pub created_ms: u64,
    /// Whether it signs new tokens; the others only verify.
    pub active: bool,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("created_ms", &self.created_ms)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// Which users `Store::seed_users` makes.
#[derive(Clone, Debug)]
pub struct SeedUsers {
    /// Names are `prefix-0001`, `prefix-0002`, ….
    pub prefix: String,
    /// How many.
    pub count: u32,
}

/// Why a store cannot be opened or an administrative change failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database says no.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database server says no, or is not there.
    #[error("database: {0}")]
    Mysql(#[from] mysql::Error),
    /// The database server could not be asked.
    #[error("database: {0}")]
    Unreachable(String),
    /// The database's URL; it is not repeated, because of the password in it.
    #[error("the database's URL is wrong: {0}")]
    Url(&'static str),
    /// The tables are not those of this program.
    #[error("{0}; run `aldisd migrate` with an account that may make tables")]
    Schema(crate::mysql::SchemaState),
    /// Another process migrates.
    #[error("another process has been bringing the schema up to date for a minute; try again")]
    MigrationLocked,
    /// Batches do not fit.
    #[error("the database's max_allowed_packet is {found}; it must be at least {needed}")]
    PacketLimit {
        /// Bytes, as set.
        found: u64,
        /// Bytes.
        needed: u64,
    },
    /// A crash of the database would lose what was acknowledged.
    #[error(
        "the database's {variable} is {value}: acknowledged messages are lost when it crashes; \
         set it to 1, or allow_unsafe_durability"
    )]
    UnsafeDurability {
        /// Of the server.
        variable: &'static str,
        /// As set.
        value: String,
    },
    /// The file cannot be made or read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Memory cannot be shared there, as on network file systems; readers would block the writer.
    #[error("{0}: the file system does not support SQLite's write-ahead log")]
    NoLog(String),
    /// A newer version of the program has written it.
    #[error("the store has schema {found}, this program knows up to {known}: use a newer program")]
    TooNew {
        /// In the store.
        found: u32,
        /// In the program.
        known: u32,
    },
    /// What is stored contradicts itself.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// The operating system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The node's number does not fit into message ids.
    #[error("node {0} is above {NODE_MAX}", NODE_MAX = crate::snowflake::NODE_MAX)]
    Node(u16),
    /// Not a name that users may have.
    #[error("{0:?} is no valid username")]
    BadName(String),
    /// The name belongs to a user with a password.
    #[error("{0:?} is taken by a user with a password")]
    NameTaken(String),
    /// The change was refused or failed.
    #[error("{0}")]
    Job(#[from] JobError),
}
