//! The reactor: connections, frames in and out, mailboxes, deadlines. Knows no session, no store.
//!
//! One [`Reactor`] is run by one thread and tells its [`Handler`] what happens; the handler answers
//! through [`Io`]. Other threads reach a reactor by its mailbox only.
//!
//! - `reactor`: one turn after the other: poll, accept, mails, input, deadlines, flush.
//! - `acceptor`, `listen`: new connections. `mailbox`: what other threads say.
//! - `input`, `tail`: bytes to frames. `output`, `flush`: frames to bytes.
//! - `conn`, `timer`: what a connection is, and until when.
//! - `transport`: what lies between socket and frames; `tls`: one kind of it.

mod acceptor;
mod config;
mod conn;
mod counters;
mod flush;
mod handler;
// They take frames apart, whose lengths may lie: an index that is wrong would end the process.
#[deny(clippy::indexing_slicing)]
mod input;
mod io;
mod listen;
mod mailbox;
mod output;
mod reactor;
mod share;
#[deny(clippy::indexing_slicing)]
mod tail;
mod timer;
#[deny(clippy::indexing_slicing)]
mod tls;
#[deny(clippy::indexing_slicing)]
mod transport;

pub use aldis_wire::ConnId;
pub use config::Config;
pub use counters::Counters;
pub use handler::{Admit, CloseReason, Handler, Lane, Sent};
pub use io::Io;
pub use listen::{Listeners, listen};
pub use mailbox::{MailLimits, MailReceiver, MailSender, mailbox};
pub use reactor::Reactor;
pub use tls::Tls;
