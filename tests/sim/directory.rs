//! The directory of the simulated cluster as one node has it: the memory backend, which here can be out
//! of reach and can forget everything, behind the node's own list of its sessions, which the Redis
//! backend (src/directory/redis/mod.rs) uses in the same way. Knows no fault, only what it does.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use aldis_directory::{
    Away, Conflict, Directory, Ledger, MemoryDirectory, NodeAnnouncement, NodeRecord, Sessions,
};
use aldis_logic::cluster::FRESH_MS;
use aldis_logic::job::{BootId, DirectoryJob, NodeId, Registration, SessionRecord};
use aldis_wire::UserId;

/// Sessions that are told again in one tick, and its length, ms.
const TICK_SESSIONS_MAX: usize = 256;
const TICK_MS: u64 = 25;
/// How long others may believe what they were told before. ms
const DISBELIEF_MS: u64 = FRESH_MS + 500;

/// How a node reaches the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What it asks is done and answered.
    Full,
    /// It is done, and the answer is lost.
    Mute,
    /// Nothing gets there.
    None,
}

/// How the directory is, for all nodes.
#[derive(Debug, Default)]
pub struct Health {
    reach: BTreeMap<NodeId, Reach>,
    flush_count: u32,
}

/// The whole directory.
#[derive(Debug)]
pub struct Registry {
    memory: MemoryDirectory,
    health: Rc<RefCell<Health>>,
}

impl Registry {
    /// Nobody is there.
    pub fn new() -> Self {
        let nobody = NodeAnnouncement::default();
        Self { memory: MemoryDirectory::new(NodeId(0), BootId(0), nobody), health: Rc::default() }
    }

    /// A life of a node joins. `is_alone`: it has a directory of its own.
    pub fn join(
        &self,
        node: NodeId,
        boot: BootId,
        announcement: NodeAnnouncement,
        is_alone: bool,
    ) -> SimDirectory {
        let (memory, health) = if is_alone {
            (MemoryDirectory::new(node, boot, announcement), Rc::default())
        } else {
            (self.memory.join(node, boot, announcement), self.health.clone())
        };
        let flushes_seen = health.borrow().flush_count;
        SimDirectory {
            flushes_seen,
            memory,
            health,
            node,
            ledger: Ledger::new(node, boot),
            was_away: false,
            tick_at_ms: 0,
            conflicts: VecDeque::new(),
            recovered_at_ms: None,
        }
    }

    /// Everything is lost.
    pub fn flush(&self) {
        self.memory.forget();
        self.health.borrow_mut().flush_count += 1;
    }

    /// From now on a node reaches it so.
    pub fn set_reach(&self, node: NodeId, reach: Reach) {
        self.health.borrow_mut().reach.insert(node, reach);
    }

    /// From now on all nodes reach it.
    pub fn heal(&self) {
        self.health.borrow_mut().reach.clear();
    }
}

/// See the file's first line.
#[derive(Debug)]
pub struct SimDirectory {
    memory: MemoryDirectory,
    health: Rc<RefCell<Health>>,
    node: NodeId,
    ledger: Ledger,
    flushes_seen: u32,
    was_away: bool,
    tick_at_ms: u64,
    conflicts: VecDeque<Conflict>,
    recovered_at_ms: Option<u64>,
}

impl SimDirectory {
    fn reach(&self) -> Reach {
        self.health.borrow().reach.get(&self.node).copied().unwrap_or(Reach::Full)
    }

    fn register(&mut self, now_ms: u64, record: &SessionRecord) -> Registration {
        let reach = self.reach();
        let answer = match reach {
            Reach::None => None,
            Reach::Full | Reach::Mute => {
                self.memory.apply(now_ms, &[DirectoryJob::Register(*record)]).pop().flatten()
            }
        };
        match answer.filter(|_| reach == Reach::Full) {
            Some(Registration::Fenced) => {
                self.ledger.leave(record);
                Registration::Fenced
            }
            Some(registration) => registration,
            None => {
                self.ledger.retry(now_ms, record);
                Registration::Unavailable
            }
        }
    }

    fn unregister(&mut self, now_ms: u64, record: &SessionRecord) {
        let reach = self.reach();
        if reach != Reach::None {
            self.memory.apply(now_ms, &[DirectoryJob::Unregister(*record)]);
        }
        if reach != Reach::Full {
            self.ledger.owe_removal(now_ms, record);
        }
    }

    fn reassert(&mut self, now_ms: u64) {
        let ended = self.ledger.take_owed(now_ms, TICK_SESSIONS_MAX);
        let live = self.ledger.take_due(now_ms, TICK_SESSIONS_MAX);
        if self.ledger.take_asserted(now_ms) {
            self.recovered_at_ms = Some(now_ms + DISBELIEF_MS);
        }
        self.tick_at_ms = now_ms + TICK_MS;
        for record in &ended {
            self.unregister(now_ms, record);
        }
        for record in &live {
            match self.register(now_ms, record) {
                Registration::Fenced => self.conflicts.push_back(Conflict::Fenced(*record)),
                Registration::Live { replaced: Some(older) } if older.node != record.node => {
                    self.conflicts.push_back(Conflict::Replaced(older));
                }
                _ => {}
            }
        }
    }
}

impl Directory for SimDirectory {
    fn apply(&mut self, now_ms: u64, jobs: &[DirectoryJob]) -> Vec<Option<Registration>> {
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            results.push(match job {
                DirectoryJob::Register(record) if self.ledger.enter(now_ms, record) => {
                    Some(self.register(now_ms, record))
                }
                DirectoryJob::Register(_) => Some(Registration::Fenced),
                DirectoryJob::Assert(record) => {
                    self.ledger.assert_one(now_ms, record);
                    None
                }
                DirectoryJob::Unregister(record) => {
                    self.ledger.leave(record);
                    self.unregister(now_ms, record);
                    None
                }
            });
        }
        results
    }

    fn sessions_of(&mut self, now_ms: u64, users: &[UserId]) -> Sessions {
        match self.reach() {
            Reach::Full => self.memory.sessions_of(now_ms, users),
            _ => Sessions { found: Vec::new(), unknown: users.to_vec() },
        }
    }

    fn open_nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        if self.reach() == Reach::Full { self.memory.open_nodes(now_ms) } else { Err(Away) }
    }

    fn nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        if self.reach() == Reach::Full { self.memory.nodes(now_ms) } else { Err(Away) }
    }

    fn nodes_of(&mut self, now_ms: u64, nodes: &[NodeId]) -> Result<Vec<NodeRecord>, Away> {
        if self.reach() == Reach::Full { self.memory.nodes_of(now_ms, nodes) } else { Err(Away) }
    }

    fn maintain(&mut self, now_ms: u64) {
        if self.reach() != Reach::Full {
            self.was_away = true;
            return;
        }
        let has_announced = now_ms >= self.memory.poll_timeout();
        self.memory.maintain(now_ms);
        let flush_count = self.health.borrow().flush_count;
        // What it announced shows whether a mark of before is still there.
        let is_flushed = has_announced && self.flushes_seen != flush_count;
        if std::mem::take(&mut self.was_away) || is_flushed {
            self.flushes_seen = flush_count;
            self.ledger.assert_all(now_ms);
        }
        if now_ms >= self.tick_at_ms {
            self.reassert(now_ms);
        }
    }

    fn poll_timeout(&self) -> u64 {
        let ledger = self.ledger.poll_timeout().map(|at_ms| at_ms.max(self.tick_at_ms));
        let due_ms = self.memory.poll_timeout().min(ledger.unwrap_or(u64::MAX));
        match self.reach() {
            Reach::Full => due_ms.min(self.recovered_at_ms.unwrap_or(u64::MAX)),
            _ => u64::MAX,
        }
    }

    fn poll_conflict(&mut self) -> Option<Conflict> {
        self.conflicts.pop_front()
    }

    fn poll_recovered(&mut self, now_ms: u64) -> bool {
        self.recovered_at_ms.take_if(|at_ms| *at_ms <= now_ms).is_some()
    }

    fn drain(&mut self, now_ms: u64) {
        if self.reach() != Reach::None {
            self.memory.drain(now_ms);
        }
    }

    fn leave(&mut self, now_ms: u64) {
        if self.reach() != Reach::None {
            self.memory.leave(now_ms);
        }
    }
}
