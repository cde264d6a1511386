//! The memory backend: the same answers as a database, without files and threads, for simulations.
//!
//! What goes wrong is chosen by the caller: a batch can be staged and settled later (a slow
//! commit), settled with any [`Fate`], or lost by [`MemoryStore::crash`]. Whoever settles a batch and throws
//! its outcome away has a crash between commit and reply.
//!
//! Several nodes can share it. Each stages a batch of its own; a batch runs as a whole when it is
//! settled, so that nodes' commits are one after the other, in whatever order they are settled.

mod accounts;
mod append;
mod look;
mod planted;
mod read;
mod rows;
mod search;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use aldis_logic::job::{JobError, NewUser, ReadJob, ReadResult, WriteJob, WriteRequest, Written};
use aldis_wire::limits::GROUP_MEMBERS_MAX;
use aldis_wire::{ClientMsgId, MsgId, RequestId, UserId};
use parking_lot::Mutex;

pub use planted::Bug;

use crate::rules::{self, Deferred};
use crate::snowflake::{NODE_MAX, Snowflake};
use crate::sqlite::seed_names;
use crate::traits::{Boot, Committed, Reader, SeedUsers, SigningKey, Store, StoreError, Writer};
use state::{Run, State};

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is committed and answered.
    Commit,
    /// The database fails before the commit: nothing happened, all are Unavailable.
    Fail,
    /// The connection breaks after the commit: all happened, all are Unavailable, no events.
    Unknown,
}

/// One node's handle; clones share the same store.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    node: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// What is committed.
    durable: State,
    boot: Boot,
    nodes: BTreeMap<u16, NodeState>,
    poisoned: BTreeSet<ClientMsgId>,
    bug: Option<Bug>,
}

/// What ends with a node's process.
#[derive(Debug)]
struct NodeState {
    ids: Snowflake,
    /// Fates of the next batches; what comes after them is committed.
    plan: VecDeque<Fate>,
    staged: Option<Staged>,
}

/// A batch whose transaction runs.
#[derive(Debug)]
struct Staged {
    now_ms: u64,
    batch: Vec<WriteRequest>,
}

impl MemoryStore {
    /// An empty store. Epoch and signing key follow from the seed, so that runs can be repeated.
    pub fn new(node: u16, seed: u64) -> Result<Self, StoreError> {
        let key = SigningKey {
            kid: format!("{seed:016x}"),
            secret: seed.to_be_bytes().repeat(4),
            created_ms: 0,
            active: true,
        };
        let boot = Boot { store_epoch: (seed >> 1).max(1), signing_keys: vec![key] };
        let shared = Shared {
            durable: State::default(),
            boot,
            nodes: BTreeMap::new(),
            poisoned: BTreeSet::new(),
            bug: None,
        };
        Self { node, shared: Arc::new(Mutex::new(shared)) }.for_node(node)
    }

    /// The same store as another node has it.
    pub fn for_node(&self, node: u16) -> Result<Self, StoreError> {
        if node > NODE_MAX {
            return Err(StoreError::Node(node));
        }
        let shared = &mut *self.shared.lock();
        let known = shared.durable.largest_id();
        shared.nodes.entry(node).or_insert_with(|| NodeState::new(node, known));
        Ok(Self { node, shared: self.shared.clone() })
    }

    /// Decides what becomes of the node's next batches given to `Writer::commit`.
    pub fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        self.shared.lock().node(self.node).plan.extend(fates);
    }

    /// Makes sends with this id fail by themselves.
    pub fn poison(&self, client_msg_id: ClientMsgId) {
        self.shared.lock().poisoned.insert(client_msg_id);
    }

    /// Makes the store wrong on purpose, to prove that checks notice it.
    pub fn plant(&self, bug: Option<Bug>) {
        self.shared.lock().bug = bug;
    }

    /// The node's process dies: what it staged is lost, what is committed stays, its plan ends.
    pub fn crash(&self) {
        let shared = &mut *self.shared.lock();
        let known = shared.durable.largest_id();
        *shared.node(self.node) = NodeState::new(self.node, known);
    }
}

impl Store for MemoryStore {
    type Writer = MemoryWriter;
    type Reader = MemoryReader;

    fn writer(&self) -> Result<MemoryWriter, StoreError> {
        Ok(MemoryWriter { node: self.node, shared: self.shared.clone() })
    }

    fn reader(&self) -> Result<MemoryReader, StoreError> {
        Ok(MemoryReader { shared: self.shared.clone() })
    }

    fn boot(&self) -> Result<Boot, StoreError> {
        Ok(self.shared.lock().boot.clone())
    }

    /// The next number, so that runs can be repeated.
    fn renew_epoch(&self) -> Result<u64, StoreError> {
        let epoch = &mut self.shared.lock().boot.store_epoch;
        *epoch += 1;
        Ok(*epoch)
    }

    fn seed_users(&self, seed: &SeedUsers, _now_ms: u64) -> Result<Vec<UserId>, StoreError> {
        let state = &mut self.shared.lock().durable;
        let mut users = Vec::new();
        for name in seed_names(seed)? {
            let known = state.user_by_name(&name);
            if let Some((_, user)) = known
                && !user.password_phc.is_empty()
            {
                return Err(StoreError::NameTaken(name));
            }
            users.push(known.map(|(id, _)| id).unwrap_or_else(|| {
                let user = NewUser {
                    username: name.clone(),
                    nickname: name,
                    password_phc: String::new(),
                    request_id: RequestId::default(),
                };
                state.insert_user(&user)
            }));
        }
        Ok(users)
    }
}

/// A node's writer of a memory store.
#[derive(Debug)]
pub struct MemoryWriter {
    node: u16,
    shared: Arc<Mutex<Shared>>,
}

impl MemoryWriter {
    /// Begins a transaction that nobody sees yet. A node has one at a time; another one replaces it.
    pub fn stage(&mut self, now_ms: u64, batch: &[WriteRequest]) {
        let staged = Staged { now_ms, batch: batch.to_vec() };
        self.shared.lock().node(self.node).staged = Some(staged);
    }

    /// Ends the node's staged transaction. `None`: there is none, a crash took it.
    pub fn settle(&mut self, fate: Fate) -> Option<Committed> {
        let shared = &mut *self.shared.lock();
        let staged = shared.node(self.node).staged.take()?;
        Some(shared.settle(self.node, &staged, fate))
    }
}

impl Writer for MemoryWriter {
    /// One step: stages and settles with the next planned fate.
    fn commit(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Committed {
        let shared = &mut *self.shared.lock();
        let fate = shared.node(self.node).plan.pop_front().unwrap_or(Fate::Commit);
        shared.settle(self.node, &Staged { now_ms, batch: batch.to_vec() }, fate)
    }

    fn mailbox_rows(&self, job: &WriteJob) -> usize {
        match job {
            WriteJob::Append(job) if job.conversation.as_group().is_none() => 2,
            WriteJob::Append(_) | WriteJob::InviteMembers { .. } | WriteJob::LeaveGroup { .. } => {
                GROUP_MEMBERS_MAX
            }
            WriteJob::CreateGroup(job) => job.members.len() + 1,
            WriteJob::Message(job) if job.conversation.as_group().is_some() => GROUP_MEMBERS_MAX,
            WriteJob::Friend(_) | WriteJob::Message(_) => 2,
            _ => 1,
        }
    }
}

impl NodeState {
    /// Of a process that starts above the ids that it finds.
    fn new(node: u16, largest: Option<MsgId>) -> Self {
        Self { ids: Snowflake::new(node, largest), plan: VecDeque::new(), staged: None }
    }
}

impl Shared {
    fn node(&mut self, node: u16) -> &mut NodeState {
        self.nodes.get_mut(&node).expect("a handle's node was entered with it")
    }

    fn settle(&mut self, node: u16, staged: &Staged, fate: Fate) -> Committed {
        let unavailable = || Committed {
            results: vec![Err(JobError::Unavailable); staged.batch.len()],
            events: Vec::new(),
        };
        let makes_ids = staged.batch.iter().any(|request| takes_id(&request.job));
        if makes_ids && self.node(node).ids.clone().next_id(staged.now_ms).is_err() {
            return unavailable();
        }
        match fate {
            Fate::Commit => self.run(node, staged),
            Fate::Fail => self.fail(node, staged).unwrap_or_else(unavailable),
            Fate::Unknown => {
                self.run(node, staged);
                unavailable()
            }
        }
    }

    fn run(&mut self, node: u16, staged: &Staged) -> Committed {
        let node = self.nodes.get_mut(&node).expect("a handle's node was entered with it");
        let mut run = Run {
            state: &mut self.durable,
            ids: &mut node.ids,
            poisoned: &self.poisoned,
            bug: self.bug,
            now_ms: staged.now_ms,
            events: Vec::new(),
            deferred: Deferred::default(),
        };
        let mut results = Vec::with_capacity(staged.batch.len());
        for (number, request) in staged.batch.iter().enumerate() {
            run.deferred.job = number;
            results.push(run.job(request));
        }
        for (job, placed) in rules::finish(&mut run).expect("ids were there before the batch") {
            results[job] = Ok(Written::Changed { seq: placed.seq });
        }
        Committed { results, events: run.events }
    }
}

fn takes_id(job: &WriteJob) -> bool {
    matches!(
        job,
        WriteJob::Append(_)
            | WriteJob::CreateGroup(_)
            | WriteJob::InviteMembers { .. }
            | WriteJob::LeaveGroup { .. }
            | WriteJob::Friend(_)
            | WriteJob::Message(_)
            | WriteJob::View(_)
    )
}

/// The reader of a memory store.
#[derive(Debug)]
pub struct MemoryReader {
    shared: Arc<Mutex<Shared>>,
}

impl Reader for MemoryReader {
    fn read(&mut self, job: &ReadJob) -> Result<ReadResult, JobError> {
        self.shared.lock().read(job)
    }
}
