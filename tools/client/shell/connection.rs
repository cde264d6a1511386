//! One core on one non-blocking socket of somebody's poll. Owns the socket and its readiness; does
//! not wait. The blocking client uses one, an event loop with thousands of users many.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};

use mio::event::Event as Ready;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::gateway::{ask_gateway, is_gateway};
use super::socket::{Received, Socket};
use super::tls::Tls;
use crate::core::{Core, LinkAction};
use crate::recorder::Recorder;

/// Bytes read in one `pump` before others get their turn and events are taken.
const READ_BYTES_PER_PUMP: usize = 1 << 20;
/// Link actions in one `pump`: a close and a connect and a few more, so that a server that closes
/// at once cannot keep us in the loop.
const ACTIONS_PER_PUMP: usize = 8;

/// See the file's first line.
#[derive(Debug)]
pub struct Connection {
    core: Core,
    /// At least one.
    servers: Vec<String>,
    token: Token,
    tls: Option<Tls>,
    socket: Option<Socket>,
    recorder: Option<Recorder>,
    connect_count: usize,
    last_error: Option<io::Error>,
}

impl Connection {
    /// A connection at rest to `server` (`host:port`, or the `http://host:port` of a gateway, which is
    /// asked for a node before each connection), known to the poll as `token`.
    pub fn new(core: Core, server: &str, token: Token, recorder: Option<Recorder>) -> Self {
        let servers = vec![server.to_owned()];
        Self {
            core,
            servers,
            token,
            tls: None,
            socket: None,
            recorder,
            connect_count: 0,
            last_error: None,
        }
    }

    /// Connections from now on are encrypted.
    pub fn set_tls(&mut self, tls: Tls) {
        self.tls = Some(tls);
    }

    /// A further server of the same installation: each connection goes to the next one in turn.
    pub fn add_server(&mut self, server: &str) {
        self.servers.push(server.to_owned());
    }

    /// Leaves the connection as if the network had cut it.
    pub fn cut(&mut self, now: u64) {
        self.fail(now, None);
    }

    /// The client's protocol state. Call `pump` after changing it.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The same, to be changed.
    pub fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    /// The recorder, if there is one.
    pub fn recorder_mut(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// Why the last connection ended or did not open, if the operating system said.
    pub fn last_error(&self) -> Option<&io::Error> {
        self.last_error.as_ref()
    }

    /// The poll reported something about this connection's token.
    pub fn handle_ready(&mut self, ready: &Ready) {
        if let Some(socket) = &mut self.socket {
            socket.handle_ready(ready);
        }
    }

    /// Does all that can be done now without waiting. Returns whether there is more to do at once
    /// (a budget was used up); then the caller takes events and pumps again. `scratch` is the read
    /// buffer, shared by all connections of a thread. Errors are those of the recorder.
    pub fn pump(&mut self, registry: &Registry, now: u64, scratch: &mut [u8]) -> io::Result<bool> {
        if self.core.poll_timeout().is_some_and(|at| at <= now) {
            self.core.handle_timeout(now);
        }
        self.do_actions(registry, now);
        self.finish_connect(now);
        let more = self.read(now, scratch);
        self.tell_connected(now);
        self.record()?;
        self.write(now)?;
        self.do_actions(registry, now);
        self.record()?;
        Ok(more)
    }

    fn do_actions(&mut self, registry: &Registry, now: u64) {
        for _ in 0..ACTIONS_PER_PUMP {
            match self.core.poll_link() {
                None => return,
                Some(LinkAction::Close) => self.close_socket(registry),
                Some(LinkAction::Connect { to }) => {
                    self.close_socket(registry);
                    match self.open_socket(registry, to.as_deref()) {
                        Ok(socket) => self.socket = Some(socket),
                        Err(error) => self.fail(now, Some(error)),
                    }
                }
            }
        }
    }

    /// Resolving a name waits for the resolver, and a gateway for its answer; an address does not.
    fn open_socket(&mut self, registry: &Registry, to: Option<&str>) -> io::Result<Socket> {
        let round = self.connect_count / self.servers.len();
        let in_turn = self.servers.get(self.connect_count % self.servers.len());
        self.connect_count = self.connect_count.wrapping_add(1);
        let server = to.or(in_turn.map(String::as_str)).expect("there is at least one server");
        let asked = if is_gateway(server) { Some(ask_gateway(server)?) } else { None };
        let server = asked.as_deref().unwrap_or(server);
        let addresses: Vec<SocketAddr> = server.to_socket_addrs()?.collect();
        // A name with several addresses: another one at each try.
        let index = round % addresses.len().max(1);
        let no_address = || io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
        let address = *addresses.get(index).ok_or_else(no_address)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.set_node(address.to_string());
        }
        let session = self.tls.as_ref().map(|tls| tls.session(server)).transpose()?;
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Socket::new(stream, session))
    }

    fn close_socket(&mut self, registry: &Registry) {
        if let Some(mut socket) = self.socket.take() {
            // Closing removes it from the poll anyway, so a failure here changes nothing.
            let _ = registry.deregister(&mut socket.stream);
        }
    }

    fn finish_connect(&mut self, now: u64) {
        let Some(socket) = &mut self.socket else { return };
        if socket.is_connected || !socket.writable {
            return;
        }
        match socket.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return self.fail(now, Some(error)),
        }
        match socket.stream.peer_addr() {
            Ok(_) => {
                socket.is_connected = true;
                // Without it the kernel would hold small frames back; a failure costs latency only.
                let _ = socket.stream.set_nodelay(true);
                self.tell_connected(now);
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => socket.writable = false,
            Err(error) => self.fail(now, Some(error)),
        }
    }

    /// A connection whose TLS fails is one that did not open.
    fn tell_connected(&mut self, now: u64) {
        let Some(socket) = &mut self.socket else { return };
        if socket.is_connected && !socket.is_open && !socket.is_handshaking() {
            socket.is_open = true;
            self.core.handle_connected(now);
        }
    }

    /// Returns whether the budget ended it.
    fn read(&mut self, now: u64, scratch: &mut [u8]) -> bool {
        let mut total_bytes = 0;
        while total_bytes < READ_BYTES_PER_PUMP {
            let Some(socket) = &mut self.socket else { return false };
            if !socket.is_connected || !socket.readable {
                return false;
            }
            match socket.read(scratch) {
                Ok(Received::Bytes(count)) => {
                    total_bytes += count;
                    self.tell_connected(now);
                    self.core.handle_bytes(now, scratch.get(..count).unwrap_or_default());
                }
                Ok(Received::Nothing) => {}
                Ok(Received::End) => {
                    self.fail(now, None);
                    return false;
                }
                Err(error) => {
                    self.fail(now, Some(error));
                    return false;
                }
            }
        }
        true
    }

    fn write(&mut self, now: u64) -> io::Result<()> {
        loop {
            let Some(socket) = self.socket.as_mut().filter(|s| s.is_connected && s.writable) else {
                return Ok(());
            };
            if let Err(error) = socket.flush() {
                self.fail(now, Some(error));
                return Ok(());
            }
            if !socket.writable || !socket.is_open || self.core.poll_transmit(now).is_empty() {
                return Ok(());
            }
            // What goes out is recorded before it can have an effect.
            if let Some(recorder) = &mut self.recorder {
                record(&mut self.core, recorder)?;
            }
            match socket.write(self.core.poll_transmit(now)) {
                Ok(count) => self.core.handle_transmitted(count),
                Err(error) => {
                    self.fail(now, Some(error));
                    return Ok(());
                }
            }
        }
    }

    /// Whether something waits to be written.
    pub fn has_output(&self) -> bool {
        self.core.has_output() || self.socket.as_ref().is_some_and(Socket::has_output)
    }

    fn fail(&mut self, now: u64, error: Option<io::Error>) {
        if let Some(error) = &error {
            log::debug!("connection to {}: {error}", self.servers.join(" or "));
        }
        self.last_error = error;
        self.socket = None;
        self.core.handle_disconnected(now);
    }

    fn record(&mut self) -> io::Result<()> {
        match &mut self.recorder {
            Some(recorder) => record(&mut self.core, recorder),
            None => Ok(()),
        }
    }
}

fn record(core: &mut Core, recorder: &mut Recorder) -> io::Result<()> {
    let mut wrote = false;
    while let Some(observation) = core.poll_observation() {
        recorder.record(&observation)?;
        wrote = true;
    }
    if wrote { recorder.flush() } else { Ok(()) }
}
