//! Two endpoints and the link between them, driven as a driver must. Knows what came out of each.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use aldis_rudp::{
    BootId, ClusterKey, ClusterKeys, Config, Ecn, Endpoint, Event, Flow, Mode, NodeId, PeerId,
    Stats, Time,
};
use bytes::Bytes;

use crate::link::{Faults, Link};

/// One millisecond.
pub const MS: u64 = 1_000_000;
/// One second.
pub const SECOND: u64 = 1_000 * MS;

/// What a side got.
#[derive(Debug)]
pub struct Host {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Where it is.
    pub address: SocketAddr,
    /// The latest session.
    pub peer: Option<PeerId>,
    /// Events besides messages, in order.
    pub events: Vec<Event>,
    /// Messages, in order, with the time they came at.
    pub messages: VecDeque<(Time, Flow, Bytes)>,
    /// Datagrams and bytes sent, 28 bytes of IP and UDP each included.
    pub sent: (u64, u64),
    /// Times that it had something to send.
    pub transmits: u64,
}

/// Both sides.
#[derive(Debug)]
pub struct Pair {
    /// Side 0 connects to side 1.
    pub hosts: [Host; 2],
    /// Between them.
    pub link: Link,
    /// Simulated.
    pub now: Time,
    buf: Vec<u8>,
}

/// Settings of a side.
pub fn config(node: u16, is_sealed: bool) -> Config {
    let current = ClusterKey { id: 1, secret: [7; 32] };
    let mode = match is_sealed {
        true => Mode::Sealed(ClusterKeys { current, other: None }),
        false => Mode::Plain,
    };
    Config::new(NodeId(node), BootId(u64::from(node) + 1000), mode)
}

impl Pair {
    /// Two sides with these settings, not connected.
    pub fn with_configs(seed: u64, faults: Faults, configs: [Config; 2]) -> Self {
        let mut port = 1_000;
        let hosts = configs.map(|config| {
            port += 1;
            Host {
                endpoint: Endpoint::new(Arc::new(config), [port as u8; 32]),
                address: SocketAddr::from(([10, 0, 0, 1], port)),
                peer: None,
                events: Vec::new(),
                messages: VecDeque::new(),
                sent: (0, 0),
                transmits: 0,
            }
        });
        Self { hosts, link: Link::new(seed, faults), now: Time(SECOND), buf: Vec::new() }
    }

    /// Two connected sides.
    pub fn new(seed: u64, faults: Faults) -> Self {
        let mut pair = Self::with_configs(seed, faults, [config(1, true), config(2, true)]);
        pair.connect();
        pair
    }

    /// Connects side 0 to side 1 and waits until both are up.
    pub fn connect(&mut self) {
        let address = self.hosts[1].address;
        let peer = self.hosts[0].endpoint.connect(self.now, NodeId(2), address).expect("room");
        self.hosts[0].peer = Some(peer);
        self.drain();
        self.run_until(10 * SECOND, |pair| {
            pair.hosts.iter().all(|host| {
                host.events.iter().any(|event| matches!(event, Event::Connected { .. }))
            })
        });
    }

    /// Sends, or panics.
    pub fn send(&mut self, from: usize, flow: Flow, message: impl Into<Bytes>) {
        let host = &mut self.hosts[from];
        let peer = host.peer.expect("connected");
        host.endpoint.send(self.now, peer, flow, message.into()).expect("room");
        self.drain();
    }

    /// Figures of a side's session.
    pub fn stats(&self, side: usize) -> Stats {
        let host = &self.hosts[side];
        host.endpoint.stats(host.peer.expect("connected")).expect("a live session")
    }

    /// Keeps the send buffer of side 0 full for so long; gives the bytes of messages that arrived.
    pub fn fill(&mut self, nanos: u64, len: usize) -> u64 {
        let message = Bytes::from(vec![7; len]);
        let end = Time(self.now.nanos() + nanos);
        let mut bytes = 0;
        while self.now < end {
            let (now, peer) = (self.now, self.hosts[0].peer.expect("connected"));
            let endpoint = &mut self.hosts[0].endpoint;
            while endpoint.send(now, peer, Flow::Unordered, message.clone()).is_ok() {}
            self.drain();
            self.run(10 * MS);
            let messages = &mut self.hosts[1].messages;
            bytes += messages.drain(..).map(|(_, _, message)| message.len() as u64).sum::<u64>();
        }
        bytes
    }

    /// Messages that a side did not get acknowledged.
    pub fn unacknowledged(&self, side: usize) -> usize {
        let host = &self.hosts[side];
        let stats = host.peer.and_then(|peer| host.endpoint.stats(peer));
        stats.map_or(0, |stats| stats.messages_unacknowledged)
    }

    /// Runs until everything sent is acknowledged, at most so long.
    pub fn settle(&mut self, limit_ns: u64) {
        self.run_until(limit_ns, |pair| pair.unacknowledged(0) + pair.unacknowledged(1) == 0);
    }

    /// Runs until a condition holds, and panics if it does not within so long.
    pub fn run_until(&mut self, limit_ns: u64, mut is_done: impl FnMut(&Pair) -> bool) {
        let limit = Time(self.now.nanos() + limit_ns);
        while !is_done(self) {
            assert!(self.step(limit), "not done by {limit:?}: {self:?}");
        }
    }

    /// Runs for so long.
    pub fn run(&mut self, nanos: u64) {
        let limit = Time(self.now.nanos() + nanos);
        while self.step(limit) {}
        self.now = limit;
    }

    /// Handles what happens next, unless that is after `limit`.
    pub fn step(&mut self, limit: Time) -> bool {
        let deadlines = self.hosts.iter().filter_map(|host| host.endpoint.poll_timeout());
        let Some(next) = deadlines.chain(self.link.next()).min() else { return false };
        if next > limit {
            return false;
        }
        self.now = self.now.max(next);
        // Everything that arrived goes before timers, as from a drained socket.
        while let Some((to, is_marked, mut bytes)) = self.link.receive(self.now) {
            let from = self.hosts[1 - to].address;
            let ecn = is_marked.then_some(Ecn::Ce);
            self.hosts[to].endpoint.handle_datagram(self.now, from, ecn, &mut bytes);
            self.drain();
        }
        for side in 0..2 {
            let endpoint = &mut self.hosts[side].endpoint;
            if endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                endpoint.handle_timeout(self.now);
                self.drain();
            }
        }
        true
    }

    /// Takes out what both sides have to say.
    pub fn drain(&mut self) {
        for side in 0..2 {
            loop {
                while let Some(transmit) =
                    self.hosts[side].endpoint.poll_transmit(self.now, &mut self.buf)
                {
                    self.hosts[side].transmits += 1;
                    let size = transmit.segment_size.unwrap_or(self.buf.len());
                    for datagram in self.buf.chunks(size) {
                        self.hosts[side].sent.0 += 1;
                        self.hosts[side].sent.1 += datagram.len() as u64 + 28;
                        self.link.send(self.now, side, datagram);
                    }
                }
                if !self.take_events(side) {
                    break;
                }
            }
            self.hosts[side].endpoint.invariants();
        }
    }

    fn take_events(&mut self, side: usize) -> bool {
        let mut any = false;
        let host = &mut self.hosts[side];
        while let Some(event) = host.endpoint.poll_event() {
            any = true;
            match event {
                Event::Message { flow, message, .. } => {
                    host.messages.push_back((self.now, flow, message));
                }
                event => {
                    if let Event::Connected { peer, .. } = event {
                        host.peer = Some(peer);
                    }
                    host.events.push(event);
                }
            }
        }
        any
    }
}

/// A delay in both directions, in milliseconds.
pub fn delay(ms: u64) -> Faults {
    Faults { delay_ns: ms * MS, ..Faults::default() }
}
