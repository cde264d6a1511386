//! Search without the server: what the index costs and saves in a long mailbox or the stream of a
//! large group, beside a table with a row for each word. Knows the store's traits; no network, no queue.
//!
//! A database is migrated and gets users of its own: take an empty one.

use std::path::PathBuf;
use std::time::Instant;

use aldis_logic::job::{
    Append, BootId, CreateGroup, GroupLimits, JobError, ReactorId, ReadJob, ReadResult,
    SearchMessages, SearchPage, Ticket, WriteJob, WriteRequest, Written,
};
use aldis_logic::search::{SearchQuery, Units};
use aldis_store::mysql::{ClaimOutcome, Claimant, MysqlOptions, MysqlStore, migrate};
use aldis_store::sqlite::SqliteStore;
use aldis_store::{Reader, SeedUsers, Store, Writer};
use aldis_wire::{ClientMsgId, Command, ConnId, ConversationKey, GroupId, RequestId, UserId, pb};
use bytes::Bytes;

const USAGE: &str = "search (--sqlite FILE | --mysql URL) [--entries N] [--in mailbox|stream]";
/// Number of the node, which a running installation hardly uses.
const NODE: u16 = 902;
/// Messages of one transaction while the mailbox is filled.
const FILL_BATCH: usize = 500;
/// Users whose messages fill the mailbox in turns.
const SENDER_COUNT: u32 = 50;
/// How old the messages are taken to be: nobody can edit them any more.
const AGE_MS: u64 = 30 * 86_400_000;
/// Words of which half of a text is made; the first ones are frequent.
const WORD_COUNT: u64 = 20_000;
/// Characters of which the other half is made.
const HAN_COUNT: u64 = 3_000;
/// Requests of one search; one that has hits everywhere is not followed to its end.
const REQUESTS_MAX: u64 = 2_000;
/// In one message of so many stands a word that stands nowhere else.
const RARE_EVERY: u64 = 50_000;

type Error = Box<dyn std::error::Error>;

fn main() {
    if let Err(error) = run() {
        eprintln!("search: {error}");
        std::process::exit(2);
    }
}

fn run() -> Result<(), Error> {
    let (mut sqlite, mut mysql, mut entries) = (None, None, 200_000);
    let mut is_stream = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match arg.as_str() {
            "--sqlite" => sqlite = Some(PathBuf::from(value)),
            "--mysql" => mysql = Some(value),
            "--entries" => entries = value.parse()?,
            "--in" => is_stream = value == "stream",
            _ => return Err(USAGE.into()),
        }
    }
    match (sqlite, mysql) {
        (Some(path), None) => measure(&SqliteStore::open(&path, NODE)?, entries, is_stream),
        (None, Some(url)) => {
            migrate::migrate(&url)?;
            let store = MysqlStore::open(MysqlOptions {
                url,
                replicas: Vec::new(),
                node: NODE,
                boot: BootId(unix_ms()),
                allow_unsafe_durability: true,
            })?;
            let claimant = Claimant::this_process()?;
            if let ClaimOutcome::HeldBy { who, .. } = store.claim_node(&claimant, unix_ms())? {
                return Err(format!("node {NODE} belongs to {who}").into());
            }
            measure(&store, entries, is_stream)?;
            store.release_node();
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn measure(store: &impl Store, entries: u64, is_stream: bool) -> Result<(), Error> {
    let seed = SeedUsers { prefix: "searcher".into(), count: SENDER_COUNT + 1 };
    let users = store.seed_users(&seed, unix_ms())?;
    let (&owner, senders) = users.split_first().ok_or("no users")?;
    let mut writer = store.writer()?;
    let begun = Instant::now();
    let group = if is_stream { Some(large_group(&mut writer, &users)?) } else { None };
    fill(&mut writer, owner, group, senders, entries)?;
    per_entry("filling", begun, entries);
    let begun = Instant::now();
    let units = (0..entries).map(|n| Units::of(&text(n)).iter().len()).sum::<usize>();
    per_entry("taking texts apart", begun, entries);
    println!("units of a text: {:.1}", units as f64 / entries as f64);
    let mut reader = store.reader()?;
    let before = walk(&mut reader, &mut writer, owner, "nowhere", false)?;
    before.print("reading all texts, no index", entries);
    let indexed = walk(&mut reader, &mut writer, owner, "nowhere", true)?;
    indexed.print("the first search, which makes the index", entries);
    println!(
        "index: {:.1} bytes per entry; storing it {:.2} us per entry",
        indexed.block_bytes as f64 / entries as f64,
        indexed.store_us / entries as f64,
    );
    for query in ["nowhere", "rare3", "rar", "w7", "w7 w11", "甲", "一丁七", "丁 w19999", "x"]
    {
        let pages = walk(&mut reader, &mut writer, owner, query, false)?;
        pages.print(&format!("all hits of {query:?}"), entries);
        let begun = Instant::now();
        let page = search(&mut reader, owner, query, 0)?;
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        println!("    first page: {} hits, {ms:.2} ms", page.entries.len());
    }
    Ok(())
}

/// A search to its end, or its first part.
#[derive(Default)]
struct Pages {
    requests: u64,
    hits: u64,
    ms: f64,
    ms_max: f64,
    block_bytes: u64,
    store_us: f64,
}

impl Pages {
    fn print(&self, what: &str, entries: u64) {
        println!(
            "{what}: {} hits, {} requests, {:.1} ms in all ({:.3} us per entry), slowest {:.1} ms",
            self.hits,
            self.requests,
            self.ms,
            self.ms * 1e3 / entries as f64,
            self.ms_max,
        );
    }
}

fn walk(
    reader: &mut impl Reader,
    writer: &mut impl Writer,
    owner: UserId,
    query: &str,
    stores: bool,
) -> Result<Pages, Error> {
    let mut pages = Pages::default();
    let mut cursor = 0;
    loop {
        let begun = Instant::now();
        let page = search(reader, owner, query, cursor)?;
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        pages.requests += 1;
        pages.hits += page.entries.len() as u64;
        pages.ms += ms;
        pages.ms_max = pages.ms_max.max(ms);
        if stores && !page.blocks.is_empty() {
            pages.block_bytes += page.blocks.iter().map(|b| b.data.len() as u64).sum::<u64>();
            let begun = Instant::now();
            commit(writer, vec![WriteJob::StoreIndex { user: owner, blocks: page.blocks }])?;
            pages.store_us += begun.elapsed().as_secs_f64() * 1e6;
        }
        // As the server's writers do: a connection that says nothing is closed.
        writer.maintain(unix_ms())?;
        if page.cursor == 0 || pages.requests == REQUESTS_MAX {
            return Ok(pages);
        }
        cursor = page.cursor;
    }
}

fn search(
    reader: &mut impl Reader,
    user: UserId,
    query: &str,
    cursor: u64,
) -> Result<SearchPage, Error> {
    let query = SearchQuery::parse(query).ok_or("no query")?;
    let now_ms = unix_ms() + AGE_MS;
    let job = SearchMessages { user, query, conversation: None, cursor, limit: 20, now_ms };
    match reader.read(&ReadJob::SearchMessages(job))? {
        ReadResult::SearchedMessages(page) => Ok(page),
        _ => Err(JobError::Internal.into()),
    }
}

/// A group of all of them that is a stream.
fn large_group(writer: &mut impl Writer, users: &[UserId]) -> Result<GroupId, Error> {
    let create = CreateGroup {
        owner: users[0],
        name: "large".into(),
        members: users[1..].to_vec(),
        open_history: false,
        request_id: RequestId([7; 16]),
        limits: GroupLimits { fanout_max: 1, ..GroupLimits::default() },
    };
    match commit(writer, vec![WriteJob::CreateGroup(create)])?.pop() {
        Some(Written::GroupCreated { group, .. }) => Ok(group),
        _ => Err("no group".into()),
    }
}

fn fill(
    writer: &mut impl Writer,
    owner: UserId,
    group: Option<GroupId>,
    senders: &[UserId],
    entries: u64,
) -> Result<(), Error> {
    let numbers: Vec<u64> = (0..entries).collect();
    for numbers in numbers.chunks(FILL_BATCH) {
        let message = |&number: &u64| {
            let sender = senders[number as usize % senders.len()];
            let mut id = [0; 16];
            id[..6].copy_from_slice(&unix_ms().to_be_bytes()[2..]);
            id[8..].copy_from_slice(&number.to_be_bytes());
            WriteJob::Append(Append {
                conversation: group
                    .map_or_else(|| ConversationKey::direct(sender, owner), ConversationKey::group),
                sender,
                client_msg_id: ClientMsgId(id),
                kind: pb::MsgType::Text,
                content: Bytes::from(text(number)),
                extra: Bytes::new(),
                refs: Bytes::new(),
                friends_only: false,
            })
        };
        commit(writer, numbers.iter().map(message).collect())?;
    }
    Ok(())
}

/// About 100 bytes: eight words and sixteen Han characters, frequent ones and rare ones.
fn text(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    // Squared twice, so that small numbers are frequent.
    let mut pick = |count: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let part = (state >> 11) as f64 / (1u64 << 53) as f64;
        (part.powi(4) * count as f64) as u64
    };
    let mut text = String::new();
    for _ in 0..8 {
        text.push_str(&format!("w{} ", pick(WORD_COUNT)));
    }
    for _ in 0..16 {
        text.extend(char::from_u32(0x4E00 + pick(HAN_COUNT) as u32));
    }
    if number % RARE_EVERY == RARE_EVERY / 2 {
        text.push_str(&format!(" rare{}", number / RARE_EVERY));
    }
    text
}

fn commit(writer: &mut impl Writer, jobs: Vec<WriteJob>) -> Result<Vec<Written>, Error> {
    let conn = ConnId { index: 0, generation: 0 };
    let command = Command::MsgSend;
    let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
    let batch: Vec<_> =
        jobs.into_iter().map(|job| WriteRequest { ticket, fence: 0, job }).collect();
    let results = writer.commit(unix_ms(), &batch).results.into_iter();
    let written = results.collect::<Result<Vec<_>, _>>()?;
    writer.maintain(unix_ms())?;
    Ok(written)
}

fn per_entry(what: &str, begun: Instant, entries: u64) {
    println!("{what}: {:.2} us per entry", begun.elapsed().as_secs_f64() * 1e6 / entries as f64);
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
