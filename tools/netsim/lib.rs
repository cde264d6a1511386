//! A simulator of datagram links: owns virtual time, what a link does to datagrams and the record of
//! it. Knows bytes, addresses and a seed; no protocol, socket, clock or thread.
//!
//! A link is a row of pieces that a datagram passes one after the other; each piece is one
//! impairment. Everything random comes from the seed of the network, and every piece draws from a
//! stream of its own, so that a run is the same to the byte whenever the hosts are.
//!
//! ```
//! use aldis_netsim::{Datagram, Delay, Loss, Network};
//!
//! let (near, far) = ("10.0.0.1:7000".parse().unwrap(), "10.0.0.2:7000".parse().unwrap());
//! let mut network = Network::new(1);
//! let link = network.add_link(vec![Box::new(Loss::new(0.01)), Box::new(Delay::new(5_000_000))]);
//! network.route(near, far, link);
//! network.send(0, Datagram::udp(near, far, b"hello".to_vec()));
//! while let Some(at_ns) = network.next_at_ns() {
//!     while let Some(datagram) = network.poll(at_ns) {
//!         assert_eq!(datagram.bytes, b"hello");
//!     }
//! }
//! ```

mod agenda;
mod datagram;
mod network;
mod piece;
mod pieces;
mod record;
mod rng;

pub use datagram::{Datagram, Ecn, UDP_HEADERS};
pub use network::{LinkId, Network};
pub use piece::{Passage, Piece, Verdict};
pub use pieces::bottleneck::{Bottleneck, BottleneckConfig};
pub use pieces::bursts::Bursts;
pub use pieces::corrupt::Corrupt;
pub use pieces::delay::Delay;
pub use pieces::duplicate::Duplicate;
pub use pieces::jitter::{Jitter, Order};
pub use pieces::loss::Loss;
pub use pieces::mtu::Mtu;
pub use pieces::partition::Partition;
pub use pieces::reorder::Reorder;
pub use pieces::replay::Replay;
pub use pieces::spoof::{Forgery, Spoof};
pub use record::{Cause, Fate, Record};
pub use rng::Rng;
