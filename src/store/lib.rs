//! Durable storage: the traits, their backends and the loops that drive them. Knows no connection,
//! no session and no routing; it answers the jobs of `aldis_logic::job`.

mod found;
mod group;
mod lists;
pub mod memory;
pub mod mysql;
mod page;
mod reader_loop;
mod recent;
mod record;
mod refusal;
mod rules;
mod search;
mod secrets;
mod sight;
mod snowflake;
pub mod sqlite;
mod stays;
mod stored_hash;
mod traits;
mod writer_loop;

pub use reader_loop::run_reader;
pub use snowflake::{CLOCK_BEHIND_MS_MAX, ClockError, MSG_ID_EPOCH_MS, NODE_MAX, Snowflake};
pub use traits::{
    Boot, Committed, Fenced, Reader, SeedUsers, SigningKey, Store, StoreError, Writer,
};
pub use writer_loop::{
    BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, BATCH_ROWS_MAX, Batcher, MAINTAIN_INTERVAL, run_writer,
};
