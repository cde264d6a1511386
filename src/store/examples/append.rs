//! The bare append transaction: what the store alone does in a loop, as a reference for the server.
//! Knows the store's traits; no network, no queue, no reply.
//!
//! With `--mysql` the database is migrated and gets users and groups of its own: take an empty one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aldis_logic::job::{
    Append, BootId, CreateGroup, GroupLimits, ReactorId, Ticket, WriteJob, WriteRequest, Written,
};
use aldis_store::mysql::{ClaimOutcome, Claimant, MysqlOptions, MysqlStore, migrate};
use aldis_store::sqlite::SqliteStore;
use aldis_store::{SeedUsers, Store, Writer};
use aldis_wire::{ClientMsgId, Command, ConnId, ConversationKey, GroupId, RequestId, UserId, pb};
use bytes::Bytes;

const USAGE: &str = "append [--seconds N] [--batch N] [--users N] [--payload BYTES] [--burst N] \
     [--group MEMBERS [--groups N]] [--dir FOLDER | --mysql URL [--writers N] [--server-pid PID]] \
     [--json]";
/// Numbers of the nodes that the writers are, which a running installation hardly uses.
const FIRST_NODE: u16 = 900;

struct Options {
    seconds: u64,
    batch: usize,
    users: u32,
    payload: usize,
    /// Messages that a sender has in a row, as from a connection with so many unanswered ones.
    burst: usize,
    /// 0: 1:1 messages.
    group: usize,
    groups: usize,
    dir: PathBuf,
    /// Instead of SQLite.
    mysql: Option<String>,
    /// Each on a connection and a thread of its own, as different nodes.
    writers: u16,
    /// Of the database, whose CPU time is counted too.
    server_pid: Option<u32>,
    json: bool,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Options {
            seconds: 5,
            batch: 256,
            users: 1_000,
            payload: 100,
            burst: 1,
            group: 0,
            groups: 1,
            dir: std::env::temp_dir(),
            mysql: None,
            writers: 1,
            server_pid: None,
            json: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if arg == "--json" {
                options.json = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{arg} needs a value; {USAGE}"))?;
            let number = || value.parse::<u32>().map_err(|error| format!("{arg}: {error}"));
            match arg.as_str() {
                "--seconds" => options.seconds = number()?.into(),
                "--batch" => options.batch = number()?.max(1) as usize,
                "--users" => options.users = number()?.max(2),
                "--payload" => options.payload = number()? as usize,
                "--burst" => options.burst = number()?.max(1) as usize,
                "--group" => options.group = number()? as usize,
                "--groups" => options.groups = number()?.max(1) as usize,
                "--mysql" => options.mysql = Some(value),
                "--writers" => options.writers = number()?.clamp(1, 100) as u16,
                "--server-pid" => options.server_pid = Some(number()?),
                "--dir" => options.dir = PathBuf::from(&value),
                _ => return Err(format!("unknown option {arg}; {USAGE}")),
            }
        }
        if options.group > options.users as usize {
            return Err("--group is above --users".into());
        }
        Ok(options)
    }
}

/// Where the messages go: (conversation, one who sends there).
type Targets = Vec<(ConversationKey, UserId)>;

fn main() {
    if let Err(error) =
        Options::parse().and_then(|options| run(&options).map_err(|e| e.to_string()))
    {
        eprintln!("append: {error}");
        std::process::exit(2);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(url) = &options.mysql {
        migrate::migrate(url)?;
        let nodes = FIRST_NODE..FIRST_NODE + options.writers;
        let stores = nodes.map(|node| open_mysql(url, node)).collect::<Result<Vec<_>, _>>()?;
        return measure(options, &stores);
    }
    let dir = options.dir.join(format!("aldis-append-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let outcome = SqliteStore::open(&dir.join("store.sqlite"), 0)
        .map_err(Into::into)
        .and_then(|store| measure(options, &[store]));
    std::fs::remove_dir_all(&dir)?;
    outcome
}

fn open_mysql(url: &str, node: u16) -> Result<MysqlStore, Box<dyn std::error::Error>> {
    let store = MysqlStore::open(MysqlOptions {
        url: url.to_owned(),
        replicas: Vec::new(),
        node,
        boot: BootId(unix_ms()),
        allow_unsafe_durability: true,
    })?;
    let claimant = Claimant::this_process()?;
    while let ClaimOutcome::HeldBy { who, remaining_ms } = store.claim_node(&claimant, unix_ms())? {
        eprintln!("node {node} belongs to {who} for {remaining_ms} ms");
        std::thread::sleep(Duration::from_millis(remaining_ms));
    }
    Ok(store)
}

/// What one writer did.
#[derive(Default)]
struct Tally {
    message_count: u64,
    row_count: u64,
    batch_times: Vec<Duration>,
}

fn measure<S: Store>(options: &Options, stores: &[S]) -> Result<(), Box<dyn std::error::Error>> {
    let (first, others) = stores.split_first().ok_or("no store")?;
    let seed = SeedUsers { prefix: "u".into(), count: options.users };
    let users = first.seed_users(&seed, unix_ms())?;
    let mut writers = vec![first.writer()?];
    let targets = match options.group {
        0 => pairs(&users),
        members => groups(&mut writers[0], &users, members, options.groups)?,
    };
    for store in others {
        writers.push(store.writer()?);
    }
    let used = Used::now(options.server_pid)?;
    let started = Instant::now();
    let tallies = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..)
            .zip(writers)
            .map(|(number, writer)| {
                let targets = &targets;
                scope.spawn(move || drive(options, writer, targets, number))
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|tally| tally.unwrap_or_else(|_| Err("a writer panicked".into()))).collect()
    });
    let tallies: Result<Vec<Tally>, String> = tallies;
    let seconds = started.elapsed().as_secs_f64();
    report(options, &tallies?, seconds, &used)
}

fn drive(
    options: &Options,
    mut writer: impl Writer,
    targets: &Targets,
    number: u64,
) -> Result<Tally, String> {
    let content = Bytes::from(vec![b'x'; options.payload]);
    let mut random = number << 32;
    let mut choice = 0;
    let mut tally = Tally::default();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(options.seconds) {
        let now_ms = unix_ms();
        let batch: Vec<_> = (0..options.batch)
            .map(|number| {
                if number % options.burst == 0 {
                    choice = next_random(&mut random) as usize % targets.len();
                }
                let (conversation, sender) = targets[choice];
                let id = client_msg_id(now_ms, next_random(&mut random));
                request(append(conversation, sender, id, content.clone()))
            })
            .collect();
        let begun = Instant::now();
        let committed = writer.commit(now_ms, &batch);
        if let Some(error) = committed.results.iter().find_map(|result| result.as_ref().err()) {
            return Err(format!("a message failed: {error}"));
        }
        let rows: usize = committed.events.iter().map(|event| event.owners.len()).sum();
        tally.message_count += committed.results.len() as u64;
        tally.row_count += rows as u64;
        writer.maintain(now_ms).map_err(|error| error.to_string())?;
        tally.batch_times.push(begun.elapsed());
    }
    Ok(tally)
}

fn report(
    options: &Options,
    tallies: &[Tally],
    seconds: f64,
    before: &Used,
) -> Result<(), Box<dyn std::error::Error>> {
    let used = Used::now(options.server_pid)?;
    let messages = tallies.iter().map(|tally| tally.message_count).sum::<u64>() as f64;
    let rows = tallies.iter().map(|tally| tally.row_count).sum::<u64>() as f64;
    let mut times: Vec<_> = tallies.iter().flat_map(|tally| tally.batch_times.clone()).collect();
    times.sort_unstable();
    let time_ms = |share: f64| {
        let at = (times.len() as f64 * share) as usize;
        times[at.min(times.len() - 1)].as_secs_f64() * 1e3
    };
    let cpu_us = (used.cpu - before.cpu).as_secs_f64() * 1e6;
    let mut figures = vec![
        ("messages_per_s", messages / seconds),
        ("cpu_us_per_message", cpu_us / messages),
        ("rows_per_s", rows / seconds),
        ("cpu_us_per_row", cpu_us / rows),
        ("bytes_written_per_message", (used.bytes - before.bytes) as f64 / messages),
        ("p50_batch_ms", time_ms(0.5)),
        ("p99_batch_ms", time_ms(0.99)),
        ("slowest_batch_ms", time_ms(1.0)),
    ];
    if let (Some(now), Some(before)) = (used.server_cpu, before.server_cpu) {
        let cpu_us = (now - before).as_secs_f64() * 1e6;
        figures.push(("server_cpu_us_per_message", cpu_us / messages));
        figures.push(("server_cpu_us_per_row", cpu_us / rows));
    }
    if options.json {
        let fields: Vec<_> =
            figures.iter().map(|(name, value)| format!("\"{name}\":{value:.3}")).collect();
        println!("{{{}}}", fields.join(","));
    } else {
        for (name, value) in figures {
            println!("{name:<28}{value:>14.2}");
        }
    }
    Ok(())
}

/// The first user with the second, the third with the fourth, and so on; both directions.
fn pairs(users: &[UserId]) -> Targets {
    users
        .chunks_exact(2)
        .flat_map(|pair| {
            let conversation = ConversationKey::direct(pair[0], pair[1]);
            [(conversation, pair[0]), (conversation, pair[1])]
        })
        .collect()
}

/// Groups of neighbours; with several groups, of members spread over all users.
fn groups(
    writer: &mut impl Writer,
    users: &[UserId],
    members: usize,
    groups: usize,
) -> Result<Targets, Box<dyn std::error::Error>> {
    let mut targets = Vec::new();
    for number in 0..groups {
        let start = number * users.len() / groups;
        let mut members: Vec<_> = users.iter().cycle().skip(start).take(members).copied().collect();
        let owner = members.remove(0);
        let mut request_id = [0; 16];
        request_id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let job = WriteJob::CreateGroup(CreateGroup {
            owner,
            name: format!("group {number}"),
            members,
            open_history: false,
            request_id: RequestId(request_id),
            limits: GroupLimits::default(),
        });
        match writer.commit(unix_ms(), &[request(job)]).results.pop() {
            Some(Ok(Written::GroupCreated { group: GroupId(group), .. })) => {
                targets.push((ConversationKey::group(GroupId(group)), owner));
            }
            other => return Err(format!("no group: {other:?}").into()),
        }
    }
    Ok(targets)
}

fn request(job: WriteJob) -> WriteRequest {
    let ticket = Ticket {
        reactor: ReactorId(0),
        conn: ConnId { index: 0, generation: 0 },
        request: 0,
        command: Command::MsgSend,
        bytes: 0,
    };
    WriteRequest { ticket, fence: 0, job }
}

fn append(
    conversation: ConversationKey,
    sender: UserId,
    client_msg_id: ClientMsgId,
    content: Bytes,
) -> WriteJob {
    let kind = pb::MsgType::Text;
    let extra = Bytes::new();
    WriteJob::Append(Append {
        conversation,
        sender,
        client_msg_id,
        kind,
        content,
        extra,
        refs: Bytes::new(),
        friends_only: false,
    })
}

/// As clients make them: UUIDv7.
fn client_msg_id(now_ms: u64, random: u64) -> ClientMsgId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    id[8..].copy_from_slice(&random.to_be_bytes());
    ClientMsgId(id)
}

/// SplitMix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// What was used up to some moment.
struct Used {
    /// By this process.
    cpu: Duration,
    /// By the database.
    server_cpu: Option<Duration>,
    /// Handed to the kernel by this process.
    bytes: u64,
}

impl Used {
    fn now(server_pid: Option<u32>) -> Result<Self, Box<dyn std::error::Error>> {
        let server_cpu = server_pid.map(|pid| cpu_time(&pid.to_string())).transpose()?;
        Ok(Self { cpu: cpu_time("self")?, server_cpu, bytes: bytes_written()? })
    }
}

/// User and system time of a process; ticks are 10 ms on every Linux.
fn cpu_time(pid: &str) -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("/proc/PID/stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(10 * ticks))
}

/// Bytes that this process handed to the kernel.
fn bytes_written() -> Result<u64, Box<dyn std::error::Error>> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).ok_or("/proc/self/io")?;
    Ok(line.parse()?)
}
