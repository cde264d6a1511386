//! The part of a node that deals with the other nodes: who they are, what is sent to whom, what
//! comes of what they send. Sans-IO: it is handed messages of the link and the time, and hands out
//! messages; it knows no socket, no session of the link, and no directory.
//!
//! - `router`: entries that were committed here, to where their owners are. `parked`: those that
//!   wait for a look into the directory. `routes`: what was found there lately.
//! - `inbound`: what other nodes send. `interest`, `telling`: which streams they follow, and
//!   what is said of that. `kicks`: sessions that are over elsewhere.
//! - `notices`: notifications that are in no store.
//! - `peers`: the other nodes, as what they announce and what the link says of them.
//! - `hub`: all of these behind one face; `heard`: what other nodes say to it. `counts`: what it did. `planted`: bugs for the simulation.

mod counts;
mod effect;
mod heard;
mod hub;
mod inbound;
mod interest;
mod kicks;
mod notices;
mod outgoing;
mod parked;
mod peers;
mod planted;
mod router;
mod routes;
mod telling;

pub use counts::HubCounts;
pub use effect::{Backlog, Found, KickOrder, LinkEffect, LinkFlow};
pub use hub::{Hub, HubConfig};
pub use outgoing::{Outgoing, outgoing};
pub use peers::{PeerAddress, PeerFault};
pub use planted::Bug;
#[cfg(feature = "planted-bugs")]
pub use planted::plant;
pub use routes::{FRESH_MS, RemoteSession, RemoteSessions, Route, Routes};
