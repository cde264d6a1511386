//! The link's thread: datagrams of other nodes in and out, a timer, mail from the other threads. It
//! moves bytes and decides nothing: that is for the hub (src/logic/cluster) and the endpoint
//! (protocol/rudp).

mod driver;
mod ending;
mod post;
mod sessions;
mod setup;
mod socket;
mod timer;

pub use post::LinkPost;
pub use setup::{LinkSetup, link_use};
