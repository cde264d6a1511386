//! All threads of the server start here and nowhere else, but the two for HTTP (in `edge`), the one
//! that waits for a second signal (in `serve`) and those that connect to a database which is away (in
//! the store's `link`). Each has a name; what connects them is bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use aldis_directory::{Conflict, Directory, DirectoryJobs, DirectoryOutput, run_directory};
use aldis_logic::cluster::KickOrder;
use aldis_logic::job::{
    AttemptRequest, DirectoryRequest, Event, HashRequest, ReactorId, ReadRequest, WriteReply,
    WriteRequest,
};
use aldis_logic::{CreditLimits, Delivery, Node, Service, fan_out};
use aldis_net::{Listeners, Reactor, Tls};
use aldis_store::{Store, Writer, run_reader, run_writer};
use anyhow::{Context, anyhow};
use crossbeam::channel::{Receiver, Sender, bounded};

use crate::clock::Clock;
use crate::directories::AnyDirectory;
use crate::edge::{self, EdgeListeners, EdgeThreads};
use crate::hash_pool;
use crate::hasher::Hasher;
use crate::http::WatchedDirectory;
use crate::link::{LinkPost, LinkSetup};
use crate::mail::{Mail, PostOffice};
use crate::memory::{self, MemoryBudget};
use crate::metrics::{LinkCounts, Metrics, Sources, TimedWriter};
use crate::reactor_handler::{ClientHandler, Workers};
use crate::urgency;

/// Directory jobs that may wait: some of a reconnect storm; the directory of one machine takes
/// millions per second.
const DIRECTORY_QUEUE_LEN: usize = 16_384;

/// Attempts at passwords that may wait for the directory: more than one hasher checks in a minute.
/// Those that find no room are counted by this node alone.
const ATTEMPT_QUEUE_LEN: usize = 4_096;

/// Questions of the link that may wait for the directory: it has two under way at most.
const LOOKUP_QUEUE_LEN: usize = 2;

/// Exit code of a server that was replaced by another process or lost its store: a supervisor may
/// start it again, unlike after a wrong configuration.
const FENCED_EXIT_CODE: i32 = 75;

/// How many threads of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// `client-0..n`
    pub reactors: usize,
    /// `read-0..n`
    pub readers: usize,
    /// `hash-0..n`
    pub hashers: usize,
}

/// The running threads.
pub struct Running {
    /// The way to the reactors.
    pub office: PostOffice,
    /// Set when no new clients should be sent here.
    pub is_draining: Arc<AtomicBool>,
    reactors: Vec<JoinHandle<io::Result<()>>>,
    edges: EdgeThreads,
    workers: Vec<JoinHandle<()>>,
    memory: Option<(Sender<()>, JoinHandle<()>)>,
    link: Option<(LinkPost, JoinHandle<()>)>,
}

/// What connects this node to others, and to whoever has no connection to it.
pub struct Outside {
    /// Who is online where.
    pub directory: AnyDirectory,
    /// The link; `None`: it is no node of a cluster.
    pub link: Option<LinkSetup>,
    /// The listeners for HTTP.
    pub edge: EdgeListeners,
    /// What clients' connections are encrypted with.
    pub tls: Option<Arc<Tls>>,
    /// How much memory there is; `None`: nobody looks.
    pub memory: Option<MemoryBudget>,
}

impl Running {
    /// Waits for the reactors to stop and for the workers to finish what is queued.
    pub fn join(self) -> anyhow::Result<()> {
        for reactor in self.reactors {
            let result = reactor.join().map_err(|_| anyhow!("a reactor panicked"))?;
            result.context("a reactor failed")?;
        }
        self.edges.stop()?;
        if let Some((stop, memory)) = self.memory {
            drop(stop);
            memory.join().map_err(|_| anyhow!("the watcher of memory panicked"))?;
        }
        // These held the ways to the workers; with them gone the queues end.
        for worker in self.workers {
            worker.join().map_err(|_| anyhow!("a worker panicked"))?;
        }
        // Nothing is committed any more: what there is to tell the other nodes was told.
        if let Some((post, link)) = self.link {
            post.stop();
            link.join().map_err(|_| anyhow!("the link panicked"))?;
        }
        Ok(())
    }
}

/// Starts everything.
pub fn start(
    counts: Counts,
    net: &aldis_net::Config,
    listeners: Listeners,
    node: Arc<Node>,
    store: &impl Store,
    outside: Outside,
) -> anyhow::Result<Running> {
    let limits = CreditLimits::default();
    let metrics = Arc::new(Metrics::new(counts.reactors).context("metrics")?);
    let Outside { directory, link, edge, tls, memory } = outside;
    let gateways = edge.gateways.clone();
    let (office, ends) = PostOffice::new(counts.reactors, limits);
    let (edge, office) = edge.open_mailboxes(office);
    let per_reactor = |len: usize| len * counts.reactors;
    let write_len = per_reactor(limits.write_queue_len()) + edge::WRITE_QUEUE_LEN;
    let read_len = per_reactor(limits.read_queue_len()) + edge::READ_QUEUE_LEN;
    let hash_len = per_reactor(limits.hash_queue_len()) + edge::HASH_QUEUE_LEN;
    let (writer, write_jobs) = bounded::<WriteRequest>(write_len);
    let (readers, read_jobs) = bounded::<ReadRequest>(read_len);
    let (hashers, hash_jobs) = bounded::<HashRequest>(hash_len);
    let (directory_way, directory_jobs) = bounded::<DirectoryRequest>(DIRECTORY_QUEUE_LEN);
    let (locates, locate_jobs) = bounded(per_reactor(limits.locate_queue_len()));
    let (attempts, attempt_jobs) = bounded::<AttemptRequest>(ATTEMPT_QUEUE_LEN);
    let (lookups, lookup_jobs) = bounded(LOOKUP_QUEUE_LEN);
    let wants_lookups = link.as_ref().is_some_and(LinkSetup::has_directory);
    let link = match link {
        Some(setup) => {
            let (post, end) = LinkPost::new();
            let counts = LinkCounts::new(metrics.link.clone());
            Some((post, setup.start(node.clone(), office.clone(), lookups, end, counts)?))
        }
        None => None,
    };
    let link_post = link.as_ref().map(|(post, _)| post.clone());
    let ways = Workers {
        writer,
        readers,
        hashers,
        directory: directory_way,
        locates,
        attempts,
        link: link_post.clone(),
    };

    let is_draining = Arc::new(AtomicBool::new(false));
    let sources = Sources {
        metrics: metrics.clone(),
        node: node.clone(),
        gateways: gateways.clone(),
        is_draining: is_draining.clone(),
        write_queue: write_jobs.clone(),
        read_queue: read_jobs.clone(),
        hash_queue: hash_jobs.clone(),
        directory_queue: directory_jobs.clone(),
    };
    let to_all = Outlets { node: node.clone(), office: office.clone(), link: link_post };
    let writer = store.writer().context("cannot open the store for writing")?;
    let writer = TimedWriter::new(writer, metrics.writer.clone());
    let clock = Clock::new();
    let mut workers = vec![start_writer(writer, write_jobs, clock, to_all.clone())?];
    for number in 0..counts.readers {
        workers.push(start_reader(number, store, read_jobs.clone(), office.clone())?);
    }
    let hasher = Hasher::new()?;
    for number in 0..counts.hashers {
        workers.push(start_hasher(number, hasher.clone(), hash_jobs.clone(), office.clone())?);
    }
    let lookups = wants_lookups.then_some(lookup_jobs);
    let (jobs, flag) = (
        DirectoryJobs {
            sessions: directory_jobs,
            locates: locate_jobs,
            attempts: attempt_jobs,
            lookups,
        },
        is_draining.clone(),
    );
    workers.push(match directory {
        AnyDirectory::Memory(directory) => {
            start_directory(WatchedDirectory::new(directory, gateways), jobs, flag, to_all)?
        }
        AnyDirectory::Redis(directory) => {
            start_directory(WatchedDirectory::new(*directory, gateways), jobs, flag, to_all)?
        }
    });

    let mut reactors = Vec::with_capacity(counts.reactors);
    for (number, (listener, end)) in listeners.sockets.into_iter().zip(ends).enumerate() {
        let service = Service::new(node.clone(), ReactorId(number as u16), limits);
        let counted = metrics.reactor(number);
        let (ways, office) = (ways.clone(), office.clone());
        let handler = ClientHandler::new(service, ways, office, end.missed, counted, clock);
        let reactor = Reactor::new(net.clone(), listener, tls.clone(), end.receiver, handler)?;
        let run = move || {
            urgency::carry_messages();
            reactor.run().map(drop)
        };
        reactors.push(Builder::new().name(format!("client-{number}")).spawn(run)?);
    }
    let memory = memory.map(|budget| start_memory(budget, node.clone())).transpose()?;
    let edges = edge.start(counts.reactors, sources, ways, node, store)?;
    Ok(Running { office, is_draining, reactors, edges, workers, memory, link })
}

/// Where what a worker found out goes.
#[derive(Clone)]
struct Outlets {
    node: Arc<Node>,
    office: PostOffice,
    link: Option<LinkPost>,
}

/// Commits, and sends each batch's replies and deliveries on their way.
fn start_writer(
    writer: impl Writer + Send + 'static,
    jobs: Receiver<WriteRequest>,
    clock: Clock,
    outlets: Outlets,
) -> anyhow::Result<JoinHandle<()>> {
    let run = move || {
        urgency::carry_messages();
        let ended = run_writer(
            writer,
            jobs,
            || clock.now(),
            |replies, events| {
                send_out(replies, &events, &outlets);
            },
        );
        if let Err(fenced) = ended {
            // Whatever this process would still write or answer could contradict its successor.
            log::error!("{fenced}");
            std::process::exit(FENCED_EXIT_CODE);
        }
    };
    Ok(Builder::new().name("write-0".into()).spawn(run)?)
}

/// Replies first: the sender waits for its answer, and nobody waits for a push. Other nodes last:
/// their thread takes it from here.
fn send_out(replies: Vec<WriteReply>, events: &[Event], outlets: &Outlets) {
    let Outlets { node, office, link } = outlets;
    let count = office.reactor_count();
    let mut by_reactor: Vec<Vec<WriteReply>> = vec![Vec::new(); office.way_count()];
    for reply in replies {
        if let Some(replies) = by_reactor.get_mut(usize::from(reply.ticket.reactor.0)) {
            replies.push(reply);
        }
    }
    let mut deliveries: Vec<Vec<Delivery>> = vec![Vec::new(); count];
    fan_out(events, node, &mut deliveries);
    deliveries.resize_with(by_reactor.len(), Vec::new);
    for (number, (replies, deliveries)) in by_reactor.into_iter().zip(deliveries).enumerate() {
        let reactor = ReactorId(number as u16);
        if !replies.is_empty() {
            office.reply(reactor, Mail::Written(replies));
        }
        if !deliveries.is_empty() {
            office.deliver(reactor, deliveries);
        }
    }
    if let Some(link) = link {
        link.forward(events);
    }
}

fn start_reader(
    number: usize,
    store: &impl Store,
    jobs: Receiver<ReadRequest>,
    office: PostOffice,
) -> anyhow::Result<JoinHandle<()>> {
    let reader = store.reader().context("cannot open the store for reading")?;
    let run = move || {
        let mut offer = urgency::answer_questions();
        run_reader(reader, jobs, |reply| {
            office.reply(reply.ticket.reactor, Mail::Read(reply));
            offer.make();
        });
    };
    Ok(Builder::new().name(format!("read-{number}")).spawn(run)?)
}

fn start_hasher(
    number: usize,
    hasher: Hasher,
    jobs: Receiver<HashRequest>,
    office: PostOffice,
) -> anyhow::Result<JoinHandle<()>> {
    let run = move || {
        hash_pool::run(&hasher, &jobs, |reply| {
            office.reply(reply.ticket.reactor, Mail::Hashed(reply));
        });
    };
    Ok(Builder::new().name(format!("hash-{number}")).spawn(run)?)
}

fn start_memory(
    budget: MemoryBudget,
    node: Arc<Node>,
) -> anyhow::Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = bounded(0);
    let run = move || memory::watch(budget, &node, &stopped);
    Ok((stop, Builder::new().name("memory".into()).spawn(run)?))
}

fn start_directory(
    directory: impl Directory + Send + 'static,
    jobs: DirectoryJobs,
    is_draining: Arc<AtomicBool>,
    outlets: Outlets,
) -> anyhow::Result<JoinHandle<()>> {
    let run = move || {
        let Outlets { node, office, link } = outlets;
        let start = Instant::now();
        let clock = || start.elapsed().as_millis() as u64;
        run_directory(directory, jobs, &is_draining, clock, |output| match output {
            DirectoryOutput::Reply(reply) => {
                office.reply(reply.ticket.reactor, Mail::Directory(reply));
            }
            DirectoryOutput::Located(reply) => {
                office.reply(reply.ticket.reactor, Mail::Located(reply));
            }
            DirectoryOutput::Attempted(reply) => {
                office.reply(reply.ticket.reactor, Mail::Attempted(reply));
            }
            DirectoryOutput::Departed => {
                node.departures.raise();
                office.alarm();
            }
            DirectoryOutput::Conflict(Conflict::Fenced(record)) => {
                node.table.for_each_of(record.user, |online| {
                    if (online.class, online.epoch) == (record.class, record.epoch) {
                        office.fenced(online.reactor, record);
                    }
                });
            }
            // Without a link its own node finds out by its head checks.
            DirectoryOutput::Conflict(Conflict::Replaced(record)) => {
                if let Some(link) = &link {
                    link.kick(KickOrder::of_replaced(&record));
                }
            }
            DirectoryOutput::Found { number, sessions } => {
                if let Some(link) = &link {
                    link.found(number, sessions);
                }
            }
            // Without a link nothing was sent to them in that time, so they have missed nothing.
            DirectoryOutput::Recovered => {
                if link.is_some() {
                    log::info!("sessions that Redis had lost are compared with the store");
                    node.alarms.raise();
                    office.alarm();
                }
            }
            DirectoryOutput::Nodes(nodes) => {
                if let Some(link) = &link {
                    link.nodes(nodes);
                }
            }
        });
    };
    Ok(Builder::new().name("dir".into()).spawn(run)?)
}
