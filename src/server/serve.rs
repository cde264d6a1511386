//! `aldisd serve`: start everything, say so, wait for a signal, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aldis_logic::job::{BootId, GroupLimits, NodeId};
use aldis_logic::{
    DirectMessages, HeadCheckTimes, Keyring, MessageTimes, Node, NodeConfig, SigningKey,
};
use aldis_net::Listeners;
use aldis_store::{Boot, Store};
use anyhow::Context;

use crate::config::{Config, DirectoryKind, Senders, StoreKind};
use crate::data_dir;
use crate::directories::AnyDirectory;
use crate::edge::EdgeListeners;
use crate::link::{LinkSetup, link_use};
use crate::mail::{Mail, PostOffice};
use crate::memory::MemoryBudget;
use crate::signals::Ending;
use crate::stores::{self, AnyStore};
use crate::threads::{self, Counts, Outside, Running};
use crate::tls::TlsFiles;

/// A connection that was silent for so many heartbeat intervals, in halves, is dead.
const IDLE_HALF_INTERVALS: u32 = 5;
/// Where other nodes write to the same store: how late a session learns of what they did while
/// nothing else told it, and when it is certain to have seen what happened during its login.
const HEAD_CHECKS: HeadCheckTimes = HeadCheckTimes { interval_ms: 15_000, after_login_ms: 1_500 };
/// How often a drain looks whether everybody has left.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> anyhow::Result<()> {
    abort_on_panic();
    #[cfg(feature = "planted-bugs")]
    crate::planted::plant_wanted();
    let ending = Ending::register().context("cannot handle signals")?;
    let lock = data_dir::lock(&config.data_dir)?;
    stores::migrate_on_start(config)?;
    let life = boot_id()?;
    match AnyStore::open(config, life)? {
        AnyStore::Sqlite(store) => serve(config, life, &store, None, ending)?,
        AnyStore::Mysql(store) => {
            stores::claim_node(&store)?;
            serve(config, life, &store, Some(HEAD_CHECKS), ending)?;
            store.release_node();
        }
    }
    drop(lock);
    log::info!("ended");
    Ok(())
}

fn serve(
    config: &Config,
    life: BootId,
    store: &impl Store,
    head_checks: Option<HeadCheckTimes>,
    ending: Ending,
) -> anyhow::Result<()> {
    let boot = store.boot().context("cannot read the store")?;
    let counts = counts(config);
    let address = *config.listen.client.get_ref();
    let listeners = aldis_net::listen(address, counts.reactors)
        .with_context(|| format!("cannot listen on {address}"))?;
    let actual = listeners.address;
    let node_config = NodeConfig {
        node: NodeId(*config.node.id.get_ref()),
        boot: life,
        store_epoch: boot.store_epoch,
        heartbeat_interval_ms: config.session.heartbeat_s.get_ref() * 1000,
        token_ttl_ms: token_ttl_ms(config),
        head_checks,
        link: link_use(config),
        direct_messages: match config.policy.direct_messages {
            Senders::Anyone => DirectMessages::Anyone,
            Senders::Friends => DirectMessages::Friends,
        },
        message_times: MessageTimes {
            recall_ms: u64::from(*config.policy.recall_s.get_ref()) * 1_000,
            edit_ms: u64::from(*config.policy.edit_s.get_ref()) * 1_000,
        },
        rates: config.rates.rates(&config.connection),
        group_limits: GroupLimits {
            fanout_max: *config.policy.fanout_max.get_ref() as usize,
            members_max: *config.policy.group_members_max.get_ref() as usize,
            per_user_max: *config.policy.groups_per_user_max.get_ref() as usize,
        },
        attempts: config.attempts.rules(),
        shares_attempts: *config.directory.kind.get_ref() == DirectoryKind::Redis,
    };
    let node = Arc::new(Node::new(node_config, keyring(&boot)?));
    let link = LinkSetup::open(config, life)?;
    let advertised = link.as_ref().map(LinkSetup::advertised);
    let directory = AnyDirectory::open(config, life, boot.store_epoch, actual, advertised)?;
    let files = config.listen.tls.as_ref().map(TlsFiles::open).transpose()?;
    let tls = files.as_ref().map(|files| files.tls.clone());
    let edge = EdgeListeners::bind(config, actual)?;
    let memory = MemoryBudget::of(&config.memory);
    let outside = Outside { directory, link, edge, tls, memory };
    let running = start(config, counts, listeners, node.clone(), store, outside)?;
    banner(config, actual);
    let mut ending = ending;
    ending.wait(|| match &files {
        Some(files) => files.reload(),
        None => log::info!("there is nothing to read again"),
    });
    drain(config, &running, &node, ending);
    running.join()
}

/// Random: no two lives of a node have the same.
fn boot_id() -> anyhow::Result<BootId> {
    Ok(BootId(getrandom::u64().context("no random numbers")?))
}

/// The keyring of a store: the newest active key signs, all verify.
pub fn keyring(boot: &Boot) -> anyhow::Result<Keyring> {
    let mut keys: Vec<_> = boot.signing_keys.iter().collect();
    keys.sort_by_key(|key| (key.active, key.created_ms));
    let keys: Vec<SigningKey> = keys
        .into_iter()
        .map(|key| SigningKey { kid: key.kid.clone(), secret: key.secret.clone() })
        .collect();
    Keyring::new(&keys).context("the store's signing keys")
}

/// How long tokens hold.
pub fn token_ttl_ms(config: &Config) -> u64 {
    u64::from(*config.session.token_hours.get_ref()) * 3_600_000
}

fn start(
    config: &Config,
    counts: Counts,
    listeners: Listeners,
    node: Arc<Node>,
    store: &impl Store,
    outside: Outside,
) -> anyhow::Result<Running> {
    let heartbeat = Duration::from_secs((*config.session.heartbeat_s.get_ref()).into());
    let connections_max = *config.connection.max.get_ref() as usize;
    let handshakes_max = *config.connection.handshakes_max.get_ref() as usize;
    let net = aldis_net::Config {
        output_soft_bytes: *config.connection.output_soft_kib.get_ref() as usize * 1024,
        output_hard_bytes: *config.connection.output_hard_kib.get_ref() as usize * 1024,
        connections_max: connections_max.div_ceil(counts.reactors),
        handshakes_max: handshakes_max.div_ceil(counts.reactors),
        strangers_percent: *config.connection.before_login_percent.get_ref() as u8,
        frames_per_second: *config.connection.frames_per_second.get_ref(),
        stranger_frames_per_second: *config.connection.frames_per_second_before_login.get_ref(),
        login_deadline: Duration::from_secs((*config.connection.login_s.get_ref()).into()),
        frame_deadline: Duration::from_secs((*config.connection.frame_s.get_ref()).into()),
        write_stall_deadline: Duration::from_secs((*config.connection.stall_s.get_ref()).into()),
        idle_deadline: heartbeat * IDLE_HALF_INTERVALS / 2,
        ..aldis_net::Config::default()
    };
    threads::start(counts, &net, listeners, node, store, outside)
}

fn counts(config: &Config) -> Counts {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let or_cores = |count: u16| if count == 0 { cores } else { usize::from(count) };
    Counts {
        reactors: or_cores(*config.threads.reactors.get_ref()),
        readers: or_cores(*config.threads.readers.get_ref()),
        hashers: or_cores(*config.threads.hashers.get_ref()),
    }
}

/// A thread that is gone would leave clients without answers: better the whole process, which its
/// supervisor restarts and whose store is safe at any moment.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::abort();
    }));
}

fn banner(config: &Config, address: SocketAddr) {
    println!("Aldis {} is listening on {address}.", env!("CARGO_PKG_VERSION"));
    match config.store.kind.get_ref() {
        StoreKind::Sqlite => println!("Data: {}", config.data_dir.display()),
        StoreKind::Mysql => println!("Data: {}", config.store.url.get_ref()),
    }
    println!();
    println!("Try it, in two other terminals:");
    let server = if address.port() == 7700 && address.ip().is_loopback() {
        String::new()
    } else {
        format!(" --server {address}")
    };
    for (me, you) in [("ada", "ben"), ("ben", "ada")] {
        println!("  cargo run --release -p aldis -- register{server} --user {me}");
        println!("  cargo run --release -p aldis -- chat{server} --user {me} {you}");
    }
    println!();
    println!("Ctrl-C ends the server; what was acknowledged is safe.");
}

fn drain(config: &Config, running: &Running, node: &Node, mut ending: Ending) {
    let seconds = *config.drain.seconds.get_ref();
    log::info!("draining for at most {seconds} s");
    // A second signal does not wait.
    let name = "signals".to_owned();
    let impatient = std::thread::Builder::new().name(name).spawn(move || {
        ending.wait(|| ());
        std::process::exit(1);
    });
    if let Err(error) = impatient {
        log::warn!("a second signal will not shorten the drain: {error}");
    }
    running.is_draining.store(true, Ordering::Relaxed);
    let office: &PostOffice = &running.office;
    office.broadcast(|| Mail::Drain(seconds * 1000));
    let deadline = Instant::now() + Duration::from_secs(seconds.into());
    while Instant::now() < deadline && node.table.session_count() > 0 {
        std::thread::sleep(DRAIN_POLL);
    }
    office.broadcast(|| Mail::Stop);
}
