//! The packet fuzzer: abuses a running server from outside and says what it does wrong. It knows the
//! protocol (aldis-wire) and nothing of the server's insides.
//!
//! - `table`: commands and their fields, from the descriptors. `values`, `generate`, `mutate`: cases at
//!   random. `recipes`: cases that reach one certain code.
//! - `parts`, `case`: what a case is. `stream`, `conn`, `world`, `sessions`, `play`: how one is played.
//! - `judge`, `pair`, `process`: the oracles. `coverage`: what was reached; `corpus`: with which cases.
//!   `means`: what can be reached.
//! - `campaign`: the run. `rush`, `again`: what a server answers only while it has much to do.
//!   `checkpoint`, `leak`: is the server as it was. `findings`, `minimise`: what becomes of a problem.
//!   `report`: what is written.
//! - `datagrams`, `rehearsal`: the same for the link between nodes.

mod again;
mod campaign;
mod case;
mod checkpoint;
mod conn;
mod corpus;
mod coverage;
mod datagrams;
mod finding;
mod findings;
mod generate;
mod judge;
mod leak;
mod means;
mod minimise;
mod mutate;
mod options;
mod pair;
mod parts;
mod play;
mod process;
mod recipes;
mod rehearsal;
mod report;
mod rush;
mod sessions;
mod stream;
mod table;
mod values;
mod world;

pub use campaign::run;
pub use finding::{Finding, Kind};
pub use options::{Options, OptionsError, TargetKind};
pub use process::Watch;
pub use report::{Report, Verdict};
