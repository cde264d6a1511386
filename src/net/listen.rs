//! Opens listening sockets, one per reactor on the same address. Knows no connection.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes before a reactor accepts them: a reconnect storm must fit
/// between two turns. The kernel lowers it to net.core.somaxconn.
const BACKLOG: i32 = 4096;
/// Bytes of a connection that the kernel takes and has not sent (tcp(7), TCP_NOTSENT_LOWAT): enough
/// to keep any line full until the reactor's next turn. Without it, who asks and never reads fills
/// up to 4 MiB of the kernel's memory before the limits of output see that it does not read.
const NOT_SENT_BYTES: u32 = 64 << 10;

/// Listening sockets on one address, among which the kernel spreads the connections.
#[derive(Debug)]
pub struct Listeners {
    /// One for each reactor.
    pub sockets: Vec<TcpListener>,
    /// Where they listen; with the actual port if port 0 was asked for.
    pub address: SocketAddr,
}

/// Opens `count` listening sockets on `address`. Port 0 takes a free port, the same for all.
///
/// Fails with `AddrInUse` if somebody else listens there, also if that is another process of ours:
/// SO_REUSEPORT alone would silently share its connections.
pub fn listen(address: SocketAddr, count: usize) -> io::Result<Listeners> {
    if address.port() != 0 {
        new_socket(address)?.bind(&address.into())?;
    }
    let mut sockets: Vec<TcpListener> = Vec::with_capacity(count);
    let mut actual = address;
    for _ in 0..count {
        let socket = new_socket(address)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        // What it accepts inherits this.
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
        socket.bind(&actual.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        actual = listener.local_addr()?;
        sockets.push(listener);
    }
    Ok(Listeners { sockets, address: actual })
}

/// A socket that may take the address of connections which are only waiting to be forgotten.
fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_sockets_share_one_free_port() {
        let listeners = listen("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(listeners.sockets.len(), 3);
        assert_ne!(listeners.address.port(), 0);
        for socket in &listeners.sockets {
            assert_eq!(socket.local_addr().unwrap(), listeners.address);
        }
    }

    #[test]
    fn an_address_where_somebody_listens_is_refused() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let error = listen(first.address, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
