//! A store of some backend under test, with helpers that make the tests short.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aldis_logic::job::{
    Append, Appended, BootId, CreateGroup, GroupLimits, HistoryPage, HistoryRange, JobError,
    NewUser, OpenSession, ReactorId, ReadJob, ReadResult, SyncPage, Ticket, WriteJob, WriteRequest,
    Written,
};
use aldis_services::MariaDb;
use aldis_store::memory::{Fate, MemoryReader, MemoryStore, MemoryWriter};
use aldis_store::mysql::{
    ClaimOutcome, Claimant, MysqlOptions, MysqlReader, MysqlStore, MysqlWriter, migrate,
};
use aldis_store::sqlite::{SqliteReader, SqliteStore, SqliteWriter};
use aldis_store::{Committed, Reader, SeedUsers, Store, Writer};
use aldis_wire::limits::GROUP_FANOUT_MAX;
use aldis_wire::{
    ClientMsgId, Command, ConnId, ConversationKey, DeviceClass, GroupId, RequestId, Seq, UserId, pb,
};
use bytes::Bytes;
use mysql::prelude::Queryable;

/// Number of the node that writes.
const NODE: u16 = 3;

/// Runs a test against every backend.
pub fn on_every_backend(test: impl Fn(&mut Bench)) {
    for kind in Kind::ALL {
        println!("backend: {kind:?}");
        test(&mut Bench::new(kind));
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Sqlite,
    MariaDb,
    Memory,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::MariaDb, Self::Memory];
}

/// A store under test with one writer, one reader, and a clock.
pub struct Bench {
    backend: Backend,
    pub now_ms: u64,
    next_id: u64,
}

#[allow(clippy::large_enum_variant, reason = "there is one of them in a test")]
pub enum Backend {
    Sqlite { store: SqliteStore, open: Option<(SqliteWriter, SqliteReader)>, dir: TempDir },
    MariaDb { open: Option<(MysqlStore, MysqlWriter, MysqlReader)>, url: String },
    Memory { store: MemoryStore, writer: MemoryWriter, reader: MemoryReader },
}

impl Bench {
    pub fn new(kind: Kind) -> Self {
        let backend = match kind {
            Kind::Sqlite => {
                let dir = TempDir::new();
                let store = SqliteStore::open(&dir.file(), NODE).unwrap();
                let open = Some((store.writer().unwrap(), store.reader().unwrap()));
                Backend::Sqlite { store, open, dir }
            }
            Kind::MariaDb => {
                let url = MariaDb::shared().fresh_database();
                migrate::migrate(&url).unwrap();
                Backend::MariaDb { open: Some(open_mysql(&url, unix_ms())), url }
            }
            Kind::Memory => {
                let store = MemoryStore::new(NODE, 1).unwrap();
                let (writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
                Backend::Memory { store, writer, reader }
            }
        };
        Self { backend, now_ms: unix_ms(), next_id: 1 }
    }

    /// Commits a batch of jobs; the n-th has n as the request number of its ticket.
    pub fn batch(&mut self, jobs: Vec<WriteJob>) -> Committed {
        let requests: Vec<_> = (0..)
            .zip(jobs)
            .map(|(number, job)| WriteRequest { ticket: ticket(number), fence: 0, job })
            .collect();
        let committed = match &mut self.backend {
            Backend::Sqlite { open, .. } => open.as_mut().unwrap().0.commit(self.now_ms, &requests),
            Backend::MariaDb { open, .. } => {
                open.as_mut().unwrap().1.commit(self.now_ms, &requests)
            }
            Backend::Memory { writer, .. } => writer.commit(self.now_ms, &requests),
        };
        assert_eq!(committed.results.len(), requests.len());
        committed
    }

    pub fn run(&mut self, job: WriteJob) -> Result<Written, JobError> {
        self.batch(vec![job]).results.pop().unwrap()
    }

    pub fn read(&mut self, job: ReadJob) -> Result<ReadResult, JobError> {
        match &mut self.backend {
            Backend::Sqlite { open, .. } => open.as_mut().unwrap().1.read(&job),
            Backend::MariaDb { open, .. } => open.as_mut().unwrap().2.read(&job),
            Backend::Memory { reader, .. } => reader.read(&job),
        }
    }

    /// Everything in memory is gone, as after a crash of the process.
    pub fn restart(&mut self) {
        match &mut self.backend {
            Backend::Sqlite { store, open, dir } => {
                *open = None;
                *store = SqliteStore::open(&dir.file(), NODE).unwrap();
                *open = Some((store.writer().unwrap(), store.reader().unwrap()));
            }
            Backend::MariaDb { open, url } => {
                *open = None;
                *open = Some(open_mysql(url, self.now_ms));
            }
            Backend::Memory { store, .. } => store.crash(),
        }
    }

    /// Makes every append with this id fail by itself.
    pub fn poison(&mut self, id: ClientMsgId) {
        let hex: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
        match &self.backend {
            Backend::Sqlite { dir, .. } => {
                let sql = format!(
                    "CREATE TRIGGER poison BEFORE INSERT ON im_message_body
                     WHEN NEW.client_msg_id = x'{hex}'
                     BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
                );
                rusqlite::Connection::open(dir.file()).unwrap().execute_batch(&sql).unwrap();
            }
            Backend::MariaDb { url, .. } => sql(
                url,
                &format!(
                    "CREATE TRIGGER poison BEFORE INSERT ON im_message_body FOR EACH ROW
                     IF NEW.client_msg_id = x'{hex}' THEN
                         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poisoned';
                     END IF"
                ),
            ),
            Backend::Memory { store, .. } => store.poison(id),
        }
    }

    /// Makes the next batch fail as a whole; nothing of it happens.
    pub fn with_failing_store(&mut self, run: impl FnOnce(&mut Self)) {
        let blocker: Box<dyn std::any::Any> = match &self.backend {
            Backend::Sqlite { dir, .. } => {
                // Another process that holds the write lock for longer than the writer waits.
                let conn = rusqlite::Connection::open(dir.file()).unwrap();
                conn.execute_batch("BEGIN IMMEDIATE").unwrap();
                Box::new(conn)
            }
            Backend::MariaDb { url, .. } => {
                // Another connection that holds row locks for longer than the writer waits.
                let mut conn = mysql::Conn::new(url.as_str()).unwrap();
                conn.query_drop("BEGIN").unwrap();
                conn.query_drop("SELECT * FROM im_conversation FOR UPDATE").unwrap();
                Box::new(conn)
            }
            Backend::Memory { store, .. } => {
                store.plan([Fate::Fail]);
                Box::new(())
            }
        };
        run(self);
        drop(blocker);
    }

    pub fn store_boot(&self) -> aldis_store::Boot {
        match &self.backend {
            Backend::Sqlite { store, .. } => store.boot().unwrap(),
            Backend::MariaDb { open, .. } => open.as_ref().unwrap().0.boot().unwrap(),
            Backend::Memory { store, .. } => store.boot().unwrap(),
        }
    }

    pub fn seed(&self, prefix: &str, count: u32) -> Result<Vec<UserId>, aldis_store::StoreError> {
        let seed = SeedUsers { prefix: prefix.into(), count };
        match &self.backend {
            Backend::Sqlite { store, .. } => store.seed_users(&seed, self.now_ms),
            Backend::MariaDb { open, .. } => {
                open.as_ref().unwrap().0.seed_users(&seed, self.now_ms)
            }
            Backend::Memory { store, .. } => store.seed_users(&seed, self.now_ms),
        }
    }

    pub fn add_user(&self, user: NewUser) -> Result<UserId, aldis_store::StoreError> {
        match &self.backend {
            Backend::Sqlite { store, .. } => store.add_user(user, self.now_ms),
            Backend::MariaDb { open, .. } => open.as_ref().unwrap().0.add_user(user, self.now_ms),
            Backend::Memory { store, .. } => store.add_user(user, self.now_ms),
        }
    }

    pub fn users(&mut self, count: u32) -> Vec<UserId> {
        self.seed("u", count).unwrap()
    }

    /// A client_msg_id that was not used before.
    pub fn fresh_id(&mut self) -> ClientMsgId {
        self.next_id += 1;
        client_msg_id(self.now_ms, self.next_id)
    }

    pub fn send(
        &mut self,
        conversation: ConversationKey,
        sender: UserId,
        text: &str,
    ) -> Result<Appended, JobError> {
        let id = self.fresh_id();
        let job = append(conversation, sender, id, text);
        self.run(job).map(|written| appended(&written))
    }

    pub fn sync(&mut self, user: UserId, after: u64, limit: usize) -> SyncPage {
        match self.read(ReadJob::Sync { user, after: Seq(after), limit }) {
            Ok(ReadResult::Sync(page)) => page,
            other => panic!("{other:?}"),
        }
    }

    /// The contents of a mailbox; checks that it is dense.
    pub fn mailbox(&mut self, user: UserId) -> Vec<aldis_logic::job::StoredMessage> {
        let mut all = Vec::new();
        loop {
            let page = self.sync(user, all.len() as u64, 500);
            for (seq, entry) in page.entries {
                all.push(entry);
                assert_eq!(seq, Seq(all.len() as u64), "dense");
            }
            assert!(page.head >= Seq(all.len() as u64));
            if page.head == Seq(all.len() as u64) {
                return all;
            }
        }
    }

    pub fn history(
        &mut self,
        reader: UserId,
        conversation: ConversationKey,
        range: HistoryRange,
        limit: usize,
    ) -> Result<HistoryPage, JobError> {
        match self.read(ReadJob::History { reader, conversation, range, limit })? {
            ReadResult::History(page) => Ok(page),
            other => panic!("{other:?}"),
        }
    }

    pub fn group(&mut self, owner: UserId, members: &[UserId]) -> GroupId {
        let ClientMsgId(request_id) = self.fresh_id();
        match self.run(create_group(owner, members, RequestId(request_id))) {
            Ok(Written::GroupCreated { group, .. }) => group,
            other => panic!("{other:?}"),
        }
    }
}

/// A new life of the node, whose earlier one has ended.
fn open_mysql(url: &str, now_ms: u64) -> (MysqlStore, MysqlWriter, MysqlReader) {
    static BOOT: AtomicU64 = AtomicU64::new(1);
    let options = MysqlOptions {
        url: url.to_owned(),
        replicas: Vec::new(),
        node: NODE,
        boot: BootId(BOOT.fetch_add(1, Ordering::Relaxed)),
        allow_unsafe_durability: false,
    };
    let store = MysqlStore::open(options).unwrap();
    let this = Claimant::this_process().unwrap();
    // It counts as another process than this one, so that the next life need not wait.
    let claimant = Claimant { process: format!("{}/0", std::process::id()), ..this };
    assert_eq!(store.claim_node(&claimant, now_ms).unwrap(), ClaimOutcome::Claimed);
    let (writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
    (store, writer, reader)
}

fn sql(url: &str, sql: &str) {
    mysql::Conn::new(url).unwrap().query_drop(sql).unwrap();
}

/// Where the clocks of the tests begin: message ids may not be far from the database's clock.
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}

pub fn ticket(request: u32) -> Ticket {
    Ticket {
        reactor: ReactorId(0),
        conn: ConnId { index: 0, generation: 0 },
        request,
        command: Command::MsgSend,
        bytes: 0,
    }
}

/// As clients make them: time first.
pub fn client_msg_id(now_ms: u64, number: u64) -> ClientMsgId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    id[8..].copy_from_slice(&number.to_be_bytes());
    ClientMsgId(id)
}

pub fn append(
    conversation: ConversationKey,
    sender: UserId,
    client_msg_id: ClientMsgId,
    text: &str,
) -> WriteJob {
    WriteJob::Append(Append {
        conversation,
        sender,
        client_msg_id,
        kind: pb::MsgType::Text,
        content: Bytes::from(text.to_owned()),
        extra: Bytes::from_static(b"extra"),
        refs: Bytes::new(),
        friends_only: false,
    })
}

pub fn create_group(owner: UserId, members: &[UserId], request_id: RequestId) -> WriteJob {
    let members = members.to_vec();
    WriteJob::CreateGroup(CreateGroup {
        owner,
        name: "the group".into(),
        members,
        open_history: false,
        request_id,
        limits: LIMITS,
    })
}

pub fn new_user(username: &str, request_id: u8) -> NewUser {
    NewUser {
        username: username.into(),
        nickname: username.to_uppercase(),
        password_phc: "$argon2id$x".into(),
        request_id: RequestId([request_id; 16]),
    }
}

pub fn login(user: UserId, device_id: &str, class: DeviceClass) -> OpenSession {
    OpenSession {
        user,
        device_id: device_id.into(),
        class,
        device_name: "a device".into(),
        generations: None,
        asked_ms: 0,
    }
}

/// Groups that are no streams, unless a test says so.
pub const LIMITS: GroupLimits = GroupLimits {
    fanout_max: GROUP_FANOUT_MAX,
    members_max: GROUP_FANOUT_MAX,
    per_user_max: 2_000,
};

pub fn appended(written: &Written) -> Appended {
    match written {
        Written::Appended(appended) => *appended,
        other => panic!("{other:?}"),
    }
}

pub fn direct(a: UserId, b: UserId) -> ConversationKey {
    ConversationKey::direct(a, b)
}

/// A folder that goes away with the test.
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("aldis-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self { path }
    }

    pub fn file(&self) -> PathBuf {
        self.path.join("store.sqlite")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
