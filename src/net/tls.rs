//! TLS between a socket and the frames, by rustls's API without buffers: an idle connection owns
//! its keys and nothing else. Knows records, no frame; certificates are the business of whoever
//! makes the configuration.
//!
//! Reading: records are read into the second half of the reactor's scratch buffer and their
//! contents gathered in the first; only an incomplete record stays with the connection. Writing:
//! what is offered is encrypted and written at once; records that do not fit stay here, and the
//! bytes in them count as not taken until the last record has left, so that the queue of the
//! connection still says how far behind its reader is.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

use crate::transport::{Received, Written, read_socket, write_socket};

/// Bytes of frames that are encrypted at a time: four records of the largest size. It bounds what a
/// reader that stops reading makes us keep besides its queue.
const ENCRYPTED_BYTES_MAX: usize = 64 << 10;
/// Bytes that a record has more than its contents: header, tag, content type; and an explicit nonce
/// in TLS 1.2 (RFC 8446 5.2, RFC 5288 3).
const RECORD_OVERHEAD: usize = 5 + 16 + 8 + 1;
/// Contents of the largest record (RFC 8446 5.1).
const RECORD_CONTENT_MAX: usize = 16 << 10;

/// What new connections are encrypted with; it can be replaced while the reactors run.
#[derive(Debug)]
pub struct Tls {
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// With this certificate and these rules.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { config: RwLock::new(config) }
    }

    /// Connections that are accepted from now on get another configuration.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.config.write() = config;
    }

    /// A connection that was just accepted.
    pub(crate) fn accept(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let config = self.config.read().clone();
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        Ok(TlsStream { socket, session, received: Vec::new(), records: Vec::new(), held: 0 })
    }
}

/// See the file's first line.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: UnbufferedServerConnection,
    /// The beginning of a record.
    received: Vec<u8>,
    /// Records that did not fit into the socket.
    records: Vec<u8>,
    /// Bytes of frames in `records`.
    held: usize,
}

/// What records were for.
#[derive(Default)]
struct Opened {
    /// Bytes of frames.
    len: usize,
    /// The peer closed its side.
    is_end: bool,
}

impl TlsStream {
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub fn wants_write(&self) -> bool {
        !self.records.is_empty()
    }

    /// See `Transport::read`.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<Received> {
        let (plain, cipher) = scratch.split_at_mut(scratch.len() / 2);
        let kept = self.received.len();
        let Some((front, room)) = cipher.split_at_mut_checked(kept) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record without end"));
        };
        front.copy_from_slice(&self.received);
        let (len, drained) = match read_socket(&mut self.socket, room)? {
            Received::Bytes { len, drained } => (len, drained),
            other => return Ok(other),
        };
        let mut rest = cipher.get_mut(..kept + len).unwrap_or_default();
        let opened = match self.open(&mut rest, plain) {
            Ok(opened) => opened,
            Err(error) => {
                // The peer is told why; if it does not fit, it is not.
                let _ = self.flush();
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        keep(&mut self.received, rest);
        Ok(match opened {
            Opened { len: 0, is_end: true } => Received::End,
            Opened { len: 0, is_end: false } => Received::Internal { taken: len, drained },
            // The end is found by the next read.
            Opened { len, .. } => Received::Bytes { len, drained },
        })
    }

    /// Opens the records of `rest`, which holds what is left of them afterwards.
    fn open(&mut self, rest: &mut &mut [u8], plain: &mut [u8]) -> Result<Opened, rustls::Error> {
        let mut opened = Opened::default();
        let mut failed = None;
        loop {
            // After an error there may be an alert to send.
            let bytes = if failed.is_some() { &mut [][..] } else { &mut **rest };
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(bytes);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let end = opened.len + record.payload.len();
                        // There is: content is shorter than its record.
                        let Some(room) = plain.get_mut(opened.len..end) else {
                            return Err(rustls::Error::General("more content than records".into()));
                        };
                        room.copy_from_slice(record.payload);
                        opened.len = end;
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append_handshake(&mut self.records, &mut data)?;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    opened.is_end = true;
                    false
                }
                // Early data is not offered.
                Ok(_) => false,
                Err(error) => match failed {
                    Some(_) => false,
                    None => {
                        failed = Some(error);
                        true
                    }
                },
            };
            let all = std::mem::take(rest);
            *rest = all.get_mut(discard..).unwrap_or_default();
            if !goes_on {
                return failed.map_or(Ok(opened), Err);
            }
        }
    }

    /// See `Transport::write`.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Written> {
        if self.held == 0 {
            self.seal(slices)?;
        }
        self.flush()?;
        if !self.records.is_empty() {
            return Ok(Written { len: 0, full: true });
        }
        let len = std::mem::take(&mut self.held);
        // Before the keys are agreed on nothing is taken.
        Ok(Written { len, full: len == 0 && !slices.is_empty() })
    }

    /// Encrypts the front of `slices`.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let Self { session, records, held, .. } = self;
        with_traffic(session, records, |traffic, records| {
            for slice in slices {
                let len = slice.len().min(ENCRYPTED_BYTES_MAX - *held);
                let expected = len + RECORD_OVERHEAD * len.div_ceil(RECORD_CONTENT_MAX);
                append(records, expected, |out| {
                    let front = slice.get(..len).unwrap_or(slice);
                    size_of_encrypted(traffic.encrypt(front, out))
                })?;
                *held += len;
                if *held == ENCRYPTED_BYTES_MAX {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Writes what waits.
    fn flush(&mut self) -> io::Result<()> {
        while !self.records.is_empty() {
            let slice = [IoSlice::new(&self.records)];
            let Written { len, full } = write_socket(&mut self.socket, &slice, self.records.len())?;
            if !full {
                self.records = Vec::new();
            } else {
                self.records.drain(..len);
                self.records.shrink_to_fit();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Says so to the peer, whose TLS would take the end of the connection for an attack. If there is
    /// no room for it, the end says it alone.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        let Self { session, records, .. } = self;
        let said = with_traffic(session, records, |traffic, records| {
            append(records, RECORD_OVERHEAD, |out| {
                size_of_encrypted(traffic.queue_close_notify(out))
            })
        });
        said.and_then(|()| self.flush())?;
        self.socket.shutdown(Shutdown::Write)
    }
}

/// Calls `act` if frames may be written by now; records that must go before are put there first.
fn with_traffic(
    session: &mut UnbufferedServerConnection,
    records: &mut Vec<u8>,
    act: impl FnOnce(
        &mut WriteTraffic<'_, ServerConnectionData>,
        &mut Vec<u8>,
    ) -> Result<(), rustls::Error>,
) -> io::Result<()> {
    loop {
        let result = match session.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                return act(&mut traffic, records).map_err(io::Error::other);
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => append_handshake(records, &mut data),
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(())
            }
            // The handshake goes on with the next read.
            Ok(_) => return Ok(()),
            Err(error) => Err(error),
        };
        result.map_err(io::Error::other)?;
    }
}

/// Appends what `encode` writes, of which `expected` is the length as far as it is known. It is asked
/// again with the size that it wants.
fn append(
    records: &mut Vec<u8>,
    expected: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), rustls::Error> {
    let start = records.len();
    let mut room = expected;
    loop {
        records.resize(start + room, 0);
        match encode(records.get_mut(start..).unwrap_or_default()) {
            Ok(len) => {
                records.truncate(start + len);
                return Ok(());
            }
            Err(Some(required)) if required > room => room = required,
            Err(_) => {
                records.truncate(start);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

fn append_handshake(
    records: &mut Vec<u8>,
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
) -> Result<(), rustls::Error> {
    append(records, 0, |out| match data.encode(out) {
        Ok(len) => Ok(len),
        Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    })
}

fn size_of_encrypted(result: Result<usize, EncryptError>) -> Result<usize, Option<usize>> {
    result.map_err(|error| match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    })
}

/// Keeps the beginning of a record, with no more memory than that.
fn keep(received: &mut Vec<u8>, rest: &[u8]) {
    if rest.is_empty() {
        *received = Vec::new();
    } else {
        received.clear();
        received.extend_from_slice(rest);
    }
}
