//! A relay for UDP between two fixed ends, as for the link between two nodes: each end sees the
//! other at one address of the relay, whoever speaks first. Knows no impairment.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::relay::Relay;
use super::settings::{Cut, Way};
use super::socket::{self, DATAGRAM_BYTES_MAX, READS_PER_TURN_MAX, Received};
use super::ways::{Arrival, FlowId, Ways};

/// All traffic of a pair is one flow.
const FLOW: FlowId = FlowId { index: 0, generation: 0 };

/// One end of the pair.
struct End {
    /// Where it is; datagrams from elsewhere are refused.
    peer: SocketAddr,
    /// Its view of the other end.
    socket: UdpSocket,
    is_ready: bool,
}

impl End {
    fn new(
        registry: &Registry,
        token: Token,
        listen: SocketAddr,
        peer: SocketAddr,
    ) -> io::Result<Self> {
        let mut socket = socket::bind(listen)?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self { peer, socket, is_ready: false })
    }
}

/// See the file's first lines.
pub struct PairRelay {
    /// a, then b.
    ends: [End; 2],
    buffer: Vec<u8>,
}

/// Where one end is, and where the relay listens for it.
#[derive(Clone, Copy, Debug)]
pub struct EndAddresses {
    /// Of the end itself.
    pub peer: SocketAddr,
    /// Of the relay, as this end sees it: in place of the other end.
    pub listen: SocketAddr,
}

impl PairRelay {
    /// A relay that listens for both.
    pub fn new(registry: &Registry, a: EndAddresses, b: EndAddresses) -> io::Result<Self> {
        let a = End::new(registry, Token(0), a.listen, a.peer)?;
        let b = End::new(registry, Token(1), b.listen, b.peer)?;
        Ok(Self { ends: [a, b], buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Where a, then b send to.
    pub fn addresses(&self) -> io::Result<[SocketAddr; 2]> {
        Ok([self.ends[0].socket.local_addr()?, self.ends[1].socket.local_addr()?])
    }
}

impl Relay for PairRelay {
    fn handle_event(&mut self, token: Token) {
        if let Some(end) = self.ends.get_mut(token.0) {
            end.is_ready = true;
        }
    }

    fn receive(&mut self, _: &Registry, ways: &mut Ways, now_ns: u64) -> io::Result<()> {
        for (end, [way, back]) in
            self.ends.iter_mut().zip([[Way::Up, Way::Down], [Way::Down, Way::Up]])
        {
            for _ in 0..READS_PER_TURN_MAX {
                if !end.is_ready {
                    break;
                }
                match socket::receive(&end.socket, &mut self.buffer)? {
                    Received::Datagram(len, from) if from == end.peer => {
                        ways.enter(now_ns, way, FLOW, self.buffer[..len].to_vec());
                    }
                    Received::Datagram(..) => ways.tally(way).refused += 1,
                    Received::Unreached => ways.tally(back).unsent += 1,
                    Received::Empty => end.is_ready = false,
                }
            }
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ends.iter().any(|end| end.is_ready)
    }

    fn deliver(&mut self, ways: &mut Ways, arrival: Arrival, _now_ns: u64) {
        let [a, b] = &self.ends;
        let end = if arrival.way == Way::Up { b } else { a };
        let sent = end.socket.send_to(&arrival.bytes, end.peer);
        ways.tally(arrival.way).note_sent(sent);
    }

    fn handle_change(&mut self, _ways: &mut Ways, _cuts: &[Cut]) {}
}
