//! Network namespaces for nodes, joined by a router that impairs what passes it with `tc netem`: on
//! the host's kernel where that has sch_netem, otherwise in a small virtual machine with the
//! distribution's kernel. Knows nothing of Aldis. Needs root, or sudo without a password.

mod alone;
mod host;
mod image;
mod lab;
mod management;
mod root;
mod vm;

pub use alone::alone;
pub use lab::{Counts, Lab, Node, RouterKind};
pub use management::MANAGEMENT_HOST;
