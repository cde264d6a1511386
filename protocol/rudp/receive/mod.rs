//! The receiving half of a session: which packets came, when to say so, which messages are complete.

pub(crate) mod ack_timing;
pub(crate) mod arrivals;
pub(crate) mod inbox;
pub(crate) mod overtaking;
pub(crate) mod reassembly;
pub(crate) mod replay;
pub(crate) mod seen;
