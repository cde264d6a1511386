//! Between a socket of the generator and its frames: nothing, or TLS. Knows bytes, no frame.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use rustls::ClientConnection;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Bytes of frames; there may be more if not `drained`.
    Bytes {
        /// At least 1.
        len: usize,
        /// Nothing is left: wait for the next event.
        drained: bool,
    },
    /// Nothing to read now.
    Nothing,
    /// The peer closed.
    End,
}

/// A way to the server.
pub enum Channel {
    /// The bytes as they are.
    Plain(TcpStream),
    /// The same, encrypted.
    Tls(Box<TlsChannel>),
}

/// A socket and the session on it.
pub struct TlsChannel {
    /// To the server.
    pub socket: TcpStream,
    /// With the server.
    pub session: ClientConnection,
}

impl Channel {
    /// For the registration with the poll.
    pub fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Channel::Plain(socket) => socket,
            Channel::Tls(channel) => &mut channel.socket,
        }
    }

    /// Reads into `room`, which is not empty.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<Taken> {
        match self {
            Channel::Plain(socket) => match retried(|| socket.read(room))? {
                None => Ok(Taken::Nothing),
                Some(0) => Ok(Taken::End),
                Some(len) => Ok(Taken::Bytes { len, drained: len < room.len() }),
            },
            Channel::Tls(channel) => channel.read(room),
        }
    }

    /// Writes what the socket takes; `None`: nothing before the next event.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Channel::Plain(socket) => retried(|| socket.write(bytes)),
            Channel::Tls(channel) => channel.write(bytes),
        }
    }

    /// Writes what the channel itself has to say or still holds.
    pub fn pump(&mut self) -> io::Result<()> {
        match self {
            Channel::Plain(_) => Ok(()),
            Channel::Tls(channel) => channel.pump(),
        }
    }
}

impl TlsChannel {
    fn read(&mut self, room: &mut [u8]) -> io::Result<Taken> {
        let mut len = 0;
        let drained = loop {
            match self.receive()? {
                None => break true,
                Some(0) if len == 0 => return Ok(Taken::End),
                Some(0) => break false,
                Some(_) => {}
            }
            match self.session.reader().read(&mut room[len..]) {
                Ok(more) => len += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if len == room.len() {
                break false;
            }
        };
        Ok(if len > 0 { Taken::Bytes { len, drained } } else { Taken::Nothing })
    }

    /// Reads the socket once and answers what asks for an answer; `Some(0)`: the end, or the server
    /// said good-bye; `None`: nothing is there. Contents that did not fit into the room of the last read come first.
    pub fn receive(&mut self) -> io::Result<Option<usize>> {
        if self.session.wants_read() || self.session.is_handshaking() {
            let Self { socket, session } = self;
            let read = retried(|| session.read_tls(socket))?;
            if read.is_none_or(|len| len == 0) {
                return Ok(read);
            }
        }
        let result = self.session.process_new_packets();
        // An alert tells the server what was wrong.
        self.pump()?;
        let state = result.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let is_end = state.peer_has_closed() && state.plaintext_bytes_to_read() == 0;
        Ok(Some(usize::from(!is_end)))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.pump()?;
        if self.session.wants_write() {
            return Ok(None);
        }
        let len = self.session.writer().write(bytes)?;
        self.pump()?;
        Ok((len > 0).then_some(len))
    }

    /// See [`Channel::pump`].
    pub fn pump(&mut self) -> io::Result<()> {
        let Self { socket, session } = self;
        while session.wants_write() {
            if retried(|| session.write_tls(socket))?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// `None`: it would have to wait.
fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        return match call() {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}
