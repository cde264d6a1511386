//! Names of nodes, sessions, messages and flows. Knows nothing of how they travel.

use std::fmt;

/// A node of the cluster, as its operator numbered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

/// One life of a node: random, new with every start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BootId(pub u64);

/// One session with a peer. A later session with the same node has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for PeerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.index, self.generation)
    }
}

/// A message of one session and direction, counted in the order of `send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(crate) u64);

impl MessageId {
    /// Messages of this session that were sent before it.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Which other messages a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// None: it is delivered as soon as it is complete.
    Unordered,
    /// All earlier ones of the same number. Flows cost nothing while nothing of theirs is under
    /// way, so any number of them may be used.
    Ordered(u32),
}
