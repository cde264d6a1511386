//! The sending half of a session: what waits, what is under way, what is lost, and how fast to go.

pub(crate) mod acked;
pub(crate) mod flows;
pub(crate) mod mtu;
pub(crate) mod outbox;
pub(crate) mod pacer;
pub(crate) mod parts;
pub(crate) mod probe;
pub(crate) mod rack;
pub(crate) mod rate;
pub(crate) mod rtt;
pub(crate) mod sent;
