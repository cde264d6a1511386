//! Reading without the server: pages of a long mailbox, and single fresh entries, which have to be
//! on the database's disk before they are shown. Knows the store's traits; no network, no queue.
//!
//! The database is migrated and gets users of its own: take an empty one.

use std::time::{Duration, Instant};

use aldis_logic::job::{
    Append, BootId, JobError, ReactorId, ReadJob, ReadResult, SyncPage, Ticket, WriteJob,
    WriteRequest,
};
use aldis_store::mysql::{ClaimOutcome, Claimant, MysqlOptions, MysqlReader, MysqlStore, migrate};
use aldis_store::{Reader, SeedUsers, Store, Writer};
use aldis_wire::{ClientMsgId, Command, ConnId, ConversationKey, Seq, UserId, pb};
use bytes::Bytes;

const USAGE: &str = "sync --mysql URL [--replica URL] [--entries N] [--page N] [--payload BYTES] \
     [--seconds N] [--readers N] [--server-pid PID]";
/// Numbers of the nodes that write and read, which a running installation hardly uses.
const WRITING_NODE: u16 = 900;
const READING_NODE: u16 = 901;
/// Messages of one transaction while the mailbox is filled.
const FILL_BATCH: usize = 500;
/// Users whose messages fill the mailbox in turns.
const SENDER_COUNT: u32 = 50;
/// CPU time in /proc is counted in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

type Error = Box<dyn std::error::Error>;

struct Options {
    mysql: String,
    replica: Option<String>,
    entries: u64,
    page: usize,
    payload: usize,
    seconds: u64,
    readers: usize,
    server_pid: Option<u32>,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Options {
            mysql: String::new(),
            replica: None,
            entries: 100_000,
            page: 500,
            payload: 100,
            seconds: 5,
            readers: 1,
            server_pid: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let value = args.next().ok_or_else(|| format!("{arg} needs a value; {USAGE}"))?;
            let number = || value.parse::<u32>().map_err(|error| format!("{arg}: {error}"));
            match arg.as_str() {
                "--mysql" => options.mysql = value,
                "--replica" => options.replica = Some(value),
                "--entries" => options.entries = number()?.max(1).into(),
                "--page" => options.page = number()?.max(1) as usize,
                "--payload" => options.payload = number()? as usize,
                "--seconds" => options.seconds = number()?.into(),
                "--readers" => options.readers = number()?.max(1) as usize,
                "--server-pid" => options.server_pid = Some(number()?),
                _ => return Err(format!("unknown option {arg}; {USAGE}")),
            }
        }
        if options.mysql.is_empty() { Err(USAGE.to_owned()) } else { Ok(options) }
    }
}

fn main() {
    let outcome = Options::parse().map_err(Error::from).and_then(|options| run(&options));
    if let Err(error) = outcome {
        eprintln!("sync: {error}");
        std::process::exit(2);
    }
}

fn run(options: &Options) -> Result<(), Error> {
    migrate::migrate(&options.mysql)?;
    let store = open(options, WRITING_NODE)?;
    let claimant = Claimant::this_process()?;
    if let ClaimOutcome::HeldBy { who, .. } = store.claim_node(&claimant, unix_ms())? {
        return Err(format!("node {WRITING_NODE} belongs to {who}").into());
    }
    let seed = SeedUsers { prefix: "reader".into(), count: SENDER_COUNT + 1 };
    let users = store.seed_users(&seed, unix_ms())?;
    let (owner, senders) = users.split_first().ok_or("no users")?;
    fill(options, &store, *owner, senders)?;
    // Readers of another process, which do not know what this one has committed.
    let reading = open(options, READING_NODE)?;
    long_mailbox(options, &reading, *owner)?;
    for (name, reader) in [("known", store.reader()?), ("unknown", reading.reader()?)] {
        fresh_entries(options, name, &store, reader, *owner, senders)?;
    }
    store.release_node();
    Ok(())
}

/// Pages from the beginning to the end, again and again.
fn long_mailbox(options: &Options, store: &MysqlStore, owner: UserId) -> Result<(), Error> {
    let mut readers = Vec::new();
    for _ in 0..options.readers {
        readers.push(store.reader()?);
    }
    let (begun, cpu) = (Instant::now(), Cpu::now(options));
    let counts: Vec<Result<(u64, u64), JobError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = readers
            .iter_mut()
            .map(|reader| scope.spawn(move || read_pages(options, reader, owner)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no reader panics")).collect()
    });
    let (mut pages, mut rows) = (0, 0);
    for count in counts {
        let (page_count, row_count) = count?;
        pages += page_count;
        rows += row_count;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = Cpu::now(options).since(cpu);
    println!(
        "pages of {}: {:.0} rows/s, {:.0} pages/s; CPU per row: database {:.2} us, reader {:.2} us",
        options.page,
        rows as f64 / seconds,
        pages as f64 / seconds,
        cpu.server_seconds * 1e6 / rows as f64,
        cpu.own_seconds * 1e6 / rows as f64,
    );
    Ok(())
}

fn read_pages(
    options: &Options,
    reader: &mut MysqlReader,
    owner: UserId,
) -> Result<(u64, u64), JobError> {
    let (mut pages, mut rows, mut after) = (0, 0, 0);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < end {
        let page = sync(reader, owner, after, options.page)?;
        pages += 1;
        rows += page.entries.len() as u64;
        after = page.entries.last().map_or(0, |(seq, _)| seq.0);
        if after == page.head.0 {
            after = 0;
        }
    }
    Ok((pages, rows))
}

/// One message, then a sync of it, again and again; only the sync is timed.
fn fresh_entries(
    options: &Options,
    name: &str,
    store: &MysqlStore,
    mut reader: MysqlReader,
    owner: UserId,
    senders: &[UserId],
) -> Result<(), Error> {
    let mut writer = store.writer()?;
    let mut times = Vec::new();
    let mut server_seconds = 0.0;
    let begun = Instant::now();
    let mut head = sync(&mut reader, owner, u64::MAX, 1)?.head.0;
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        let sender = senders[times.len() % senders.len()];
        let request = message(owner, sender, head, options.payload);
        writer.commit(unix_ms(), &[request]).results.remove(0)?;
        writer.maintain(unix_ms())?;
        let (begun, cpu) = (Instant::now(), Cpu::now(options));
        let page = sync(&mut reader, owner, head, options.page)?;
        times.push(begun.elapsed());
        server_seconds += Cpu::now(options).since(cpu).server_seconds;
        if page.entries.len() != 1 {
            return Err("the message is not there".into());
        }
        head = page.head.0;
    }
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    println!(
        "one fresh entry, {name} to be on disk: p50 {:.0} us, p99 {:.0} us, database {:.0} us",
        at(0.5),
        at(0.99),
        server_seconds * 1e6 / times.len() as f64,
    );
    Ok(())
}

fn sync(
    reader: &mut MysqlReader,
    user: UserId,
    after: u64,
    limit: usize,
) -> Result<SyncPage, JobError> {
    match reader.read(&ReadJob::Sync { user, after: Seq(after), limit })? {
        ReadResult::Sync(page) => Ok(page),
        _ => Err(JobError::Internal),
    }
}

fn fill(
    options: &Options,
    store: &MysqlStore,
    owner: UserId,
    senders: &[UserId],
) -> Result<(), Error> {
    let mut writer = store.writer()?;
    let numbers: Vec<u64> = (0..options.entries).collect();
    for numbers in numbers.chunks(FILL_BATCH) {
        let sender = |number: u64| senders[number as usize % senders.len()];
        let batch: Vec<WriteRequest> = numbers
            .iter()
            .map(|&number| message(owner, sender(number), number, options.payload))
            .collect();
        for result in writer.commit(unix_ms(), &batch).results {
            result?;
        }
        writer.maintain(unix_ms())?;
    }
    Ok(())
}

fn message(owner: UserId, sender: UserId, number: u64, payload: usize) -> WriteRequest {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&unix_ms().to_be_bytes()[2..]);
    id[8..].copy_from_slice(&number.to_be_bytes());
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::MsgSend;
    let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
    let job = WriteJob::Append(Append {
        conversation: ConversationKey::direct(sender, owner),
        sender,
        client_msg_id: ClientMsgId(id),
        kind: pb::MsgType::Text,
        content: Bytes::from(vec![b'x'; payload]),
        extra: Bytes::new(),
        refs: Bytes::new(),
        friends_only: false,
    });
    WriteRequest { ticket, fence: 0, job }
}

fn open(options: &Options, node: u16) -> Result<MysqlStore, Error> {
    Ok(MysqlStore::open(MysqlOptions {
        url: options.mysql.clone(),
        replicas: options.replica.iter().cloned().collect(),
        node,
        boot: BootId(unix_ms()),
        allow_unsafe_durability: true,
    })?)
}

/// CPU time that was used.
#[derive(Clone, Copy)]
struct Cpu {
    server_seconds: f64,
    own_seconds: f64,
}

impl Cpu {
    fn now(options: &Options) -> Self {
        Self {
            server_seconds: options.server_pid.map_or(0.0, seconds_of),
            own_seconds: seconds_of(std::process::id()),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            server_seconds: self.server_seconds - before.server_seconds,
            own_seconds: self.own_seconds - before.own_seconds,
        }
    }
}

/// User and system time, the fields 14 and 15 of /proc/PID/stat.
fn seconds_of(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS_PER_SECOND
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
