//! A driver over real sockets: how an endpoint is run, and what it carries on loopback. Knows the
//! endpoint by its public API only.
//!
//! `cargo run --release -p aldis-rudp --example loopback -- [seconds] [bytes per message] [plain]`

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aldis_rudp::{
    BootId, ClusterKey, ClusterKeys, Config, Ecn, Endpoint, Event, Flow, Mode, NodeId, PeerId, Time,
};
use bytes::Bytes;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes of one buffer for received datagrams that the kernel joined.
const RECEIVE_BYTES: usize = 64 << 10;
/// Bytes of the kernel's buffers; a burst must not be lost before it is read.
const SOCKET_BYTES: usize = 4 << 20;

/// An endpoint on a socket.
struct Driver {
    endpoint: Endpoint,
    socket: UdpSocket,
    state: UdpSocketState,
    began: Instant,
    out: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    /// Filled, but the socket had no room.
    refused: Option<aldis_rudp::Transmit>,
}

impl Driver {
    fn new(mut config: Config, began: Instant) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let sock_ref = UdpSockRef::from(&socket);
        let state = UdpSocketState::new(sock_ref)?;
        state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BYTES)?;
        state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BYTES)?;
        config.segments_max = state.max_gso_segments();
        let seed = [config.node.0 as u8; 32];
        let endpoint = Endpoint::new(Arc::new(config), seed);
        let buffers = vec![vec![0; RECEIVE_BYTES]; BATCH_SIZE];
        Ok(Self { endpoint, socket, state, began, out: Vec::new(), buffers, refused: None })
    }

    fn now(&self) -> Time {
        Time(self.began.elapsed().as_nanos() as u64)
    }

    /// Reads all that came; nothing is done about deadlines before, or late acknowledgements would
    /// look like losses.
    fn receive(&mut self) -> io::Result<()> {
        loop {
            let mut slices: Vec<IoSliceMut<'_>> =
                self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let socket = UdpSockRef::from(&self.socket);
            let count = match self.state.recv(socket, &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let now = Time(self.began.elapsed().as_nanos() as u64);
            for (buffer, meta) in self.buffers.iter_mut().zip(&metas).take(count) {
                let ecn = meta.ecn.map(|ecn| match ecn {
                    EcnCodepoint::Ect0 => Ecn::Ect0,
                    EcnCodepoint::Ect1 => Ecn::Ect1,
                    EcnCodepoint::Ce => Ecn::Ce,
                });
                for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                    self.endpoint.handle_datagram(now, meta.addr, ecn, datagram);
                }
            }
        }
    }

    /// Sends all that is due, as far as the socket has room.
    fn transmit(&mut self) -> io::Result<()> {
        loop {
            let now = self.now();
            let next = self.refused.take();
            let next = next.or_else(|| self.endpoint.poll_transmit(now, &mut self.out));
            let Some(transmit) = next else { return Ok(()) };
            let datagrams = Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn.map(|_| EcnCodepoint::Ect0),
                contents: &self.out,
                segment_size: transmit.segment_size,
                src_ip: None,
            };
            match self.state.try_send(UdpSockRef::from(&self.socket), &datagrams) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.refused = Some(transmit);
                    return Ok(());
                }
                // A datagram that could not be sent is a lost one.
                Err(_) => {}
            }
        }
    }

    /// Waits for datagrams or the next deadline, at most so long.
    fn wait(&self, longest: Duration) -> io::Result<()> {
        let deadline = self.endpoint.poll_timeout().unwrap_or(Time(u64::MAX));
        let wait = deadline.since(self.now()).min(longest);
        let timeout =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut wanted = PollFlags::IN;
        wanted.set(PollFlags::OUT, self.refused.is_some());
        poll(&mut [PollFd::new(&self.socket, wanted)], Some(&timeout))?;
        Ok(())
    }

    /// One turn of the loop: input, deadlines, output.
    fn turn(&mut self) -> io::Result<()> {
        self.wait(Duration::from_millis(10))?;
        self.receive()?;
        let now = self.now();
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        self.transmit()
    }
}

fn config(node: u16, is_plain: bool) -> Config {
    let current = ClusterKey { id: 0, secret: [7; 32] };
    let keys = ClusterKeys { current, other: None };
    let mode = if is_plain { Mode::Plain } else { Mode::Sealed(keys) };
    let mut config = Config::new(NodeId(node), BootId(u64::from(node)), mode);
    // Loopback carries what one UDP datagram can hold.
    config.datagram_bytes_max = 16_000;
    config
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |index: usize, default: u64| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (seconds, len) = (number(1, 3), number(2, 64 << 10) as usize);
    let is_plain = arguments.iter().any(|text| text == "plain");
    let began = Instant::now();
    let mut sender = Driver::new(config(1, is_plain), began)?;
    let mut receiver = Driver::new(config(2, is_plain), began)?;
    let address: SocketAddr = receiver.socket.local_addr()?;
    let end = Duration::from_secs(seconds);
    let receiving = thread::spawn(move || -> io::Result<(u64, u64)> {
        let (mut messages, mut bytes) = (0, 0);
        while began.elapsed() < end {
            receiver.turn()?;
            while let Some(event) = receiver.endpoint.poll_event() {
                if let Event::Message { message, .. } = event {
                    messages += 1;
                    bytes += message.len() as u64;
                }
            }
            receiver.transmit()?;
        }
        Ok((messages, bytes))
    });
    let message = Bytes::from(vec![1; len]);
    sender.endpoint.connect(sender.now(), NodeId(2), address).expect("an empty endpoint");
    sender.transmit()?;
    let mut connected: Option<PeerId> = None;
    while began.elapsed() < end {
        while let Some(event) = sender.endpoint.poll_event() {
            if let Event::Connected { peer, .. } = event {
                connected = Some(peer);
            }
        }
        if let Some(peer) = connected {
            let now = sender.now();
            while sender.endpoint.send(now, peer, Flow::Unordered, message.clone()).is_ok() {}
            sender.transmit()?;
        }
        sender.turn()?;
    }
    let stats = connected.and_then(|peer| sender.endpoint.stats(peer));
    let (messages, bytes) = receiving.join().expect("the receiver does not panic")?;
    println!(
        "{} messages/s, {:.2} Gbit/s; {stats:?}",
        messages / seconds,
        bytes as f64 * 8.0 / 1e9 / seconds as f64
    );
    Ok(())
}
