//! The UDP socket of the link: datagrams in and out, many with one system call. Knows no session and
//! no byte of what it carries.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use aldis_rudp::{Ecn, Transmit};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};

/// Bytes that the kernel keeps for us in each direction: 20 ms of a 1 Gbit/s link.
const BUFFER_BYTES: usize = 4 << 20;
/// Largest UDP payload, as the kernel may join several datagrams of one sender.
const JOINED_BYTES_MAX: usize = 65_535;
/// Calls of one turn, each for a batch; what is left waits for the next turn.
const CALLS_MAX: usize = 16;
/// Datagrams that one call may hand to the kernel to be cut up.
const SEGMENTS_MAX: usize = 32;

/// See the file's first line.
pub struct LinkSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl LinkSocket {
    /// Bound to an address; port 0 takes a free one.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        crate::sys::drop_receive_times(&socket)?;
        // The kernel may give less; what it drops is repeated.
        let _ = state.set_recv_buffer_size((&socket).into(), BUFFER_BYTES);
        let _ = state.set_send_buffer_size((&socket).into(), BUFFER_BYTES);
        let address = socket.local_addr()?;
        let bytes = if state.gro_segments() > 1 { JOINED_BYTES_MAX } else { 2_048 };
        Ok(Self { socket, state, address, buffer: vec![0; bytes * BATCH_SIZE] })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Datagrams that may be handed over together.
    pub fn segments_max(&self) -> usize {
        self.state.max_gso_segments().clamp(1, SEGMENTS_MAX)
    }

    /// Raises events when datagrams come and when there is room again.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&self.socket.as_raw_fd()), token, interest)
    }

    /// Hands all datagrams that came to `take`, up to a turn's budget. True: there may be more.
    pub fn receive(
        &mut self,
        mut take: impl FnMut(SocketAddr, Option<Ecn>, &mut [u8]),
    ) -> io::Result<bool> {
        let each = self.buffer.len() / BATCH_SIZE;
        for _ in 0..CALLS_MAX {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let received = {
                let mut chunks = self.buffer.chunks_exact_mut(each).map(IoSliceMut::new);
                let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                    std::array::from_fn(|_| chunks.next().expect("a chunk for each of a batch"));
                self.state.recv((&self.socket).into(), &mut slices, &mut metas)
            };
            let count = match received {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for (meta, chunk) in metas.iter().zip(self.buffer.chunks_exact_mut(each)).take(count) {
                let joined = &mut chunk[..meta.len];
                let ecn = meta.ecn.map(from_codepoint);
                for datagram in joined.chunks_mut(meta.stride.max(1)) {
                    take(meta.addr, ecn, datagram);
                }
            }
            if count < BATCH_SIZE {
                // The queue was empty when the call ended: what came since raises an event.
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends what `poll_transmit` gave. False: there is no room, try again when an event says so.
    /// What the kernel refuses otherwise is lost, as datagrams are.
    pub fn send(&self, transmit: &Transmit, contents: &[u8]) -> bool {
        match transmit.segment_size {
            // The path of the first ones was found not to cut up anything.
            Some(size) if self.state.max_gso_segments() == 1 => {
                self.send_one_by_one(transmit, contents, size)
            }
            _ => self.send_at_once(transmit, contents),
        }
    }

    /// What was sent before there was no room any more is sent again with the rest, and dropped there
    /// as a repetition.
    fn send_one_by_one(&self, transmit: &Transmit, contents: &[u8], size: usize) -> bool {
        let alone = Transmit { segment_size: None, ..*transmit };
        contents.chunks(size.max(1)).all(|datagram| self.send_at_once(&alone, datagram))
    }

    fn send_at_once(&self, transmit: &Transmit, contents: &[u8]) -> bool {
        let datagram = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.map(to_codepoint),
            contents,
            segment_size: transmit.segment_size,
            src_ip: None,
        };
        match self.state.try_send((&self.socket).into(), &datagram) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                // Probes for a larger MTU are meant to fail at some size.
                if !quinn_udp::is_msg_size_err(&error) {
                    log::debug!("cannot send to {}: {error}", transmit.destination);
                }
                true
            }
        }
    }
}

fn from_codepoint(ecn: EcnCodepoint) -> Ecn {
    match ecn {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

fn to_codepoint(ecn: Ecn) -> EcnCodepoint {
    match ecn {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_one_call_arrive_one_by_one() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (from, mut to) = (LinkSocket::bind(any).unwrap(), LinkSocket::bind(any).unwrap());
        let contents: Vec<u8> = (0..250).collect();
        let segment_size = (from.segments_max() >= 3).then_some(100);
        let destination = to.address();
        let sent = Transmit { destination, segment_size, ecn: Some(Ecn::Ect0) };
        assert!(from.send(&sent, &contents));
        expect(&from, &mut to, &contents, segment_size.unwrap_or(250));
        assert!(from.send_one_by_one(&sent, &contents, 100));
        expect(&from, &mut to, &contents, 100);
    }

    /// The content arrives, in datagrams of this length and one with the rest.
    fn expect(from: &LinkSocket, to: &mut LinkSocket, contents: &[u8], size: usize) {
        let mut received: Vec<(usize, Option<Ecn>)> = Vec::new();
        let mut bytes = Vec::new();
        while bytes.len() < contents.len() {
            to.receive(|address, ecn, datagram| {
                assert_eq!(address, from.address());
                received.push((datagram.len(), ecn));
                bytes.extend_from_slice(datagram);
            })
            .unwrap();
        }
        assert_eq!(bytes, contents);
        let lens: Vec<usize> = received.iter().map(|(len, _)| *len).collect();
        assert_eq!(lens, contents.chunks(size).map(<[u8]>::len).collect::<Vec<_>>());
        assert!(received.iter().all(|(_, ecn)| *ecn == Some(Ecn::Ect0)), "{received:?}");
    }
}
