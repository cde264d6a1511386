//! Who is online on which node: what is announced, what the directory says.

use aldis_wire::{DeviceClass, Epoch, UserId};

use super::Ticket;
/// A session to announce to the directory of all nodes and who waits.
#[derive(Clone, Debug)]
pub struct DirectoryRequest {
    /// Who waits; nobody waits for anything but `Register`.
    pub ticket: Ticket,
    /// What to do.
    pub job: DirectoryJob,
}

/// A change of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryJob {
    /// A session begins.
    Register(SessionRecord),
    /// It lives, and the directory may not know it.
    Assert(SessionRecord),
    /// It ended; nothing happens if a newer one took its place.
    Unregister(SessionRecord),
}

/// A session as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Whose.
    pub user: UserId,
    /// One live session for each class.
    pub class: DeviceClass,
    /// The higher one wins.
    pub epoch: Epoch,
    /// The node it is on.
    pub node: NodeId,
    /// The life of that node: a record of an earlier one is void.
    pub boot: BootId,
}

/// A node of the cluster, 0 to 1023.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

/// One life of a node's process: random, made at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BootId(pub u64);

/// Answer to `Register`.
#[derive(Clone, Debug)]
pub struct DirectoryReply {
    /// From the request.
    pub ticket: Ticket,
    /// What the directory says.
    pub registration: Registration,
}

/// What came of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It is the live session now; what it replaced must be kicked.
    Live {
        /// The older session of the class, if there was one.
        replaced: Option<SessionRecord>,
    },
    /// A newer session of the class is live: this one lost.
    Fenced,
    /// The directory cannot be reached. The store decides anyway, so the session goes on.
    Unavailable,
}

/// A question where users have sessions, on whichever node.
#[derive(Clone, Debug)]
pub struct LocateRequest {
    /// Who waits.
    pub ticket: Ticket,
    /// Whom.
    pub users: Vec<UserId>,
}

/// Answer to it.
#[derive(Clone, Debug)]
pub struct LocateReply {
    /// From the request.
    pub ticket: Ticket,
    /// Their sessions.
    pub sessions: Vec<SessionRecord>,
    /// Users of whom nobody can say.
    pub unknown: Vec<UserId>,
}
