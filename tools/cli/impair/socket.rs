//! UDP sockets of relays: opened, read and written without blocking. Knows no link.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

/// The largest datagram that UDP carries.
pub const DATAGRAM_BYTES_MAX: usize = 65_536;
/// Datagrams read from one socket before the others have their turn.
pub const READS_PER_TURN_MAX: usize = 128;
/// Room in the kernel for bursts that arrive while the relay does something else, bytes; the kernel
/// may give less.
const KERNEL_BUFFER_BYTES: usize = 4 << 20;

/// A socket that listens.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // A small buffer only loses more.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// What a read gave.
pub enum Received {
    /// A datagram of so many bytes.
    Datagram(usize, SocketAddr),
    /// Nothing now.
    Empty,
    /// An earlier datagram did not arrive; there may be more to read.
    Unreached,
}

/// Reads one datagram.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        return match socket.recv_from(buffer) {
            Ok((len, from)) => Ok(Received::Datagram(len, from)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(Received::Empty),
                io::ErrorKind::Interrupted => continue,
                // What ICMP said of something that was sent: nobody listens there.
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => Ok(Received::Unreached),
                _ => Err(error),
            },
        };
    }
}
