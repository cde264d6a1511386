//! A non-blocking socket with or without TLS, and what it can do now. Knows bytes, no frame.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Event as Ready;
use mio::net::TcpStream;
use rustls::ClientConnection;

/// See the file's first line.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    /// `None`: what is sent is readable on the way.
    session: Option<Box<ClientConnection>>,
    /// TCP's handshake is over.
    pub(super) is_connected: bool,
    /// TLS's too, and the core knows it.
    pub(super) is_open: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    read_closed: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes, at least 1.
    Bytes(usize),
    /// Nothing is there now.
    Nothing,
    /// The server closed.
    End,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, session: Option<ClientConnection>) -> Self {
        Self {
            stream,
            session: session.map(Box::new),
            is_connected: false,
            is_open: false,
            readable: false,
            writable: false,
            read_closed: false,
        }
    }

    /// The poll reported something.
    pub(super) fn handle_ready(&mut self, ready: &Ready) {
        self.readable |= ready.is_readable() || ready.is_read_closed() || ready.is_error();
        self.writable |= ready.is_writable() || ready.is_write_closed() || ready.is_error();
        self.read_closed |= ready.is_read_closed() || ready.is_error();
    }

    /// Reads what fits into `scratch`.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> io::Result<Received> {
        let Some(session) = &mut self.session else {
            let received = read_some(&mut self.stream, scratch)?;
            self.readable = match received {
                // A short read leaves nothing behind, unless the end itself is waiting there.
                Received::Bytes(count) => count == scratch.len() || self.read_closed,
                Received::Nothing | Received::End => false,
            };
            return Ok(received);
        };
        loop {
            match read_some(&mut session.reader(), scratch)? {
                Received::Nothing => {}
                received => return Ok(received),
            }
            match session.read_tls(&mut self.stream) {
                Ok(0) => return Ok(Received::End),
                Ok(_) => {
                    let read = session.process_new_packets();
                    read.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what fits of `bytes` and writes what it can; 0: there is no room now.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else {
            return match write_some(&mut self.stream, bytes)? {
                Some(count) => Ok(count),
                None => {
                    self.writable = false;
                    Ok(0)
                }
            };
        };
        let count = session.writer().write(bytes)?;
        self.flush()?;
        Ok(count)
    }

    /// Writes what TLS holds back.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while self.writable && session.wants_write() {
            match session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the two sides have not agreed on keys yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// Whether TLS holds something back.
    pub(super) fn has_output(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.wants_write())
    }
}

fn read_some(from: &mut impl Read, scratch: &mut [u8]) -> io::Result<Received> {
    loop {
        match from.read(scratch) {
            Ok(0) => return Ok(Received::End),
            Ok(count) => return Ok(Received::Bytes(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // TLS: the connection ended without a word. Frames have lengths, so nothing is lost.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Received::End),
            Err(error) => return Err(error),
        }
    }
}

/// `None`: there is no room now.
fn write_some(to: &mut impl Write, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        match to.write(bytes) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
