//! Stores on private servers, and what tests do with them. Knows no test.

use std::sync::atomic::{AtomicU64, Ordering};

use aldis_logic::job::{
    Append, Appended, BootId, HistoryPage, HistoryRange, JobError, ReactorId, ReadJob, ReadResult,
    SyncPage, Ticket, WriteJob, WriteRequest, Written,
};
use aldis_store::mysql::{
    ClaimOutcome, Claimant, MysqlOptions, MysqlReader, MysqlStore, MysqlWriter, migrate,
};
use aldis_store::{Reader, SeedUsers, Store, Writer};
use aldis_wire::{ClientMsgId, Command, ConnId, ConversationKey, Seq, UserId, pb};
use bytes::Bytes;

/// A life of its own for each store that is opened.
pub fn options(url: &str, node: u16) -> MysqlOptions {
    static BOOT: AtomicU64 = AtomicU64::new(1);
    MysqlOptions {
        url: url.to_owned(),
        replicas: Vec::new(),
        node,
        boot: BootId(BOOT.fetch_add(1, Ordering::Relaxed)),
        allow_unsafe_durability: false,
    }
}

pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}

/// A migrated store whose number this process has, with two users.
pub struct Scene {
    pub store: MysqlStore,
    pub writer: MysqlWriter,
    pub reader: MysqlReader,
    pub ann: UserId,
    pub bob: UserId,
}

impl Scene {
    pub fn new(url: &str) -> Self {
        Self::with(options(url, 1))
    }

    pub fn with(options: MysqlOptions) -> Self {
        migrate::migrate(&options.url).unwrap();
        let store = MysqlStore::open(options).unwrap();
        let claimant = Claimant::this_process().unwrap();
        assert_eq!(store.claim_node(&claimant, unix_ms()).unwrap(), ClaimOutcome::Claimed);
        let seed = SeedUsers { prefix: "user".into(), count: 2 };
        let users = store.seed_users(&seed, unix_ms()).unwrap();
        let (writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        Self { store, writer, reader, ann: users[0], bob: users[1] }
    }

    /// A message from Ann to Bob.
    pub fn send(&mut self, text: &str) -> Result<Appended, JobError> {
        let job = message(self.ann, self.bob, text);
        match self.writer.commit(unix_ms(), &[request(job)]).results.remove(0) {
            Ok(Written::Appended(appended)) => Ok(appended),
            Ok(other) => panic!("{other:?}"),
            Err(why) => Err(why),
        }
    }

    pub fn sync(&mut self, user: UserId, after: u64) -> Result<SyncPage, JobError> {
        sync(&mut self.reader, user, after)
    }

    /// The newest messages of Ann and Bob.
    pub fn history(&mut self) -> Result<HistoryPage, JobError> {
        let conversation = ConversationKey::direct(self.ann, self.bob);
        let range = HistoryRange::Newest;
        let job = ReadJob::History { reader: self.ann, conversation, range, limit: 100 };
        match self.reader.read(&job)? {
            ReadResult::History(page) => Ok(page),
            other => panic!("{other:?}"),
        }
    }
}

pub fn sync(reader: &mut MysqlReader, user: UserId, after: u64) -> Result<SyncPage, JobError> {
    match reader.read(&ReadJob::Sync { user, after: Seq(after), limit: 500 })? {
        ReadResult::Sync(page) => Ok(page),
        other => panic!("{other:?}"),
    }
}

/// A new message.
pub fn message(from: UserId, to: UserId, text: &str) -> WriteJob {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..6].copy_from_slice(&unix_ms().to_be_bytes()[2..]);
    id[8..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    WriteJob::Append(Append {
        conversation: ConversationKey::direct(from, to),
        sender: from,
        client_msg_id: ClientMsgId(id),
        kind: pb::MsgType::Text,
        content: Bytes::from(text.to_owned()),
        extra: Bytes::new(),
        refs: Bytes::new(),
        friends_only: false,
    })
}

pub fn request(job: WriteJob) -> WriteRequest {
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::MsgSend;
    let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
    WriteRequest { ticket, fence: 0, job }
}

/// The texts of a page.
pub fn texts(page: &SyncPage) -> Vec<String> {
    let text = |content: &Bytes| String::from_utf8(content.to_vec()).unwrap();
    page.entries.iter().map(|(_, message)| text(&message.content)).collect()
}
