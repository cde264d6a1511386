//! A connection to the server as bytes, with or without TLS. Never waits longer than it is told, and
//! reads while it cannot write: a server that is not read stops reading. Knows no frame.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aldis_client::shell::Tls;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConnection;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Time in which a server that still serves reads some more.
const WRITE_MAX: Duration = Duration::from_secs(20);
/// Bytes of one read.
const CHUNK_BYTES: usize = 64 << 10;

/// Where the server is, and how one is sure of it.
#[derive(Clone, Debug)]
pub struct Target {
    /// As named by whoever runs this.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// `None`: what is sent is readable on the way.
    pub tls: Option<Tls>,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    is_over: bool,
}

impl Stream {
    /// Connects. `source` spreads connections to loopback over 127/8: one address has too few ports.
    pub fn connect(target: &Target, source: u16) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address(target.address), Type::STREAM, Some(Protocol::TCP))?;
        if target.address.ip() == Ipv4Addr::LOCALHOST {
            let [high, low] = source.to_be_bytes();
            let from = SocketAddr::from(([127, 1 + high % 100, low, 1], 0));
            socket.bind(&from.into())?;
        }
        socket.connect_timeout(&target.address.into(), CONNECT_MAX)?;
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        let tls = target.tls.as_ref().map(|tls| tls.session(&target.name)).transpose()?;
        let mut stream = Self { tcp, tls: tls.map(Box::new), is_over: false };
        stream.shake_hands()?;
        Ok(stream)
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + CONNECT_MAX;
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.flush_tls(deadline)?;
            let mut nothing = Vec::new();
            if !self.receive(&mut nothing)? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            if self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) && !self.wants_write() {
                self.wait(true, false, Duration::from_millis(100))?;
            }
        }
        self.flush_tls(deadline)
    }

    fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    fn flush_tls(&mut self, deadline: Instant) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            match tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    self.wait(false, true, Duration::from_millis(100))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends all bytes; what arrives meanwhile goes to `inbox`.
    pub fn send(&mut self, mut bytes: &[u8], inbox: &mut Vec<u8>) -> io::Result<()> {
        let deadline = Instant::now() + WRITE_MAX;
        while !bytes.is_empty() {
            let written = match &mut self.tls {
                Some(tls) => tls.writer().write(bytes),
                None => self.tcp.write(bytes),
            };
            match written {
                Ok(0) => {}
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.receive(inbox)?;
                    self.wait(true, true, Duration::from_millis(100))?;
                    if Instant::now() >= deadline {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
            self.flush_tls(deadline)?;
        }
        Ok(())
    }

    /// Appends what is there; false: the server has closed.
    pub fn receive(&mut self, inbox: &mut Vec<u8>) -> io::Result<bool> {
        let mut chunk = [0; CHUNK_BYTES];
        while !self.is_over {
            let read = match &mut self.tls {
                None => self.tcp.read(&mut chunk),
                Some(tls) => match tls.reader().read(&mut chunk) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        match tls.read_tls(&mut self.tcp) {
                            Ok(0) => Ok(0),
                            Ok(_) => {
                                let read = tls.process_new_packets();
                                read.map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
                                continue;
                            }
                            Err(error) => Err(error),
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                    read => read,
                },
            };
            match read {
                Ok(0) => self.is_over = true,
                Ok(count) => inbox.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.is_over = true;
                    return Err(error);
                }
            }
        }
        Ok(!self.is_over)
    }

    /// Waits until something can be done, or the time is over.
    pub fn wait(&self, reads: bool, writes: bool, time: Duration) -> io::Result<()> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads);
        flags.set(PollFlags::OUT, writes);
        let timeout =
            Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        match poll(&mut [PollFd::new(&self.tcp, flags)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the sending side.
    pub fn half_close(&mut self) {
        let _ = self.tcp.shutdown(std::net::Shutdown::Write);
    }

    /// Ends with a reset, which leaves no port waiting behind.
    pub fn reset(self) {
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }
}
