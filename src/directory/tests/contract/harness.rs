//! Directories of some backend under test, as several nodes see them, with helpers that make the
//! tests short.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aldis_directory::{
    Directory, MemoryDirectory, NodeAnnouncement, NodeRecord, RedisDirectory, RedisOptions,
};
use aldis_logic::AttemptRules;
use aldis_logic::job::{BootId, DirectoryJob, NodeId, Registration, SessionRecord};
use aldis_services::{Redis, RedisCluster};
use aldis_wire::{DeviceClass, Epoch, UserId};

/// Of the store that the sessions' epochs are from.
const STORE_EPOCH: u64 = 42;
/// What takes longer never comes.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A directory that wants nothing for as long has done what was due; longer than the pauses that it
/// makes meanwhile.
const REST_MS: u64 = 50;

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Memory,
    Redis,
    RedisCluster,
}

pub const KINDS: [Kind; 3] = [Kind::Memory, Kind::Redis, Kind::RedisCluster];

/// Runs a test against every backend.
pub fn on_every_backend(test: impl Fn(&mut Bench)) {
    for kind in KINDS {
        println!("backend: {kind:?}");
        test(&mut Bench::new(kind));
    }
}

/// Nodes with one directory. Their numbers and users are of this bench alone, because all benches
/// share the servers.
pub struct Bench {
    kind: Kind,
    pub nodes: Vec<Node>,
    memory: Option<MemoryDirectory>,
    lives: Vec<BootId>,
    first_user: u64,
    start: Instant,
    skew_ms: u64,
}

/// One life of a node.
pub struct Node {
    pub node: NodeId,
    pub boot: BootId,
    pub directory: Box<dyn Directory>,
}

impl Bench {
    /// Two nodes that have announced themselves.
    pub fn new(kind: Kind) -> Self {
        static USERS: AtomicU64 = AtomicU64::new(10_001);
        let first_user = USERS.fetch_add(100_000, Ordering::Relaxed);
        let mut bench = Self {
            kind,
            nodes: Vec::new(),
            memory: None,
            lives: Vec::new(),
            first_user,
            start: Instant::now(),
            skew_ms: 0,
        };
        bench.add_node();
        bench.add_node();
        bench
    }

    /// Another node; its index.
    pub fn add_node(&mut self) -> usize {
        static NODES: AtomicU16 = AtomicU16::new(1);
        let node = NodeId(NODES.fetch_add(1, Ordering::Relaxed));
        let life = self.begin_life(node);
        self.nodes.push(life);
        self.settle();
        self.nodes.len() - 1
    }

    /// Starts a node's process again; the old one's directory.
    pub fn restart(&mut self, index: usize) -> Node {
        let life = self.begin_life(self.nodes[index].node);
        let old = std::mem::replace(&mut self.nodes[index], life);
        self.settle();
        old
    }

    fn begin_life(&mut self, node: NodeId) -> Node {
        static BOOTS: AtomicU64 = AtomicU64::new(u64::MAX / 2);
        let boot = BootId(BOOTS.fetch_add(1, Ordering::Relaxed));
        self.lives.push(boot);
        let announcement = announcement(node);
        let urls = match self.kind {
            Kind::Memory => {
                let memory = match &self.memory {
                    Some(memory) => memory.join(node, boot, announcement),
                    None => MemoryDirectory::new(node, boot, announcement),
                };
                let nobody = memory.join(NodeId(0), BootId(0), NodeAnnouncement::default());
                self.memory.get_or_insert(nobody);
                return Node { node, boot, directory: Box::new(memory) };
            }
            Kind::Redis => vec![servers().redis.url()],
            Kind::RedisCluster => servers().cluster.urls(),
        };
        let (store_epoch, attempts) = (STORE_EPOCH, AttemptRules::default());
        let options = RedisOptions { urls, node, boot, store_epoch, announcement, attempts };
        Node { node, boot, directory: Box::new(RedisDirectory::new(options).unwrap()) }
    }

    /// Which life of the bench's nodes this was, from 0.
    pub fn life(&self, boot: BootId) -> usize {
        self.lives.iter().position(|life| *life == boot).unwrap()
    }

    /// A user of this bench.
    pub fn user(&self, number: u64) -> UserId {
        UserId(self.first_user + number)
    }

    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64 + self.skew_ms
    }

    /// Lets the nodes' clocks jump; Redis has its own.
    pub fn skip(&mut self, skip_ms: u64) {
        self.skew_ms += skip_ms;
    }

    /// Lets all nodes do what is due, until nothing is.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + WAIT_MAX;
        for index in 0..self.nodes.len() {
            loop {
                let now_ms = self.now_ms();
                let directory = &mut self.nodes[index].directory;
                directory.maintain(now_ms);
                if directory.poll_timeout() > now_ms + REST_MS {
                    break;
                }
                assert!(Instant::now() < deadline, "a directory does not come to rest");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    pub fn record(&self, node: usize, user: u64, class: DeviceClass, epoch: u64) -> SessionRecord {
        let Node { node, boot, .. } = self.nodes[node];
        SessionRecord { user: self.user(user), class, epoch: Epoch(epoch), node, boot }
    }

    pub fn apply(&mut self, node: usize, jobs: &[DirectoryJob]) -> Vec<Option<Registration>> {
        let now_ms = self.now_ms();
        let results = self.nodes[node].directory.apply(now_ms, jobs);
        assert_eq!(results.len(), jobs.len());
        results
    }

    pub fn register(&mut self, node: usize, record: SessionRecord) -> Registration {
        let results = self.apply(node, &[DirectoryJob::Register(record)]);
        let [Some(registration)] = results.as_slice() else { panic!("{results:?}") };
        *registration
    }

    pub fn unregister(&mut self, node: usize, record: SessionRecord) {
        assert_eq!(self.apply(node, &[DirectoryJob::Unregister(record)]), [None]);
    }

    /// What a node sees of users, none of which is unknown.
    pub fn sessions_of(&mut self, node: usize, users: &[UserId]) -> Vec<SessionRecord> {
        let now_ms = self.now_ms();
        let sessions = self.nodes[node].directory.sessions_of(now_ms, users);
        assert_eq!(sessions.unknown, []);
        sessions.found
    }

    /// What all nodes see of one user.
    pub fn seen(&mut self, user: u64) -> Vec<SessionRecord> {
        let user = self.user(user);
        let seen: Vec<_> =
            (0..self.nodes.len()).map(|node| self.sessions_of(node, &[user])).collect();
        assert!(seen.iter().all(|sessions| *sessions == seen[0]), "{seen:?}");
        seen[0].clone()
    }

    /// Nodes of this bench that take clients, as one of them sees it.
    pub fn open_nodes(&mut self, node: usize) -> Vec<NodeRecord> {
        let now_ms = self.now_ms();
        let mut open = self.nodes[node].directory.open_nodes(now_ms).unwrap();
        open.retain(|record| self.nodes.iter().any(|ours| ours.node == record.node));
        open
    }

    /// All nodes of this bench that there are, as one of them sees it.
    pub fn nodes(&mut self, node: usize) -> Vec<NodeRecord> {
        let now_ms = self.now_ms();
        let mut all = self.nodes[node].directory.nodes(now_ms).unwrap();
        all.retain(|record| self.nodes.iter().any(|ours| ours.node == record.node));
        all
    }

    pub fn nodes_of(&mut self, node: usize, nodes: &[NodeId]) -> Vec<NodeRecord> {
        let now_ms = self.now_ms();
        self.nodes[node].directory.nodes_of(now_ms, nodes).unwrap()
    }
}

pub fn announcement(node: NodeId) -> NodeAnnouncement {
    NodeAnnouncement {
        client_address: format!("10.0.0.{}:7700", node.0),
        link_address: format!("10.0.0.{}:7701", node.0),
        version: "0.1.0 test".into(),
    }
}

struct Servers {
    redis: Redis,
    cluster: RedisCluster,
}

/// The servers of all tests. They die with the thread that started them, so that is one that never
/// ends; tests' threads do.
fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let (sender, receiver) = crossbeam::channel::bounded(1);
        std::thread::spawn(move || {
            let servers = Servers { redis: Redis::start(), cluster: RedisCluster::start() };
            assert!(sender.send(servers).is_ok(), "the tests wait");
            loop {
                std::thread::park();
            }
        });
        receiver.recv().unwrap()
    })
}
