//! The directory in one process: of a single node, or of all nodes of a simulated cluster. Nothing
//! is ever away and nothing forgets by itself, so no session is announced twice. Sessions of a life that ended
//! stay until their users log in again, as void as in Redis, where an hour ends them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aldis_logic::job::{BootId, DirectoryJob, NodeId, Registration, SessionRecord};
use aldis_wire::UserId;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::traits::{
    ANNOUNCE_INTERVAL_MS, Away, Conflict, Directory, LEASE_MS, NodeAnnouncement, NodeRecord,
    Sessions,
};

/// One node's view of it.
#[derive(Debug)]
pub struct MemoryDirectory {
    shared: Arc<Mutex<Shared>>,
    node: NodeId,
    boot: BootId,
    announcement: NodeAnnouncement,
    has_announced: bool,
    is_draining: bool,
    announce_at_ms: u64,
}

#[derive(Debug, Default)]
struct Shared {
    sessions: HashMap<UserId, SmallVec<[SessionRecord; 1]>, FixedState>,
    counts: HashMap<(NodeId, BootId), u64, FixedState>,
    leases: BTreeMap<NodeId, Lease>,
}

#[derive(Debug)]
struct Lease {
    record: NodeRecord,
    is_open: bool,
    ends_at_ms: u64,
}

impl MemoryDirectory {
    /// A directory that knows no session yet.
    pub fn new(node: NodeId, boot: BootId, announcement: NodeAnnouncement) -> Self {
        Self::open(Arc::default(), node, boot, announcement)
    }

    /// Another node's view of the same.
    pub fn join(&self, node: NodeId, boot: BootId, announcement: NodeAnnouncement) -> Self {
        Self::open(self.shared.clone(), node, boot, announcement)
    }

    /// Forgets everything, as a Redis that is flushed.
    pub fn forget(&self) {
        *self.shared.lock() = Shared::default();
    }

    fn open(
        shared: Arc<Mutex<Shared>>,
        node: NodeId,
        boot: BootId,
        announcement: NodeAnnouncement,
    ) -> Self {
        Self {
            shared,
            node,
            boot,
            announcement,
            has_announced: false,
            is_draining: false,
            announce_at_ms: 0,
        }
    }

    /// The first announcement takes the lease over; later ones leave that of another life alone.
    fn announce(&mut self, now_ms: u64) {
        self.announce_at_ms = now_ms + ANNOUNCE_INTERVAL_MS;
        let shared = &mut *self.shared.lock();
        let holder = shared.lease_of(now_ms, self.node).map(|lease| lease.record.boot);
        if self.has_announced && holder.is_some_and(|boot| boot != self.boot) {
            return;
        }
        self.has_announced = true;
        let record = NodeRecord {
            node: self.node,
            boot: self.boot,
            announcement: self.announcement.clone(),
            session_count: shared.counts.get(&(self.node, self.boot)).copied().unwrap_or(0),
        };
        let (is_open, ends_at_ms) = (!self.is_draining, now_ms + LEASE_MS);
        shared.leases.insert(self.node, Lease { record, is_open, ends_at_ms });
    }
}

impl Directory for MemoryDirectory {
    fn apply(&mut self, _now_ms: u64, jobs: &[DirectoryJob]) -> Vec<Option<Registration>> {
        let shared = &mut *self.shared.lock();
        let one = |job: &DirectoryJob| match *job {
            DirectoryJob::Register(record) => Some(shared.register(record)),
            DirectoryJob::Assert(record) => {
                shared.register(record);
                None
            }
            DirectoryJob::Unregister(record) => {
                shared.unregister(record);
                None
            }
        };
        jobs.iter().map(one).collect()
    }

    fn sessions_of(&mut self, now_ms: u64, users: &[UserId]) -> Sessions {
        let shared = &*self.shared.lock();
        let mut found: Vec<SessionRecord> = Vec::new();
        for user in users {
            let sessions = shared.sessions.get(user).into_iter().flatten();
            let before = found.len();
            found.extend(sessions.filter(|record| shared.is_live(now_ms, record)));
            found[before..].sort_unstable_by_key(|record| record.class);
        }
        Sessions { found, unknown: Vec::new() }
    }

    fn open_nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        let shared = self.shared.lock();
        let live = shared.leases.values().filter(|lease| lease.ends_at_ms > now_ms);
        Ok(live.filter(|lease| lease.is_open).map(|lease| lease.record.clone()).collect())
    }

    fn nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        let shared = self.shared.lock();
        let live = shared.leases.values().filter(|lease| lease.ends_at_ms > now_ms);
        Ok(live.map(|lease| lease.record.clone()).collect())
    }

    fn nodes_of(&mut self, now_ms: u64, nodes: &[NodeId]) -> Result<Vec<NodeRecord>, Away> {
        let shared = self.shared.lock();
        let live = nodes.iter().filter_map(|node| shared.lease_of(now_ms, *node));
        Ok(live.map(|lease| lease.record.clone()).collect())
    }

    fn maintain(&mut self, now_ms: u64) {
        if now_ms >= self.announce_at_ms {
            self.announce(now_ms);
        }
    }

    fn poll_timeout(&self) -> u64 {
        self.announce_at_ms
    }

    fn poll_conflict(&mut self) -> Option<Conflict> {
        None
    }

    fn poll_recovered(&mut self, _now_ms: u64) -> bool {
        false
    }

    fn drain(&mut self, now_ms: u64) {
        self.is_draining = true;
        self.announce(now_ms);
    }

    fn leave(&mut self, _now_ms: u64) {
        let mut shared = self.shared.lock();
        if shared.leases.get(&self.node).is_some_and(|lease| lease.record.boot == self.boot) {
            shared.leases.remove(&self.node);
        }
    }
}

impl Shared {
    fn register(&mut self, record: SessionRecord) -> Registration {
        let sessions = self.sessions.entry(record.user).or_default();
        let replaced = match sessions.iter_mut().find(|other| other.class == record.class) {
            Some(other) if other.epoch > record.epoch => return Registration::Fenced,
            Some(other) => Some(std::mem::replace(other, record)),
            None => {
                sessions.push(record);
                None
            }
        };
        *self.counts.entry((record.node, record.boot)).or_default() += 1;
        if let Some(older) = replaced {
            self.uncount(&older);
        }
        Registration::Live { replaced: replaced.filter(|older| *older != record) }
    }

    fn unregister(&mut self, record: SessionRecord) {
        let Entry::Occupied(mut entry) = self.sessions.entry(record.user) else { return };
        let sessions = entry.get_mut();
        let Some(index) = sessions.iter().position(|other| *other == record) else { return };
        sessions.swap_remove(index);
        if sessions.is_empty() {
            entry.remove();
        }
        self.uncount(&record);
    }

    fn uncount(&mut self, record: &SessionRecord) {
        if let Entry::Occupied(mut count) = self.counts.entry((record.node, record.boot)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn lease_of(&self, now_ms: u64, node: NodeId) -> Option<&Lease> {
        self.leases.get(&node).filter(|lease| lease.ends_at_ms > now_ms)
    }

    fn is_live(&self, now_ms: u64, record: &SessionRecord) -> bool {
        self.lease_of(now_ms, record.node).is_some_and(|lease| lease.record.boot == record.boot)
    }
}
