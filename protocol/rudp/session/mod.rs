//! What makes datagrams belong to a session: protection, and the handshake before it.

pub(crate) mod cookie;
pub(crate) mod seal;
