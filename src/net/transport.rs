//! What lies between a socket and the frames. Knows bytes, not what they mean.
//!
//! Each kind of transport is a variant here; the rest of the reactor sees `read`, `write` and
//! `shutdown_write` only. A transport that holds bytes back (TLS records, WebSocket frames) says
//! through `drained` and `full` whether another call could do more.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;

/// A connection's way to its peer.
pub(crate) enum Transport {
    /// The frames' bytes as they are.
    Plain(TcpStream),
}

/// What a read brought.
pub(crate) struct Received {
    /// Bytes now in the buffer; 0: the peer will send nothing more.
    pub len: usize,
    /// Nothing is left: wait for the next event.
    pub drained: bool,
}

/// What a write took.
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
        }
    }

    /// Reads what fits; `None`: nothing is there now.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let Transport::Plain(stream) = self;
        loop {
            match stream.read(buffer) {
                // A short read took all there was; what comes later raises an event of its own.
                Ok(len) => return Ok(Some(Received { len, drained: len < buffer.len() })),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what fits of `slices`, which are `total` bytes.
    pub fn write(&mut self, slices: &[IoSlice<'_>], total: usize) -> io::Result<Written> {
        let Transport::Plain(stream) = self;
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

    /// Tells the peer that nothing more will be written.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}
