//! One end of one transport, as the arena drives it: datagrams, time and messages go in; datagrams,
//! deadlines and messages come out. Knows no transport and no link.

use bytes::Bytes;

use aldis_netsim::{Datagram, Ecn};

/// A datagram that an end wants to send to its peer.
#[derive(Debug)]
pub struct Outgoing {
    /// Payload, without the lower headers.
    pub bytes: Vec<u8>,
    /// Congestion notification.
    pub ecn: Option<Ecn>,
    /// Bytes of lower headers that are not part of `bytes`.
    pub headers: u16,
}

/// Takes messages as they are delivered.
pub type Deliver<'a> = &'a mut dyn FnMut(&[u8]);

/// One end. Times are ns since the beginning of the run and never run backwards.
pub trait End {
    /// Begins to connect; called once, at the client.
    fn connect(&mut self, now_ns: u64);

    /// Messages can be sent.
    fn is_ready(&self) -> bool;

    /// Takes a message, or refuses it for now because too much is waiting.
    fn send(&mut self, now_ns: u64, flow: u32, message: &Bytes) -> bool;

    /// Takes a datagram from the peer.
    fn handle_datagram(&mut self, now_ns: u64, datagram: Datagram);

    /// Is told that its deadline is over.
    fn handle_timeout(&mut self, now_ns: u64);

    /// The next deadline. Asked after everything was taken out.
    fn poll_timeout(&mut self, now_ns: u64) -> Option<u64>;

    /// The next datagram to send.
    fn poll_transmit(&mut self, now_ns: u64) -> Option<Outgoing>;

    /// Hands over all messages that have arrived since.
    fn poll_messages(&mut self, now_ns: u64, deliver: Deliver<'_>);

    /// Why it cannot go on, if so.
    fn fault(&self) -> Option<String>;
}
