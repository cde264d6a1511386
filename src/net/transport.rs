//! What lies between a socket and the frames. Knows bytes, not what they mean.
//!
//! Each kind of transport is a variant here; the rest of the reactor sees `read`, `write` and
//! `shutdown_write` only. A transport that holds bytes back (TLS records) says through `drained`,
//! `full` and `wants_write` whether another call could do more.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;

use crate::tls::TlsStream;

/// A connection's way to its peer.
pub(crate) enum Transport {
    /// The frames' bytes as they are.
    Plain(TcpStream),
    /// The same, encrypted. In a box: it is larger than all else that a connection has.
    Tls(Box<TlsStream>),
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Bytes of frames, now at the front of the buffer.
    Bytes {
        /// At least 1.
        len: usize,
        /// Nothing is left: wait for the next event.
        drained: bool,
    },
    /// The transport took bytes that are none of the frames'.
    Internal {
        /// Bytes of the socket, at least 1.
        taken: usize,
        /// As above.
        drained: bool,
    },
    /// Nothing is there now.
    Nothing,
    /// The peer will send nothing more.
    End,
}

/// What a write took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Bytes that need not be offered again.
    pub len: usize,
    /// No room is left: wait for the next event.
    pub full: bool,
}

impl Transport {
    /// The socket, for registering it.
    pub fn source(&mut self) -> &mut TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => stream.socket(),
        }
    }

    /// Reads about `limit` bytes into the front of `scratch`, which is the whole scratch buffer of
    /// the reactor: a transport may use the rest of it.
    pub fn read(&mut self, scratch: &mut [u8], limit: usize) -> io::Result<Received> {
        match self {
            Transport::Plain(stream) => {
                let limit = limit.min(scratch.len());
                read_socket(stream, scratch.get_mut(..limit).unwrap_or_default())
            }
            Transport::Tls(stream) => stream.read(scratch),
        }
    }

    /// Writes what fits of `slices`, which are `total` bytes. What is not taken must stand at the
    /// front of the next write.
    pub fn write(&mut self, slices: &[IoSlice<'_>], total: usize) -> io::Result<Written> {
        match self {
            Transport::Plain(stream) => write_socket(stream, slices, total),
            Transport::Tls(stream) => stream.write(slices),
        }
    }

    /// Whether there is something to write although no frame waits.
    pub fn wants_write(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.wants_write(),
        }
    }

    /// Whether the two sides have not agreed on keys yet.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.is_handshaking(),
        }
    }

    /// Tells the peer that nothing more will be written.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(stream) => stream.shutdown(Shutdown::Write),
            Transport::Tls(stream) => stream.shutdown_write(),
        }
    }
}

/// Reads what fits.
pub(crate) fn read_socket(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Ok(Received::End),
            // A short read took all there was; what comes later raises an event of its own.
            Ok(len) => return Ok(Received::Bytes { len, drained: len < buffer.len() }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Received::Nothing);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Writes what fits of `slices`, which are `total` bytes.
pub(crate) fn write_socket(
    stream: &mut TcpStream,
    slices: &[IoSlice<'_>],
    total: usize,
) -> io::Result<Written> {
    loop {
        let result = match slices {
            [single] => stream.write(single),
            _ => stream.write_vectored(slices),
        };
        match result {
            // After a short write the kernel raises an event when there is room again.
            Ok(len) => return Ok(Written { len, full: len < total }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Written { len: 0, full: true });
            }
            Err(error) => return Err(error),
        }
    }
}
