//! The core on real sockets: a blocking client, and the connection it is made of.

mod calls;
mod client;
mod connection;
mod conversations;
mod gateway;
mod socket;
mod tls;

pub use calls::Conversation;
pub use client::{Client, ClientConfig, ClientError, Waker};
pub use connection::Connection;
pub use gateway::{ask_gateway, is_gateway};
pub use tls::{Tls, TlsOptions};
