//! Sans-IO messaging logic: sessions, handlers, fan-out. No sockets, files, threads, clock or
//! randomness of its own: the same code runs in the server and in the simulation.

mod acts;
mod addresses;
mod api;
mod aside;
mod bucket;
mod check_times;
mod class;
pub mod cluster;
mod credits;
mod effect;
mod entry;
mod fanout;
mod handlers;
mod hold_back;
pub mod job;
mod memory;
mod node;
mod notice;
mod now;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod presence;
mod rates;
mod replies;
mod request;
pub mod search;
mod service;
mod session;
mod streams;
mod table;
mod throttle;
mod token;

pub use addresses::AddressLimits;
pub use api::{ApiEffect, ApiLogin, ApiRequest, ApiService};
pub use bucket::{Bucket, Rate};
pub use check_times::HeadCheckTimes;
pub use credits::{CreditLimits, Credits};
pub use effect::{Admit, Effect, Goodbye, Lane, PeerMail};
pub use entry::message_data;
pub use fanout::{Delivery, Moved, Target, fan_out};
pub use memory::{Memory, MemoryLevel};
pub use node::{Alarms, DirectMessages, LinkUse, MessageTimes, Node, NodeConfig, Outages};
pub use notice::{Notice, NoticeMail};
pub use now::Now;
pub use presence::Hints;
pub use rates::Rates;
pub use request::Refusal;
pub use service::Service;
pub use streams::{StreamEntry, StreamTable};
pub use table::{Entered, Online, SessionTable};
pub use throttle::{Attempt, AttemptKey, AttemptRule, AttemptRules, Throttle};
pub use token::{Claims, Keyring, KeyringError, SignError, SigningKey, TokenError};
