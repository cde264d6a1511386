//! One socket of the generator: connecting, one read and one write per turn. Knows frames only as
//! bytes, and nothing of what they are for.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use aldis_wire::HEADER_LEN;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections from one source address: below the 28,000 ports that Linux hands out by default.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 20_000;
/// Read at most so much of one connection per turn, so that all get their turn, bytes.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// Buffers that grew past this are given back when empty, bytes.
const KEPT_BUFFER_BYTES_MAX: usize = 16 << 10;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// So many bytes in the scratch buffer, tail included; `more` may be waiting.
    Data {
        /// Valid bytes.
        len: usize,
        /// The read filled all room, so the socket may hold more.
        more: bool,
    },
    /// Nothing to read now.
    Empty,
    /// The peer closed.
    Eof,
}

/// One socket and the bytes that wait on either side of it.
pub struct Connection {
    stream: TcpStream,
    /// Incomplete frame of the last read.
    tail: Vec<u8>,
    /// Frames to write.
    out: Vec<u8>,
    /// Bytes of `out` already written.
    written: usize,
    /// The last write was cut short; wait for the socket.
    blocked: bool,
    /// Something was written since this was last reset.
    pub was_active: bool,
}

impl Connection {
    /// Begins to connect; `number` counts the connections of this process and picks the source
    /// address where the server is on the loopback network.
    pub fn start(server: SocketAddr, number: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = source_address(server, number) {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&server.into()) {
            Ok(()) => {}
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            stream: TcpStream::from_std(socket.into()),
            tail: Vec::new(),
            out: Vec::new(),
            written: 0,
            blocked: true,
            was_active: false,
        })
    }

    /// For the registration with the poll, once.
    pub fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Where frames to send are appended.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether bytes wait and the socket takes them as far as known.
    pub fn wants_write(&self) -> bool {
        !self.blocked && !self.out.is_empty()
    }

    /// The socket reported room. Returns the error of a failed connect.
    pub fn handle_writable(&mut self) -> io::Result<()> {
        self.blocked = false;
        match self.stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// One write of all that waits.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.wants_write() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(len) => {
                    self.was_active = true;
                    self.written += len;
                    self.blocked = self.written < self.out.len();
                    if !self.blocked {
                        self.out.clear();
                        self.written = 0;
                        self.out.shrink_to(KEPT_BUFFER_BYTES_MAX);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One read into `scratch`, behind the tail of the last one. The caller hands what it did not
    /// use back with `keep_tail`.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<ReadOutcome> {
        let start = self.tail.len();
        scratch[..start].copy_from_slice(&self.tail);
        let end = scratch.len().min(start + READ_BYTES_MAX);
        loop {
            return match self.stream.read(&mut scratch[start..end]) {
                Ok(0) => Ok(ReadOutcome::Eof),
                Ok(len) => Ok(ReadOutcome::Data { len: start + len, more: start + len == end }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(ReadOutcome::Empty),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Keeps the incomplete frame at the end of a read.
    pub fn keep_tail(&mut self, rest: &[u8]) {
        self.tail.clear();
        self.tail.shrink_to(KEPT_BUFFER_BYTES_MAX);
        self.tail.extend_from_slice(rest);
    }
}

/// Room a scratch buffer needs: the largest incomplete frame and one read.
pub fn scratch_len(body_bytes_max: usize) -> usize {
    HEADER_LEN + body_bytes_max + READ_BYTES_MAX
}

/// Another 127.0.0.x for every `CONNECTIONS_PER_ADDRESS_MAX` connections; the first ones, and
/// those to other networks, take what the kernel gives.
fn source_address(server: SocketAddr, number: usize) -> Option<IpAddr> {
    let IpAddr::V4(address) = server.ip() else { return None };
    let block = u8::try_from(number / CONNECTIONS_PER_ADDRESS_MAX).ok()?;
    let last = block.checked_add(1).filter(|last| *last > 1)?;
    address.is_loopback().then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_to_loopback_take_more_source_addresses() {
        let server: SocketAddr = "127.0.0.1:7700".parse().unwrap();
        assert_eq!(source_address(server, 0), None);
        assert_eq!(source_address(server, 19_999), None);
        assert_eq!(source_address(server, 20_000), Some("127.0.0.2".parse().unwrap()));
        assert_eq!(source_address(server, 45_000), Some("127.0.0.3".parse().unwrap()));
        assert_eq!(source_address("10.0.0.1:7700".parse().unwrap(), 20_000), None);
    }
}
