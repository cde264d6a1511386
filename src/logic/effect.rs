//! What the service wants done: the only way in which it acts on the world.

use std::sync::Arc;

use aldis_wire::{ConnId, Epoch, OutFrame, UserId, pb};

use crate::cluster::KickOrder;
use crate::job::{
    AttemptRequest, DirectoryRequest, HashRequest, LocateRequest, ReactorId, ReadRequest,
    WriteRequest,
};
use crate::notice::{Notice, NoticeMail};
use crate::presence::Hints;

/// One thing to do. Effects are drained in order after each input.
#[derive(Debug)]
pub enum Effect {
    /// Queue a frame on a connection.
    Send {
        /// Where.
        conn: ConnId,
        /// What.
        frame: OutFrame,
        /// How badly it must arrive.
        lane: Lane,
    },
    /// Flush what is queued, then close.
    Close {
        /// Which.
        conn: ConnId,
        /// Why, for logs and counters.
        reason: Goodbye,
    },
    /// The connection's session is open: other limits and deadlines hold from now on.
    LoggedIn {
        /// Which.
        conn: ConnId,
    },
    /// Offer the frames again that were answered [`Admit::Wait`].
    Resume {
        /// Which.
        conn: ConnId,
    },
    /// For a store writer. A slot in its queue is reserved.
    Write(WriteRequest),
    /// For a store reader. A slot in its queue is reserved.
    Read(ReadRequest),
    /// For the password pool. A slot in its queue is reserved.
    Hash(HashRequest),
    /// For the directory worker; if its queue is full, the glue answers `Unavailable` for it.
    Directory(DirectoryRequest),
    /// For the directory worker. A slot in its queue is reserved.
    Locate(LocateRequest),
    /// For the directory worker; if its queue is full, the glue answers `Unknown` for a `Begin`.
    Attempt(AttemptRequest),
    /// For all services of this node that watch somebody, and for the link. What does not fit is lost.
    Hints(Arc<Hints>),
    /// For the service of another reactor of this node.
    Post {
        /// Which.
        reactor: ReactorId,
        /// What.
        mail: PeerMail,
    },
    /// For the link: a session on another node is over. Without a link, head checks find out.
    Kick(KickOrder),
    /// For the link: users on other nodes are told something. Where it does not fit, it is dropped.
    Notice(Notice),
}

/// How badly a frame must arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// An answer: queued as long as the connection lives.
    Reply,
    /// A push: a slow reader's is dropped, and it gets a hint once it has caught up.
    Push,
    /// A notification that is in no store: where a push would be dropped, it is, and no hint makes up
    /// for it.
    Notice,
}

/// Whether a frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// It was; its answer comes or has come as an effect.
    Taken,
    /// Not now: keep it and all behind it until [`Effect::Resume`].
    Wait,
}

/// Why the service closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// A frame that breaks the protocol.
    BadFrame,
    /// LOGOUT was answered.
    LoggedOut,
    /// The client closed its side, and all that it asked was answered.
    PeerDone,
    /// A newer session, or a revoked device.
    Kicked,
    /// The node is going away.
    Draining,
    /// The client has more failed conversations open than the service remembers.
    TooManyFailedSends,
}

/// What one reactor's service tells another's.
#[derive(Clone, Debug)]
pub enum PeerMail {
    /// A newer session took the place of this one.
    Kick {
        /// The connection to end.
        conn: ConnId,
        /// Whose it must still be.
        user: UserId,
        /// With this epoch or a lower one.
        epoch: Epoch,
        /// For the notification.
        reason: pb::KickReason,
        /// Of the newer session.
        device_name: String,
    },
    /// Some of its sessions are told something. Where it does not fit, it is dropped.
    Notice(NoticeMail),
    /// Something may be new of users whom its sessions watch.
    Hints(Arc<Hints>),
}
