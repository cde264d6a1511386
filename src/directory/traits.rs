//! What a directory can do, for all backends. Knows no backend.

use aldis_logic::job::{
    AttemptJob, BootId, DirectoryJob, NodeId, Registration, SessionRecord, Verdict,
};
use aldis_wire::UserId;

/// How long a node that is silent counts as there. ms
pub const LEASE_MS: u64 = 5_000;
/// How often a node renews its lease: three tries before it runs out. ms
pub const ANNOUNCE_INTERVAL_MS: u64 = 1_500;

const _: () = assert!(3 * ANNOUNCE_INTERVAL_MS < LEASE_MS);

/// Sessions and nodes of a whole cluster, as one of its nodes sees them. It is a hint that makes
/// things fast: where it is wrong or away, the store decides.
///
/// Calls may block on the network, each at most for one short timeout: they run on the directory's
/// own thread. `now_ms` is monotonic.
pub trait Directory {
    /// Carries out changes of this node's sessions in order. One result for each: what came of a
    /// `Register`, nothing for the others; of an `Assert`, `poll_conflict` tells what is wrong.
    fn apply(&mut self, now_ms: u64, jobs: &[DirectoryJob]) -> Vec<Option<Registration>>;

    /// Counts attempts for all nodes together, in order: a verdict on each `Begin`, and nothing that
    /// matters for the others. A directory of one process counts nothing: its node does.
    fn count_attempts(&mut self, _now_ms: u64, jobs: &[AttemptJob]) -> Vec<Verdict> {
        vec![Verdict::Unknown; jobs.len()]
    }

    /// Live sessions of the users on whichever node. A session on a node that has no lease, or is in
    /// another life, is not among them: nothing can be sent there.
    fn sessions_of(&mut self, now_ms: u64, users: &[UserId]) -> Sessions;

    /// Nodes that take new clients, with their load.
    fn open_nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away>;

    /// All nodes that have a lease, those that take no new clients included, ascending.
    fn nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away>;

    /// What is announced by those of the nodes that have a lease.
    fn nodes_of(&mut self, now_ms: u64, nodes: &[NodeId]) -> Result<Vec<NodeRecord>, Away>;

    /// Does what is due: renews the lease, tries to reach what is away, announces sessions again.
    fn maintain(&mut self, now_ms: u64);

    /// When `maintain` is wanted next. ms
    fn poll_timeout(&self) -> u64;

    /// What `maintain` found out about sessions of this node.
    fn poll_conflict(&mut self) -> Option<Conflict>;

    /// Whether the directory has learned sessions of this node again that it may have lost, long enough
    /// ago that nobody takes them for offline any more: they may have missed what was sent meanwhile.
    /// Says so once.
    fn poll_recovered(&mut self, now_ms: u64) -> bool;

    /// Takes this node out of `open_nodes`; its lease and its sessions stay.
    fn drain(&mut self, now_ms: u64);

    /// Gives up this node's lease: the process ends.
    fn leave(&mut self, now_ms: u64);
}

/// The directory, or the part of it that was asked, cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory cannot be reached")]
pub struct Away;

/// Answer to `sessions_of`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// In the order of the users asked for; of one user by class.
    pub found: Vec<SessionRecord>,
    /// Users whose part of the directory is away: they may be online or not.
    pub unknown: Vec<UserId>,
}

/// What a node tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAnnouncement {
    /// Where clients reach it, host:port.
    pub client_address: String,
    /// Where other nodes reach it, host:port; empty while there is no link.
    pub link_address: String,
    /// Of the server's program.
    pub version: String,
}

/// A node as the directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Which.
    pub node: NodeId,
    /// Its life.
    pub boot: BootId,
    /// What it told.
    pub announcement: NodeAnnouncement,
    /// Its load: how many sessions it had at the last announcement, which is up to
    /// [`ANNOUNCE_INTERVAL_MS`] old.
    pub session_count: u64,
}

/// Two sessions of one user and class of which the directory had lost sight, and now sees both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// This session of ours has lost to a newer one elsewhere: close it.
    Fenced(SessionRecord),
    /// This session on another node has lost to a newer one of ours: its node must be told.
    Replaced(SessionRecord),
}
