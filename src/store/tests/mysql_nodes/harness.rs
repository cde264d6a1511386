//! Nodes on the shared server, and what tests do with them. Knows no test.

use aldis_logic::job::{
    Append, Appended, BootId, CreateGroup, GroupLimits, HistoryRange, ReactorId, ReadJob,
    ReadResult, StoredMessage, Ticket, WriteJob, WriteRequest, Written,
};
use aldis_services::MariaDb;
use aldis_store::mysql::{
    ClaimOutcome, Claimant, MysqlOptions, MysqlReader, MysqlStore, MysqlWriter, migrate,
};
use aldis_store::{Committed, Reader, SeedUsers, Store, Writer};
use aldis_wire::{
    ClientMsgId, Code, Command, ConnId, ConversationKey, GroupId, RequestId, UserId, pb,
};
use bytes::Bytes;

pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}

pub fn fresh_database() -> String {
    let url = MariaDb::shared().fresh_database();
    migrate::migrate(&url).unwrap();
    url
}

/// A node of its own.
pub fn open(url: &str, node: u16) -> MysqlStore {
    let options = MysqlOptions {
        url: url.to_owned(),
        replicas: Vec::new(),
        node,
        boot: BootId(node.into()),
        allow_unsafe_durability: false,
    };
    let store = MysqlStore::open(options).unwrap();
    let claimant = Claimant::this_process().unwrap();
    assert_eq!(store.claim_node(&claimant, unix_ms()).unwrap(), ClaimOutcome::Claimed);
    store
}

pub fn seed(store: &MysqlStore, count: u32) -> Vec<UserId> {
    store.seed_users(&SeedUsers { prefix: "u".into(), count }, unix_ms()).unwrap()
}

pub fn request(job: WriteJob) -> WriteRequest {
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::MsgSend;
    let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
    WriteRequest { ticket, fence: 0, job }
}

pub fn send(conversation: ConversationKey, sender: UserId, number: u64) -> WriteRequest {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&unix_ms().to_be_bytes()[2..]);
    id[8..].copy_from_slice(&number.to_be_bytes());
    request(WriteJob::Append(Append {
        conversation,
        sender,
        client_msg_id: ClientMsgId(id),
        kind: pb::MsgType::Text,
        content: Bytes::from(format!("message {number}")),
        extra: Bytes::new(),
        refs: Bytes::new(),
        friends_only: false,
    }))
}

pub fn invite(actor: UserId, group: GroupId, user: UserId) -> WriteRequest {
    request(WriteJob::InviteMembers {
        actor,
        group,
        members: vec![user],
        limits: GroupLimits::default(),
    })
}

pub fn leave(user: UserId, group: GroupId) -> WriteRequest {
    request(WriteJob::LeaveGroup { user, group })
}

pub fn create_group(writer: &mut MysqlWriter, users: &[UserId], number: u8) -> GroupId {
    let job = WriteJob::CreateGroup(CreateGroup {
        owner: users[0],
        name: "group".into(),
        members: users[1..].to_vec(),
        open_history: false,
        request_id: RequestId([number; 16]),
        limits: GroupLimits::default(),
    });
    match commit(writer, job) {
        Written::GroupCreated { group, .. } => group,
        other => panic!("{other:?}"),
    }
}

pub fn commit(writer: &mut MysqlWriter, job: WriteJob) -> Written {
    writer.commit(unix_ms(), &[request(job)]).results.pop().unwrap().unwrap()
}

pub fn appended(committed: &Committed) -> Vec<Appended> {
    let appended = |result: &Result<Written, _>| match result {
        Ok(Written::Appended(appended)) => *appended,
        other => panic!("{other:?}"),
    };
    committed.results.iter().map(appended).collect()
}

/// What the reader may see of a conversation.
pub fn history(
    reader: &mut MysqlReader,
    user: UserId,
    conversation: ConversationKey,
) -> Vec<StoredMessage> {
    let mut all: Vec<StoredMessage> = Vec::new();
    loop {
        let range = HistoryRange::After(all.last().map(|entry| entry.conv_seq).unwrap_or_default());
        let job = ReadJob::History { reader: user, conversation, range, limit: 500 };
        match reader.read(&job) {
            Ok(ReadResult::History(page)) => {
                all.extend(page.entries);
                if !page.more {
                    return all;
                }
            }
            Err(why) if why.code() == Code::NotFound => return all,
            other => panic!("{other:?}"),
        }
    }
}
