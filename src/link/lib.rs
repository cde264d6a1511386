//! The link of a node without I/O: the hub (src/logic/cluster), which decides what is said to other
//! nodes, over the endpoint (protocol/rudp), which gets it there. It is handed datagrams, mail and the
//! time; no socket, clock or thread of its own. src/server/link drives it, and so does the simulation.

mod counts;
mod figures;
mod link;
mod mail;
mod sessions;

pub use counts::SessionCounts;
pub use figures::{KINDS, LinkFigures, PeerFigures};
pub use link::{Link, LinkOutput, LinkParts};
pub use mail::LinkMail;
