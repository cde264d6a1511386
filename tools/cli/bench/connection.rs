//! One socket of the generator: connecting, one read and one write per turn. Knows frames only as
//! bytes, and nothing of what they are for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use aldis_wire::HEADER_LEN;
use mio::net::TcpStream;
use rustls::ClientConnection;
use socket2::{Domain, Protocol, Socket, Type};

use super::channel::{Channel, Taken, TlsChannel};

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
        /// The socket may hold more.
        more: bool,
    },
    /// Nothing to read now.
    Empty,
    /// The peer closed.
    Eof,
}

/// One socket and the bytes that wait on either side of it.
pub struct Connection {
    channel: Channel,
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
    /// Begins to connect, with TLS if there is a session; `number` counts the connections of this
    /// process and picks the source address where the server is on the loopback network.
    pub fn start(
        server: SocketAddr,
        number: usize,
        tls: Option<ClientConnection>,
    ) -> io::Result<Self> {
        let socket = connect(server, source_address(server, number))?;
        let channel = match tls {
            Some(session) => Channel::Tls(Box::new(TlsChannel { socket, session })),
            None => Channel::Plain(socket),
        };
        Ok(Self {
            channel,
            tail: Vec::new(),
            out: Vec::new(),
            written: 0,
            blocked: true,
            was_active: false,
        })
    }

    /// For the registration with the poll, once.
    pub fn stream_mut(&mut self) -> &mut TcpStream {
        self.channel.socket_mut()
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
        match self.channel.socket_mut().take_error()? {
            Some(error) => Err(error),
            None => self.channel.pump(),
        }
    }

    /// One write of all that waits.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.wants_write() {
            let Some(len) = self.channel.write(&self.out[self.written..])? else {
                self.blocked = true;
                break;
            };
            self.was_active = true;
            self.written += len;
            // TLS may take less than the socket would.
            let is_plain = matches!(self.channel, Channel::Plain(_));
            self.blocked = is_plain && self.written < self.out.len();
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
                self.out.shrink_to(KEPT_BUFFER_BYTES_MAX);
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
        Ok(match self.channel.read(&mut scratch[start..end])? {
            Taken::End => ReadOutcome::Eof,
            Taken::Nothing => ReadOutcome::Empty,
            Taken::Bytes { len, drained } => ReadOutcome::Data { len: start + len, more: !drained },
        })
    }

    /// Keeps the incomplete frame at the end of a read.
    pub fn keep_tail(&mut self, rest: &[u8]) {
        self.tail.clear();
        self.tail.shrink_to(KEPT_BUFFER_BYTES_MAX);
        self.tail.extend_from_slice(rest);
    }
}

/// Begins to connect, from this address if one is given.
pub fn connect(server: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&server.into()) {
        Ok(()) => {}
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
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
