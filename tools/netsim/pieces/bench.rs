//! One piece alone in a link, for the pieces' tests: what goes in at which times, what comes out.

use std::net::SocketAddr;

use crate::datagram::{Datagram, Ecn, UDP_HEADERS};
use crate::network::Network;
use crate::piece::Piece;
use crate::record::{Fate, Record};

/// Source of what the bench sends.
pub const BENCH_FROM: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 1);
const BENCH_TO: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 2);
const PAYLOAD_BYTES: usize = 72;
/// Wire bytes of what the bench sends.
pub const BENCH_WIRE_BYTES: u64 = PAYLOAD_BYTES as u64 + UDP_HEADERS as u64;

/// One datagram that came out.
#[derive(Debug)]
pub struct Arrival {
    /// When it was sent, ns, as its contents say.
    pub sent_ns: u64,
    /// When it came out, ns.
    pub at_ns: u64,
    /// Its source.
    pub from: SocketAddr,
    /// Its mark.
    pub ecn: Option<Ecn>,
    /// Its size.
    pub wire_bytes: u64,
    /// Its contents are as they were sent.
    pub is_intact: bool,
}

/// A network whose only link has one piece.
pub struct Bench {
    network: Network,
    ecn: Option<Ecn>,
}

impl Bench {
    /// Around a piece.
    pub fn new(piece: impl Piece + 'static) -> Self {
        let mut network = Network::new(42);
        let link = network.add_link(vec![Box::new(piece)]);
        network.route(BENCH_FROM, BENCH_TO, link);
        Self { network, ecn: None }
    }

    /// Sends datagrams that can be marked.
    pub fn with_ecn(mut self, ecn: Option<Ecn>) -> Self {
        self.ecn = ecn;
        self
    }

    /// Sends one datagram at each of these times and waits until all is quiet.
    pub fn run(&mut self, sent_ns: impl IntoIterator<Item = u64>) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for now_ns in sent_ns {
            self.drain(now_ns, &mut arrivals);
            let bytes = now_ns.to_le_bytes().repeat(PAYLOAD_BYTES / 8);
            let datagram = Datagram::udp(BENCH_FROM, BENCH_TO, bytes);
            self.network.send(now_ns, Datagram { ecn: self.ecn, ..datagram });
        }
        self.drain(u64::MAX, &mut arrivals);
        arrivals
    }

    /// The stories of all datagrams.
    pub fn records(&self) -> &[Record] {
        self.network.records()
    }

    /// How many runs of lost datagrams there were, and how many datagrams were lost.
    pub fn runs_of_loss(&self) -> (usize, usize) {
        let is_lost = |record: &Record| matches!(record.fate, Fate::Dropped(_));
        let lost: Vec<_> = self.records().iter().map(is_lost).collect();
        let begins = lost.windows(2).filter(|two| !two[0] && two[1]).count();
        (begins + usize::from(lost[0]), lost.iter().filter(|lost| **lost).count())
    }

    fn drain(&mut self, until_ns: u64, arrivals: &mut Vec<Arrival>) {
        while let Some(at_ns) = self.network.next_at_ns().filter(|at_ns| *at_ns <= until_ns) {
            while let Some(datagram) = self.network.poll(at_ns) {
                let mut first = [0; 8];
                let count = datagram.bytes.len().min(8);
                first[..count].copy_from_slice(&datagram.bytes[..count]);
                let is_intact = datagram.bytes == first.repeat(PAYLOAD_BYTES / 8);
                arrivals.push(Arrival {
                    sent_ns: u64::from_le_bytes(first),
                    at_ns,
                    from: datagram.from,
                    ecn: datagram.ecn,
                    wire_bytes: datagram.wire_bytes(),
                    is_intact,
                });
            }
        }
    }
}
