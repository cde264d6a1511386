//! Client library of Aldis: what every client must do, once. Knows the wire, not the server.
//!
//! - [`core`] is the protocol without I/O: it is handed bytes and the time and hands out bytes,
//!   deadlines and events. It holds the client's rule (see `tools/client/vectors`), resends what
//!   was not answered, reconnects with backoff and sends heartbeats.
//! - [`shell`] drives one core over one TCP connection, blocking or from an event loop.
//! - [`recorder`] writes what a client did and saw as JSON lines for `aldis check`.

pub mod core;
pub mod recorder;
pub mod shell;

pub use crate::core::{Config, Core, Event, SavedState, Start, Target, Via};
pub use crate::shell::{Client, ClientConfig, ClientError};
