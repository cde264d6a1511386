//! What the hub wants done, and what services order from it. Data only.

use std::net::SocketAddr;
use std::sync::Arc;

use aldis_wire::{DeviceClass, Epoch, UserId, pb};
use bytes::Bytes;

use crate::effect::PeerMail;
use crate::job::{NodeId, ReactorId, SessionRecord};
use crate::presence::Hints;

/// One thing to do. Effects are drained in order after each input.
#[derive(Clone, Debug)]
pub enum LinkEffect {
    /// Begin a session of the link with a node.
    Connect {
        /// Which.
        node: NodeId,
        /// Where it is.
        address: SocketAddr,
    },
    /// End the session with a node, if there is one.
    Close {
        /// Which.
        node: NodeId,
    },
    /// Send a message. If it cannot be sent now, say so by `Hub::handle_blocked`.
    Send {
        /// Where to.
        node: NodeId,
        /// In which order.
        flow: LinkFlow,
        /// An encoded NodeMessage.
        message: Bytes,
    },
    /// Ask the directory where these users are; the answer is `Hub::handle_found`.
    Lookup {
        /// To be returned with the answer.
        number: u32,
        /// Whom.
        users: Vec<UserId>,
    },
    /// For the service of a reactor of this node.
    Post {
        /// Which.
        reactor: ReactorId,
        /// What.
        mail: PeerMail,
    },
    /// For all services of this node: something may be new of these users.
    Hints(Arc<Hints>),
    /// A node said hello: from now on it is sent what concerns it. For the log.
    Opened {
        /// Which.
        node: NodeId,
        /// Of its program.
        release: String,
    },
    /// All sessions of this node may have missed something: compare them with the store.
    CheckAll,
}

/// What waits in a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Entries whose owners are looked for in the directory.
    pub parked: usize,
    /// Bytes of these.
    pub parked_bytes: usize,
    /// Kicks that are not acknowledged.
    pub kicks: usize,
}

/// In which order a message of the link arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFlow {
    /// As soon as it is there.
    Unordered,
    /// After all earlier ones with the same number.
    Ordered(u32),
}

/// A session that began here took the place of one on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KickOrder {
    /// Where the older one is; `None`: it is not known where, or whether there is one.
    pub node: Option<NodeId>,
    /// Whose.
    pub user: UserId,
    /// Of which class.
    pub class: DeviceClass,
    /// Of the newer session: those below are over.
    pub epoch: Epoch,
    /// For the notification.
    pub reason: pb::KickReason,
    /// Of the newer session.
    pub device_name: String,
}

impl KickOrder {
    /// For a session elsewhere that lost to one of ours, which has a higher epoch.
    pub fn of_replaced(record: &SessionRecord) -> Self {
        Self {
            node: Some(record.node),
            user: record.user,
            class: record.class,
            epoch: Epoch(record.epoch.0 + 1),
            reason: pb::KickReason::Replaced,
            device_name: String::new(),
        }
    }
}
