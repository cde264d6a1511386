//! Accepts connections and survives running out of descriptors. Knows no frame.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aldis_wire::ConnId;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};

use crate::transport::Transport;
use crate::{Handler, Io, Tls};

/// Connections that are still accepted when listening stops: as many as the kernel may hold.
const LAST_ACCEPTS_MAX: usize = 4096;

const _: () = assert!(usize::BITS >= 64, "a token holds index and generation");

/// The token of a connection's events.
pub(crate) fn token_of(conn: ConnId) -> Token {
    Token((conn.generation as usize) << 32 | conn.index as usize)
}

/// The connection of a token.
pub(crate) fn conn_of(token: Token) -> ConnId {
    ConnId { index: token.0 as u32, generation: (token.0 >> 32) as u32 }
}

/// A listening socket of one reactor.
pub(crate) struct Acceptor {
    listener: TcpListener,
    /// `None`: what is accepted is not encrypted.
    tls: Option<Arc<Tls>>,
    /// There may be connections: an event came and `WouldBlock` has not.
    ready: bool,
    /// No accepting before: a failed accept raises no further event, and trying again at once
    /// would spin.
    paused_until: Option<Instant>,
    /// The last accept failed; its beginning was logged.
    failing: bool,
}

impl Acceptor {
    /// Registers the socket.
    pub fn new(
        listener: std::net::TcpListener,
        tls: Option<Arc<Tls>>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self { listener, tls, ready: false, paused_until: None, failing: false })
    }

    /// An event came.
    pub fn handle_event(&mut self) {
        self.ready = true;
    }

    /// When `accept` has something to do; `None`: after the next event.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.ready.then(|| self.paused_until.unwrap_or(now))
    }

    /// Accepts what waits, up to so many.
    pub fn accept<H: Handler>(
        &mut self,
        count_max: usize,
        io: &mut Io,
        handler: &mut H,
        registry: &Registry,
    ) {
        if !self.ready || self.paused_until.is_some_and(|until| io.now < until) {
            return;
        }
        self.paused_until = None;
        self.accept_up_to(count_max, io, handler, registry);
    }

    /// Accepts what the kernel holds; afterwards the listener can be dropped.
    pub fn accept_last<H: Handler>(mut self, io: &mut Io, handler: &mut H, registry: &Registry) {
        self.accept_up_to(LAST_ACCEPTS_MAX, io, handler, registry);
    }

    fn accept_up_to<H: Handler>(
        &mut self,
        count_max: usize,
        io: &mut Io,
        handler: &mut H,
        registry: &Registry,
    ) {
        for _ in 0..count_max {
            let result = self.listener.accept();
            let (stream, peer) = match result {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready = false;
                    return;
                }
                Err(error) if concerns_one_connection(&error) => continue,
                Err(error) => {
                    self.pause(io, &error);
                    return;
                }
            };
            self.failing = false;
            let is_full = io.conns.len() >= io.config.connections_max;
            let has_room = !is_full && io.handshaking < io.config.handshakes_max;
            if !has_room || !handler.admits(io, peer) {
                io.counters.refused += 1;
                continue;
            }
            // It fails only for a connection that is broken already, which its first event will tell.
            let _ = stream.set_nodelay(true);
            let transport = match &self.tls {
                Some(tls) => tls.accept(stream).map(|stream| Transport::Tls(Box::new(stream))),
                None => Ok(Transport::Plain(stream)),
            };
            if let Err(error) =
                transport.and_then(|transport| open(io, handler, registry, transport, peer))
            {
                self.pause(io, &error);
                return;
            }
        }
    }

    fn pause(&mut self, io: &mut Io, error: &io::Error) {
        io.counters.accept_failures += 1;
        self.paused_until = Some(io.now + io.config.accept_pause);
        if !std::mem::replace(&mut self.failing, true) {
            log::error!("cannot accept connections, trying on: {error}");
        }
    }
}

fn open<H: Handler>(
    io: &mut Io,
    handler: &mut H,
    registry: &Registry,
    transport: Transport,
    peer: SocketAddr,
) -> io::Result<()> {
    let id = io.insert(transport);
    let Some(conn) = io.conn(id) else { return Ok(()) };
    let source = conn.transport.source();
    let both = Interest::READABLE | Interest::WRITABLE;
    if let Err(error) = registry.register(source, token_of(id), both) {
        io.remove(id);
        return Err(error);
    }
    io.counters.accepted += 1;
    if let Some(conn) = io.conn(id) {
        conn.counts = handler.counts(peer);
    }
    handler.handle_open(io, id, peer);
    Ok(())
}

/// Errors that end one waiting connection and say nothing of the next (accept(2)).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::PermissionDenied
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
    ) || error.raw_os_error() == Some(libc::EPROTO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_brings_its_connection_back() {
        for id in [
            ConnId { index: 0, generation: 1 },
            ConnId { index: u32::MAX - 2, generation: u32::MAX },
        ] {
            assert_eq!(conn_of(token_of(id)), id);
        }
    }
}
