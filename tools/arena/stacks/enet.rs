//! ENet: reliable packets, a channel for each flow, flushed after every send. It has no deadline
//! that could be asked for, so that it is called every millisecond, the resolution of its clock.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use aldis_netsim::{Datagram, UDP_HEADERS};
use bytes::Bytes;
use rusty_enet::{Event, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerID, Socket};

use super::{Pair, Setting};
use crate::end::{Deliver, End, Outgoing};

const TICK_NS: u64 = 1_000_000;

/// Datagrams with their sources.
type Arrived = VecDeque<(SocketAddr, Vec<u8>)>;

/// The socket that ENet believes to have.
#[derive(Clone, Default)]
struct Wire {
    arrived: Rc<RefCell<Arrived>>,
    to_send: Rc<RefCell<VecDeque<Vec<u8>>>>,
}

impl Socket for Wire {
    type Address = SocketAddr;
    type Error = Infallible;

    fn send(&mut self, _address: SocketAddr, buffer: &[u8]) -> Result<usize, Infallible> {
        self.to_send.borrow_mut().push_back(buffer.to_vec());
        Ok(buffer.len())
    }

    fn receive(
        &mut self,
        buffer: &mut [u8; MTU_MAX],
    ) -> Result<Option<(SocketAddr, PacketReceived)>, Infallible> {
        let arrived = self.arrived.borrow_mut().pop_front();
        Ok(arrived.map(|(from, bytes)| {
            let count = bytes.len().min(MTU_MAX);
            buffer[..count].copy_from_slice(&bytes[..count]);
            (from, PacketReceived::Complete(count))
        }))
    }
}

struct EnetEnd {
    host: Host<Wire>,
    wire: Wire,
    clock: Rc<Cell<Duration>>,
    remote: SocketAddr,
    channel_count: usize,
    peer: Option<PeerID>,
    delivered: VecDeque<Packet>,
    timeout_ns: u64,
    fault: Option<String>,
}

/// Both ends.
pub fn ends(setting: Setting) -> anyhow::Result<Pair> {
    let (client, server) = setting.addresses;
    Ok((Box::new(EnetEnd::new(setting, server)?), Box::new(EnetEnd::new(setting, client)?)))
}

impl EnetEnd {
    fn new(setting: Setting, remote: SocketAddr) -> anyhow::Result<Self> {
        let (wire, clock) = (Wire::default(), Rc::new(Cell::new(Duration::ZERO)));
        let time = Rc::clone(&clock);
        let channel_count = setting.flow_count as usize;
        let settings = HostSettings {
            peer_limit: 1,
            channel_limit: channel_count,
            time: Box::new(move || time.get()),
            seed: Some(setting.seed as u32),
            ..HostSettings::default()
        };
        let host = Host::new(wire.clone(), settings)?;
        let (peer, delivered, fault) = (None, VecDeque::new(), None);
        let timeout_ns = 0;
        Ok(Self { host, wire, clock, remote, channel_count, peer, delivered, timeout_ns, fault })
    }

    fn service(&mut self, now_ns: u64) {
        self.clock.set(Duration::from_nanos(now_ns));
        loop {
            match self.host.service() {
                Ok(Some(Event::Connect { peer, .. })) => self.peer = Some(peer.id()),
                Ok(Some(Event::Disconnect { .. })) => {
                    self.fault = Some("disconnected: a packet was not acknowledged".into());
                }
                Ok(Some(Event::Receive { packet, .. })) => self.delivered.push_back(packet),
                Ok(None) => break,
                Err(error) => match error {},
            }
        }
        self.timeout_ns = (now_ns / TICK_NS + 1) * TICK_NS;
    }
}

impl End for EnetEnd {
    fn connect(&mut self, now_ns: u64) {
        self.clock.set(Duration::from_nanos(now_ns));
        if let Err(error) = self.host.connect(self.remote, self.channel_count, 0) {
            self.fault = Some(error.to_string());
        }
        self.service(now_ns);
    }

    fn is_ready(&self) -> bool {
        self.peer.is_some()
    }

    fn send(&mut self, now_ns: u64, flow: u32, message: &Bytes) -> bool {
        let Some(peer) = self.peer else {
            return false;
        };
        self.clock.set(Duration::from_nanos(now_ns));
        let channel = (flow as usize % self.channel_count) as u8;
        let sent = self.host.peer_mut(peer).send(channel, &Packet::reliable(&message[..]));
        if let Err(error) = sent {
            self.fault = Some(error.to_string());
        }
        self.host.flush();
        true
    }

    fn handle_datagram(&mut self, now_ns: u64, datagram: Datagram) {
        self.wire.arrived.borrow_mut().push_back((datagram.from, datagram.bytes));
        self.service(now_ns);
    }

    fn handle_timeout(&mut self, now_ns: u64) {
        self.service(now_ns);
    }

    fn poll_timeout(&mut self, now_ns: u64) -> Option<u64> {
        Some(self.timeout_ns.max(now_ns + 1))
    }

    fn poll_transmit(&mut self, _now_ns: u64) -> Option<Outgoing> {
        let bytes = self.wire.to_send.borrow_mut().pop_front()?;
        Some(Outgoing { bytes, ecn: None, headers: UDP_HEADERS })
    }

    fn poll_messages(&mut self, _now_ns: u64, deliver: Deliver<'_>) {
        self.delivered.drain(..).for_each(|packet| deliver(packet.data()));
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }
}
