//! A relay for UDP: many clients behind one port, each with a socket of its own towards the target,
//! so that the target sees a stable address for each. Knows no impairment.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::relay::Relay;
use super::settings::{Cut, Way};
use super::socket::{self, DATAGRAM_BYTES_MAX, READS_PER_TURN_MAX, Received};
use super::ways::{Arrival, FlowId, Ways};

/// Clients at the same time, each with a descriptor.
const CLIENTS_MAX: usize = 512;
/// A client that was silent both ways for so long is forgotten. ns. Longer than anything is under
/// way.
const IDLE_NS: u64 = 120_000_000_000;
/// How often clients are looked through for that. ns
const SWEEP_EVERY_NS: u64 = 10_000_000_000;
/// The listener's token; clients have their flow's index.
const LISTENER: Token = Token(usize::MAX - 1);

struct Client {
    address: SocketAddr,
    socket: UdpSocket,
    generation: u32,
    active_ns: u64,
}

/// See the file's first lines.
pub struct UdpRelay {
    listener: UdpSocket,
    target: SocketAddr,
    clients: Vec<Option<Client>>,
    by_address: HashMap<SocketAddr, u16>,
    next_generation: u32,
    /// Sockets that may have something to read, each once.
    ready: Vec<Token>,
    sweep_at_ns: u64,
    buffer: Vec<u8>,
}

impl UdpRelay {
    /// A relay that listens.
    pub fn new(registry: &Registry, listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let mut listener = socket::bind(listen)?;
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            listener,
            target,
            clients: Vec::new(),
            by_address: HashMap::new(),
            next_generation: 0,
            ready: Vec::new(),
            sweep_at_ns: SWEEP_EVERY_NS,
            buffer: vec![0; DATAGRAM_BYTES_MAX],
        })
    }

    /// Where clients send to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The flow of a client, a new one if there is room.
    fn flow_of(
        &mut self,
        registry: &Registry,
        from: SocketAddr,
        now_ns: u64,
    ) -> io::Result<Option<FlowId>> {
        if let Some(index) = self.by_address.get(&from) {
            let client = self.clients[usize::from(*index)].as_mut().expect("known by its address");
            client.active_ns = now_ns;
            return Ok(Some(FlowId { index: *index, generation: client.generation }));
        }
        let vacant = self.clients.iter().position(Option::is_none);
        let place = vacant.unwrap_or(self.clients.len());
        if place >= CLIENTS_MAX {
            return Ok(None);
        }
        let any: IpAddr = match self.target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut socket = socket::bind(SocketAddr::new(any, 0))?;
        // Connected: only the target can answer.
        socket.connect(self.target)?;
        registry.register(&mut socket, Token(place), Interest::READABLE)?;
        if place == self.clients.len() {
            self.clients.push(None);
        }
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        self.clients[place] = Some(Client { address: from, socket, generation, active_ns: now_ns });
        let index = place as u16;
        self.by_address.insert(from, index);
        Ok(Some(FlowId { index, generation }))
    }

    /// Reads a budget from one socket; whether there may be more.
    fn read(
        &mut self,
        token: Token,
        registry: &Registry,
        ways: &mut Ways,
        now_ns: u64,
    ) -> io::Result<bool> {
        for _ in 0..READS_PER_TURN_MAX {
            let client = self.clients.get(token.0).and_then(Option::as_ref);
            let (source, way) = match client {
                Some(client) => (&client.socket, Way::Down),
                None if token == LISTENER => (&self.listener, Way::Up),
                None => return Ok(false),
            };
            let (len, from) = match socket::receive(source, &mut self.buffer)? {
                Received::Datagram(len, from) => (len, from),
                Received::Unreached => {
                    // It was sent on and then refused, so it belongs to the other direction.
                    let sent = if way == Way::Up { Way::Down } else { Way::Up };
                    ways.tally(sent).unsent += 1;
                    continue;
                }
                Received::Empty => return Ok(false),
            };
            let flow = match way {
                Way::Up => self.flow_of(registry, from, now_ns)?,
                Way::Down => self.clients[token.0].as_mut().map(|client| {
                    client.active_ns = now_ns;
                    FlowId { index: token.0 as u16, generation: client.generation }
                }),
            };
            match flow {
                Some(flow) => ways.enter(now_ns, way, flow, self.buffer[..len].to_vec()),
                None => ways.tally(way).refused += 1,
            }
        }
        Ok(true)
    }

    fn sweep(&mut self, now_ns: u64) {
        if now_ns < self.sweep_at_ns {
            return;
        }
        self.sweep_at_ns = now_ns + SWEEP_EVERY_NS;
        for place in &mut self.clients {
            if let Some(client) = place
                && now_ns - client.active_ns >= IDLE_NS
            {
                self.by_address.remove(&client.address);
                *place = None;
            }
        }
    }
}

impl Relay for UdpRelay {
    fn handle_event(&mut self, token: Token) {
        if !self.ready.contains(&token) {
            self.ready.push(token);
        }
    }

    fn receive(&mut self, registry: &Registry, ways: &mut Ways, now_ns: u64) -> io::Result<()> {
        self.sweep(now_ns);
        for token in std::mem::take(&mut self.ready) {
            if self.read(token, registry, ways, now_ns)? {
                self.ready.push(token);
            }
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    fn deliver(&mut self, ways: &mut Ways, arrival: Arrival, now_ns: u64) {
        let client = self.clients.get_mut(usize::from(arrival.flow.index));
        let client = client.and_then(Option::as_mut);
        let tally = ways.tally(arrival.way);
        let Some(client) = client.filter(|client| client.generation == arrival.flow.generation)
        else {
            tally.unsent += 1;
            return;
        };
        client.active_ns = now_ns;
        let sent = match arrival.way {
            Way::Up => client.socket.send(&arrival.bytes),
            Way::Down => self.listener.send_to(&arrival.bytes, client.address),
        };
        tally.note_sent(sent);
    }

    fn handle_change(&mut self, _ways: &mut Ways, _cuts: &[Cut]) {}
}
