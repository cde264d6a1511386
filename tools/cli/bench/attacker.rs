//! One attacker of `aldis bench flood`: what it is, its connection, and what it sends each time. Knows no
//! other attacker, no poll and no clock.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aldis_wire::{Command, DeviceClass, pb};
use clap::ValueEnum;
use mio::net::TcpStream;
use serde::Serialize;
use socket2::SockRef;

use super::codec::request_frame;
use super::connection::connect;
use super::login::login_frame;
use super::tokens::User;

/// Bytes of garbage at a time.
const GARBAGE_LEN: usize = 4 << 10;
/// Requests at a time of those who never read the answers.
const UNREAD_REQUESTS: usize = 200;
/// What the kernel keeps for those who never read, bytes: little, so that the rest is the server's.
const UNREAD_BUFFER_BYTES: usize = 4 << 10;
/// A header that announces the largest body that 32 bits can say.
const OVERSIZED: &[u8] = b"IM\x01\0\x10\x01\0\0\0\0\0\x01\xff\xff\xff\xff";

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Tries passwords: of users that there are and of some that there are not.
    Logins,
    /// Sends random bytes.
    Garbage,
    /// Sends a login byte by byte.
    Slowloris,
    /// Announces 4 GiB.
    Oversized,
    /// Logs in with a token, asks and asks, and never reads.
    NeverReads,
}

/// What became of a read.
pub enum Heard {
    /// So many bytes in the buffer.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The server closed.
    Closed,
}

/// See the file's first lines.
pub struct Attacker {
    /// What it does.
    pub kind: Kind,
    server: SocketAddr,
    source: Option<IpAddr>,
    /// What is sent on a connection before anything else.
    first: Vec<u8>,
    /// What is sent each time.
    payload: Vec<u8>,
    socket: Option<TcpStream>,
    /// Times that it has acted on this connection.
    acted: usize,
}

impl Attacker {
    /// One that is not connected. `user` is whom logins try, and whose account who never reads has.
    pub fn new(kind: Kind, server: SocketAddr, source: Option<IpAddr>, user: &User) -> Self {
        let wrong_login = || {
            // Every other one tries a name that nobody has, which must take as long.
            let suffix = if user.id.is_multiple_of(2) { "" } else { "-nobody" };
            request_frame(
                Command::Login,
                1,
                &pb::LoginReq {
                    username: format!("{}{suffix}", user.name),
                    password: "not the password".to_owned(),
                    device_id: user.device_id.clone(),
                    device_class: DeviceClass::Web as i32,
                    ..Default::default()
                },
            )
        };
        let (first, payload) = match kind {
            Kind::Logins | Kind::Slowloris => (Vec::new(), wrong_login()),
            Kind::Garbage => (Vec::new(), garbage()),
            Kind::Oversized => (Vec::new(), OVERSIZED.to_vec()),
            Kind::NeverReads => {
                let ask = request_frame(Command::DeviceList, 2, &pb::DeviceListReq::default());
                (login_frame(user), ask.repeat(UNREAD_REQUESTS))
            }
        };
        Self { kind, server, source, first, payload, socket: None, acted: 0 }
    }

    /// The connection, if there is one, for the poll.
    pub fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        self.socket.as_mut()
    }

    /// Begins to connect.
    pub fn connect(&mut self) -> io::Result<()> {
        let socket = connect(self.server, self.source)?;
        if self.kind == Kind::NeverReads {
            SockRef::from(&socket).set_recv_buffer_size(UNREAD_BUFFER_BYTES)?;
        }
        self.acted = 0;
        self.socket = Some(socket);
        Ok(())
    }

    /// Ends the connection; as attackers do, without a word.
    pub fn hang_up(&mut self) {
        if let Some(socket) = self.socket.take() {
            // So that no port waits for a minute. It fails on one that was never connected.
            let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Does what it does once; how many bytes the server took. An error means that it has had enough.
    pub fn act(&mut self) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Ok(0) };
        let mut written = 0;
        if self.acted == 0 && !self.first.is_empty() {
            written += write(socket, &self.first)?;
            if written < self.first.len() {
                return Ok(written);
            }
        }
        let part = match self.kind {
            Kind::Slowloris => self.payload.get(self.acted..=self.acted).unwrap_or(&[0]),
            _ => &self.payload,
        };
        written += write(socket, part)?;
        self.acted += usize::from(written > 0);
        Ok(written)
    }

    /// Reads once.
    pub fn hear(&mut self, buffer: &mut [u8]) -> Heard {
        let Some(socket) = &mut self.socket else { return Heard::Nothing };
        match socket.read(buffer) {
            Ok(0) => Heard::Closed,
            Ok(len) => Heard::Bytes(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Heard::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Heard::Nothing,
            Err(_) => Heard::Closed,
        }
    }
}

/// Writes what the socket takes now; one that is not connected yet takes nothing.
fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Ok(written) => Ok(written),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

fn garbage() -> Vec<u8> {
    let mut bytes = vec![0; GARBAGE_LEN];
    // Without random numbers zeros are garbage, too.
    let _ = getrandom::fill(&mut bytes);
    bytes
}
