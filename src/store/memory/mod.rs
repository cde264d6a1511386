//! The memory backend: the same answers as a database, without files and threads, for simulations.
//!
//! What goes wrong is chosen by the caller: a batch can be staged and settled later (a slow
//! commit), settled with any [`Fate`], or lost by [`MemoryStore::crash`]. Whoever settles a batch and throws
//! its outcome away has a crash between commit and reply.

mod accounts;
mod append;
mod groups;
mod planted;
mod read;
mod state;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use aldis_logic::job::{JobError, NewUser, ReadJob, ReadResult, WriteJob, WriteRequest};
use aldis_wire::limits::GROUP_MEMBERS_MAX;
use aldis_wire::{ClientMsgId, RequestId, UserId};
use parking_lot::Mutex;

pub use planted::Bug;

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

/// A handle; clones share the same store.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// What is committed.
    durable: State,
    boot: Boot,
    node: u16,
    ids: Snowflake,
    /// Fates of the next batches; what comes after them is committed.
    plan: VecDeque<Fate>,
    staged: Option<Staged>,
    poisoned: BTreeSet<ClientMsgId>,
    bug: Option<Bug>,
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
        if node > NODE_MAX {
            return Err(StoreError::Node(node));
        }
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
            node,
            ids: Snowflake::new(node, None),
            plan: VecDeque::new(),
            staged: None,
            poisoned: BTreeSet::new(),
            bug: None,
        };
        Ok(Self { shared: Arc::new(Mutex::new(shared)) })
    }

    /// Decides what becomes of the next batches given to `Writer::commit`.
    pub fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        self.shared.lock().plan.extend(fates);
    }

    /// Makes sends with this id fail by themselves.
    pub fn poison(&self, client_msg_id: ClientMsgId) {
        self.shared.lock().poisoned.insert(client_msg_id);
    }

    /// Makes the store wrong on purpose, to prove that checks notice it.
    pub fn plant(&self, bug: Option<Bug>) {
        self.shared.lock().bug = bug;
    }

    /// The process dies: what is staged is lost, what is committed stays, the plan ends.
    pub fn crash(&self) {
        let shared = &mut *self.shared.lock();
        shared.staged = None;
        shared.plan.clear();
        shared.ids = Snowflake::new(shared.node, shared.durable.largest_id());
    }
}

impl Store for MemoryStore {
    type Writer = MemoryWriter;
    type Reader = MemoryReader;

    fn writer(&self) -> Result<MemoryWriter, StoreError> {
        Ok(MemoryWriter { shared: self.shared.clone() })
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

/// The writer of a memory store.
#[derive(Debug)]
pub struct MemoryWriter {
    shared: Arc<Mutex<Shared>>,
}

impl MemoryWriter {
    /// Begins a transaction that nobody sees yet. One at a time; another one replaces it.
    pub fn stage(&mut self, now_ms: u64, batch: &[WriteRequest]) {
        self.shared.lock().staged = Some(Staged { now_ms, batch: batch.to_vec() });
    }

    /// Ends the staged transaction. `None`: there is none, a crash took it.
    pub fn settle(&mut self, fate: Fate) -> Option<Committed> {
        let shared = &mut *self.shared.lock();
        let staged = shared.staged.take()?;
        Some(shared.settle(staged.now_ms, &staged.batch, fate))
    }
}

impl Writer for MemoryWriter {
    /// One step: stages and settles with the next planned fate.
    fn commit(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Committed {
        let shared = &mut *self.shared.lock();
        let fate = shared.plan.pop_front().unwrap_or(Fate::Commit);
        shared.settle(now_ms, batch, fate)
    }

    fn mailbox_rows(&self, job: &WriteJob) -> usize {
        match job {
            WriteJob::Append(job) if job.conversation.as_group().is_none() => 2,
            WriteJob::Append(_) | WriteJob::InviteMembers { .. } | WriteJob::LeaveGroup { .. } => {
                GROUP_MEMBERS_MAX
            }
            WriteJob::CreateGroup(job) => job.members.len() + 1,
            _ => 1,
        }
    }
}

impl Shared {
    fn settle(&mut self, now_ms: u64, batch: &[WriteRequest], fate: Fate) -> Committed {
        let unavailable = || Committed {
            results: vec![Err(JobError::Unavailable); batch.len()],
            events: Vec::new(),
        };
        let makes_ids = batch.iter().any(|request| takes_id(&request.job));
        if makes_ids && self.ids.clone().next_id(now_ms).is_err() {
            return unavailable();
        }
        match fate {
            Fate::Commit => self.run(now_ms, batch),
            Fate::Fail => self.fail(now_ms, batch).unwrap_or_else(unavailable),
            Fate::Unknown => {
                self.run(now_ms, batch);
                unavailable()
            }
        }
    }

    fn run(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Committed {
        let mut run = Run {
            state: &mut self.durable,
            ids: &mut self.ids,
            poisoned: &self.poisoned,
            bug: self.bug,
            now_ms,
            events: Vec::new(),
        };
        let results = batch.iter().map(|request| run.job(request)).collect();
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
    )
}

/// The reader of a memory store.
#[derive(Debug)]
pub struct MemoryReader {
    shared: Arc<Mutex<Shared>>,
}

impl Reader for MemoryReader {
    fn read(&mut self, job: &ReadJob) -> Result<ReadResult, JobError> {
        self.shared.lock().durable.read(job)
    }
}
