//! Who is online where, across nodes: the Directory trait and its backends. It is a hint that makes
//! things fast; the store decides. Knows no connection and no message.

mod desk;
mod ledger;
mod memory;
mod redis;
mod traits;
mod worker;

pub use desk::{Desk, DirectoryOutput, Lookup, MAINTAIN_INTERVAL_MS};
pub use ledger::Ledger;
pub use memory::MemoryDirectory;
pub use redis::{OptionsError, RedisDirectory, RedisOptions, UrlFault};
pub use traits::{
    ANNOUNCE_INTERVAL_MS, Away, Conflict, Directory, LEASE_MS, NodeAnnouncement, NodeRecord,
    Sessions,
};
pub use worker::{BATCH_JOBS_MAX, DirectoryJobs, run_directory};
