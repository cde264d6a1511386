//! The list of a user with very many conversations, without the server: first page, second page, pinned
//! ones. Knows the store's traits; no network, no queue.
//!
//! With `--mysql` the database is migrated and gets users of its own: take an empty one. Without it a
//! SQLite store is made in a folder.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aldis_logic::job::{
    Append, BootId, ConversationsPage, JobError, ReactorId, ReadJob, ReadResult, Ticket,
    ViewChange, ViewJob, WriteJob, WriteRequest,
};
use aldis_store::mysql::{ClaimOutcome, Claimant, MysqlOptions, MysqlStore, migrate};
use aldis_store::sqlite::SqliteStore;
use aldis_store::{Reader, SeedUsers, Store, Writer};
use aldis_wire::{ClientMsgId, Command, ConnId, ConvSeq, ConversationKey, Seq, UserId, pb};
use bytes::Bytes;

const USAGE: &str = "conversations [--conversations N] [--messages N] [--limit N] [--rounds N] \
     [--dir FOLDER | --mysql URL]";
/// Number of the node, which a running installation hardly uses.
const NODE: u16 = 900;
/// Jobs of one transaction while the store is filled.
const FILL_BATCH: usize = 500;
/// Conversations that are pinned.
const PINNED_COUNT: usize = 20;

type Error = Box<dyn std::error::Error>;

struct Options {
    conversations: usize,
    /// Of each conversation; half of them are read.
    messages: u64,
    limit: usize,
    rounds: usize,
    dir: PathBuf,
    /// Instead of SQLite.
    mysql: Option<String>,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Options {
            conversations: 5_000,
            messages: 20,
            limit: 50,
            rounds: 300,
            dir: std::env::temp_dir(),
            mysql: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let value = args.next().ok_or_else(|| format!("{arg} needs a value; {USAGE}"))?;
            let number = || value.parse::<usize>().map_err(|error| format!("{arg}: {error}"));
            match arg.as_str() {
                "--conversations" => options.conversations = number()?.max(1),
                "--messages" => options.messages = number()?.max(2) as u64,
                "--limit" => options.limit = number()?.max(1),
                "--rounds" => options.rounds = number()?.max(1),
                "--dir" => options.dir = value.into(),
                "--mysql" => options.mysql = Some(value),
                _ => return Err(format!("unknown option {arg}; {USAGE}")),
            }
        }
        Ok(options)
    }
}

fn main() {
    let outcome = Options::parse().map_err(Error::from).and_then(|options| start(&options));
    if let Err(error) = outcome {
        eprintln!("conversations: {error}");
        std::process::exit(2);
    }
}

fn start(options: &Options) -> Result<(), Error> {
    let Some(url) = &options.mysql else {
        let path = options.dir.join(format!("aldis-conversations-{}.sqlite", std::process::id()));
        let outcome = run(options, &SqliteStore::open(&path, NODE)?);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        return outcome;
    };
    migrate::migrate(url)?;
    let store = MysqlStore::open(MysqlOptions {
        url: url.clone(),
        replicas: Vec::new(),
        node: NODE,
        boot: BootId(unix_ms()),
        allow_unsafe_durability: true,
    })?;
    if let ClaimOutcome::HeldBy { who, .. } =
        store.claim_node(&Claimant::this_process()?, unix_ms())?
    {
        return Err(format!("node {NODE} belongs to {who}").into());
    }
    run(options, &store)?;
    store.release_node();
    Ok(())
}

fn run<S: Store>(options: &Options, store: &S) -> Result<(), Error> {
    let count = options.conversations as u32 + 1;
    let users = store.seed_users(&SeedUsers { prefix: "lister".into(), count }, unix_ms())?;
    let (me, peers) = users.split_first().ok_or("no users")?;
    let begun = Instant::now();
    fill(options, &mut store.writer()?, *me, peers)?;
    println!("filled in {:.1} s", begun.elapsed().as_secs_f64());
    let mut reader = store.reader()?;
    let first = ReadJob::Conversations { user: *me, before: Seq(0), limit: options.limit };
    let page = list(&mut reader, &first)?;
    let unread: u64 = page.conversations.iter().map(|one| one.unread).sum();
    println!("the first page holds {} conversations, {unread} unread", page.conversations.len());
    let user = *me;
    let second = ReadJob::Conversations { user, before: page.next_before, limit: options.limit };
    let jobs =
        [("first page", first), ("second page", second), ("pinned", ReadJob::Pinned { user })];
    for (name, job) in jobs {
        let mut times = Vec::with_capacity(options.rounds);
        for _ in 0..options.rounds {
            let begun = Instant::now();
            list(&mut reader, &job)?;
            times.push(begun.elapsed());
        }
        print_times(name, times);
    }
    Ok(())
}

fn print_times(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{name}: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.9), at(0.99));
}

fn list(reader: &mut impl Reader, job: &ReadJob) -> Result<ConversationsPage, JobError> {
    match reader.read(job)? {
        ReadResult::Conversations(page) => Ok(page),
        _ => Err(JobError::Internal),
    }
}

/// Conversations in turns, so that their messages lie apart; each is read up to its middle.
fn fill(
    options: &Options,
    writer: &mut impl Writer,
    me: UserId,
    peers: &[UserId],
) -> Result<(), Error> {
    let mut jobs = Vec::new();
    for number in 0..options.messages {
        for (at, &peer) in peers.iter().enumerate() {
            let sender = if number == 1 { me } else { peer };
            jobs.push(message(me, peer, sender, number * peers.len() as u64 + at as u64));
        }
    }
    for (at, &peer) in peers.iter().enumerate() {
        let conversation = ConversationKey::direct(me, peer);
        let read = ViewChange::Read(ConvSeq(options.messages / 2));
        let pin = ViewChange::Update { pinned: Some(true), muted: None, cleared: None };
        let changes = [Some(read), (at < PINNED_COUNT).then_some(pin)];
        jobs.extend(
            changes
                .into_iter()
                .flatten()
                .map(|change| WriteJob::View(ViewJob { user: me, conversation, change })),
        );
    }
    // The last word in each conversation is a message, not what was told of it.
    for (at, &peer) in peers.iter().enumerate() {
        jobs.push(message(me, peer, peer, options.messages * peers.len() as u64 + at as u64));
    }
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::MsgSend;
    let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
    for jobs in jobs.chunks(FILL_BATCH) {
        let request = |job: &WriteJob| WriteRequest { ticket, fence: 0, job: job.clone() };
        let batch: Vec<WriteRequest> = jobs.iter().map(request).collect();
        for result in writer.commit(unix_ms(), &batch).results {
            result?;
        }
        writer.maintain(unix_ms())?;
    }
    Ok(())
}

fn message(me: UserId, peer: UserId, sender: UserId, number: u64) -> WriteJob {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&unix_ms().to_be_bytes()[2..]);
    id[8..].copy_from_slice(&number.to_be_bytes());
    WriteJob::Append(Append {
        conversation: ConversationKey::direct(me, peer),
        sender,
        client_msg_id: ClientMsgId(id),
        kind: pb::MsgType::Text,
        content: Bytes::from_static(&[b'x'; 100]),
        extra: Bytes::new(),
        refs: Bytes::new(),
        friends_only: false,
    })
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
