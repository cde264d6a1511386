//! The server's HTTP: `admin` for whoever runs it, `api` for clients that look for a node or for a
//! token. Each has a thread and a runtime of its own; neither touches a message.

mod admin;
mod api;
mod bodies;
mod gateways;
mod mailbox;
mod rate;
mod serve;

pub use admin::{Admin, run as run_admin};
pub use api::{Api, ApiOptions, LIMITS as API_LIMITS, run as run_api};
pub use gateways::{Gateways, WatchedDirectory};
pub use mailbox::{EdgeMail, EdgePost, edge_mailbox};
