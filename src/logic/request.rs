//! A request while it is handled, and how it is refused.

use aldis_wire::{Code, Command, ConnId, Message};

use crate::job::{JobError, ReactorId, Ticket};

/// A request that is being handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub conn: ConnId,
    pub command: Command,
    pub seq: u32,
    pub body: &'a [u8],
}

impl Request<'_> {
    /// For its jobs.
    pub fn ticket(&self, reactor: ReactorId) -> Ticket {
        let bytes = self.body.len() as u32;
        Ticket { reactor, conn: self.conn, request: self.seq, command: self.command, bytes }
    }

    /// The body as its message.
    pub fn decode<M: Message + Default>(&self) -> Result<M, Refusal> {
        M::decode(self.body).map_err(|_| Refusal::new(Code::BadRequest, "the body does not decode"))
    }
}

/// Why a request is answered with another code than OK, right away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the response.
    pub code: Code,
    /// For people.
    pub message: &'static str,
    /// How long to wait before another try; 0 where nothing is said about it.
    pub retry_after_ms: u32,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: &'static str) -> Self {
        Self { code, message, retry_after_ms: 0 }
    }
}

impl From<JobError> for Refusal {
    fn from(error: JobError) -> Self {
        Self::new(error.code(), error.message())
    }
}
