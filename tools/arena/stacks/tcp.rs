//! TCP of smoltcp with CUBIC: one connection for each flow, no Nagle, its own delayed
//! acknowledgements. Its datagrams are IP packets, so that no lower headers are added.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use aldis_netsim::Datagram;
use bytes::Bytes;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::framing::{PREFIX_BYTES, Unframer, prefix};
use super::{Pair, Setting};
use crate::end::{Deliver, End, Outgoing};

/// Bytes of an IP packet.
const MTU_BYTES: usize = 1_500;
/// Send and receive buffer of a connection among many, bytes: seconds of its share of messages.
const BUFFER_BYTES_SHARED: usize = 1 << 20;
/// The same of a connection that has the link to itself: 1 Gbit/s at 60 ms.
const BUFFER_BYTES_ALONE: usize = 8 << 20;
/// Port of the first flow.
const PORT_FIRST: u16 = 10_000;

/// The network device that smoltcp believes to have.
#[derive(Default)]
struct Wire {
    arrived: VecDeque<Vec<u8>>,
    to_send: VecDeque<Vec<u8>>,
}

struct Arrived(Vec<u8>);
struct ToSend<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(Arrived, ToSend<'_>)> {
        let packet = self.arrived.pop_front()?;
        Some((Arrived(packet), ToSend(&mut self.to_send)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<ToSend<'_>> {
        Some(ToSend(&mut self.to_send))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU_BYTES;
        capabilities
    }
}

struct TcpEnd {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    unframers: Vec<Unframer>,
    delivered: VecDeque<Bytes>,
    addresses: (SocketAddr, SocketAddr),
    is_client: bool,
}

/// Both ends.
pub fn ends(setting: Setting) -> Pair {
    (Box::new(TcpEnd::new(setting, true)), Box::new(TcpEnd::new(setting, false)))
}

impl TcpEnd {
    fn new(setting: Setting, is_client: bool) -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = setting.seed ^ u64::from(is_client);
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        let (client, server) = setting.addresses;
        let own = if is_client { client } else { server };
        interface.update_ip_addrs(|addresses| {
            let own = IpCidr::new(address(own), 16);
            addresses.push(own).expect("there is room for one address");
        });
        let is_alone = setting.flow_count == 1;
        let bytes = if is_alone { BUFFER_BYTES_ALONE } else { BUFFER_BYTES_SHARED };
        let mut sockets = SocketSet::new(Vec::new());
        let mut handles = Vec::new();
        for flow in 0..setting.flow_count {
            let buffer = || SocketBuffer::new(vec![0; bytes]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_congestion_control(CongestionControl::Cubic);
            socket.set_nagle_enabled(false);
            if !is_client {
                socket.listen(port(flow)).expect("a new socket listens");
            }
            handles.push(sockets.add(socket));
        }
        Self {
            interface,
            wire,
            sockets,
            unframers: handles.iter().map(|_| Unframer::default()).collect(),
            handles,
            delivered: VecDeque::new(),
            addresses: setting.addresses,
            is_client,
        }
    }

    fn turn(&mut self, now_ns: u64) {
        let now = instant(now_ns);
        loop {
            self.interface.poll(now, &mut self.wire, &mut self.sockets);
            // Taking bytes out opens windows, which are told at once.
            if !self.receive() {
                break;
            }
        }
    }

    fn receive(&mut self) -> bool {
        let mut is_any = false;
        for (handle, unframer) in self.handles.iter().zip(&mut self.unframers) {
            let socket = self.sockets.get_mut::<Socket<'_>>(*handle);
            while socket.can_recv() {
                is_any = true;
                let taken = socket.recv(|bytes| {
                    unframer.extend(bytes);
                    (bytes.len(), ())
                });
                taken.expect("a socket that can receive");
                self.delivered.extend(std::iter::from_fn(|| unframer.poll()));
            }
        }
        is_any
    }
}

fn address(host: SocketAddr) -> IpAddress {
    match host.ip() {
        IpAddr::V4(address) => IpAddress::Ipv4(address),
        IpAddr::V6(_) => unreachable!("hosts of the arena have IPv4 addresses"),
    }
}

fn port(flow: u32) -> u16 {
    PORT_FIRST + u16::try_from(flow).expect("flows are few")
}

fn instant(now_ns: u64) -> Instant {
    Instant::from_micros(i64::try_from(now_ns / 1_000).expect("a run is short"))
}

impl End for TcpEnd {
    fn connect(&mut self, now_ns: u64) {
        let remote = address(self.addresses.1);
        for (flow, handle) in (0..).zip(&self.handles) {
            let socket = self.sockets.get_mut::<Socket<'_>>(*handle);
            let local = port(flow) + 10_000;
            socket
                .connect(self.interface.context(), (remote, port(flow)), local)
                .expect("a new socket connects");
        }
        self.turn(now_ns);
    }

    fn is_ready(&self) -> bool {
        let is_up = |socket: &Socket<'_>| socket.state() == State::Established;
        self.handles.iter().all(|handle| is_up(self.sockets.get(*handle)))
    }

    fn send(&mut self, now_ns: u64, flow: u32, message: &Bytes) -> bool {
        let index = flow as usize % self.handles.len();
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handles[index]);
        if socket.send_capacity() - socket.send_queue() < PREFIX_BYTES + message.len() {
            return false;
        }
        for part in [&prefix(message)[..], message] {
            let taken = socket.send_slice(part).unwrap_or_default();
            debug_assert_eq!(taken, part.len(), "there is room");
        }
        self.turn(now_ns);
        true
    }

    fn handle_datagram(&mut self, now_ns: u64, datagram: Datagram) {
        self.wire.arrived.push_back(datagram.bytes);
        self.turn(now_ns);
    }

    fn handle_timeout(&mut self, now_ns: u64) {
        self.turn(now_ns);
    }

    fn poll_timeout(&mut self, now_ns: u64) -> Option<u64> {
        let at = self.interface.poll_at(instant(now_ns), &self.sockets)?;
        // Its clock counts microseconds: what is due within this one is due after it.
        let at_ns = u64::try_from(at.total_micros()).unwrap_or_default() * 1_000;
        Some(at_ns.max(now_ns + 1_000))
    }

    fn poll_transmit(&mut self, _now_ns: u64) -> Option<Outgoing> {
        let bytes = self.wire.to_send.pop_front()?;
        Some(Outgoing { bytes, ecn: None, headers: 0 })
    }

    fn poll_messages(&mut self, _now_ns: u64, deliver: Deliver<'_>) {
        self.delivered.drain(..).for_each(|message| deliver(&message));
    }

    fn fault(&self) -> Option<String> {
        let is_broken = |socket: &Socket<'_>| socket.state() == State::Closed;
        let broken = self.handles.iter().any(|handle| is_broken(self.sockets.get(*handle)));
        // The client's sockets are closed only before it connects.
        (self.is_client && broken).then(|| "a connection was closed".into())
    }
}
