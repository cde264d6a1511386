//! An endpoint and the application over it, at one address. The application keeps a session up, sends
//! what the plan says, and hands all that happens to the judge.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use aldis_netsim::{Datagram, Ecn, Rng};
use aldis_rudp::{
    Config, ConnectError, Endpoint, Event, Flow, NodeId, PeerId, SendError, Time, Transmit,
};

use super::MS;
use super::judge::{Judge, SessionNumber};
use super::plan::Plan;
use super::wary::Watch;

/// Without a session, one is begun this often.
const CONNECT_INTERVAL_NS: u64 = 250 * MS;

/// A host in its present life.
#[derive(Debug)]
pub struct Host {
    /// Which one.
    pub number: usize,
    /// Where it is.
    pub address: SocketAddr,
    /// When it wants its next turn, ns.
    pub deadline_ns: Option<u64>,
    /// Sessions that ended although nothing was wrong with the peer, in words.
    pub endings: Vec<String>,
    peer_address: SocketAddr,
    endpoint: Endpoint,
    config: Arc<Config>,
    watch: Watch,
    session: Option<(PeerId, SessionNumber)>,
    /// Messages that are to be sent as soon as that is possible.
    waiting: VecDeque<(Flow, usize)>,
    is_blocked: bool,
    connect_ns: u64,
    life: u64,
}

impl Host {
    /// In its first life.
    pub fn new(plan: &Plan, number: usize, addresses: [SocketAddr; 2]) -> Self {
        let config = Arc::new(plan.config(number, 0));
        Self {
            number,
            address: addresses[number],
            deadline_ns: Some(0),
            endings: Vec::new(),
            peer_address: addresses[1 - number],
            endpoint: endpoint(plan, &config, number, 0),
            config,
            watch: Watch::default(),
            session: None,
            waiting: VecDeque::new(),
            is_blocked: false,
            // Both at once, or one a little later.
            connect_ns: number as u64 * (plan.seed % 3) * 10 * MS,
            life: 0,
        }
    }

    /// Dies and begins its next life.
    pub fn restart(&mut self, plan: &Plan, now_ns: u64, judge: &mut Judge) {
        if let Some((_, number)) = self.session.take() {
            judge.forget(number);
        }
        self.life += 1;
        self.config = Arc::new(plan.config(self.number, self.life));
        self.endpoint = endpoint(plan, &self.config, self.number, self.life);
        self.watch = Watch::default();
        self.is_blocked = false;
        self.connect_ns = now_ns + CONNECT_INTERVAL_NS;
        self.deadline_ns = Some(self.connect_ns);
    }

    /// Sends a message now or when that is possible.
    pub fn send(&mut self, flow: Flow, bytes: usize) {
        self.waiting.push_back((flow, bytes));
        self.is_blocked &= self.session.is_some();
    }

    /// Closes its session.
    pub fn close(&mut self, now_ns: u64) {
        if let Some((peer, _)) = self.session {
            self.endpoint.close(Time(now_ns), peer);
        }
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now_ns: u64, mut datagram: Datagram) {
        self.watch.handle_arrival(datagram.from, datagram.bytes.len());
        let ecn = datagram.ecn.map(|ecn| match ecn {
            Ecn::Ect0 => aldis_rudp::Ecn::Ect0,
            Ecn::Ect1 => aldis_rudp::Ecn::Ect1,
            Ecn::Ce => aldis_rudp::Ecn::Ce,
        });
        self.endpoint.handle_datagram(Time(now_ns), datagram.from, ecn, &mut datagram.bytes);
        self.endpoint.invariants();
    }

    /// Has its turn: what is due, what is to be sent, and everything that comes out.
    pub fn turn(&mut self, now_ns: u64, judge: &mut Judge) -> Vec<Datagram> {
        if self.endpoint.poll_timeout().is_some_and(|at| at.0 <= now_ns) {
            self.endpoint.handle_timeout(Time(now_ns));
            self.endpoint.invariants();
        }
        self.connect(now_ns);
        let mut out = Vec::new();
        // What comes out may make room for more to be sent.
        loop {
            self.handle_events(judge);
            self.send_waiting(now_ns, judge);
            let count = out.len();
            self.transmit(now_ns, &mut out);
            if out.len() == count {
                break;
            }
        }
        self.endpoint.invariants();
        if let Some((peer, _)) = self.session
            && let Some(stats) = self.endpoint.stats(peer)
        {
            self.watch.handle_stats(now_ns, peer, &stats, &self.config);
        }
        self.deadline_ns = self.endpoint.poll_timeout().map(|at| at.0);
        if let Some(at_ns) = self.deadline_ns {
            self.watch.handle_deadline(now_ns, at_ns);
        }
        if self.session.is_none() {
            let connect_ns = self.connect_ns.max(now_ns + 1);
            self.deadline_ns = Some(self.deadline_ns.map_or(connect_ns, |at| at.min(connect_ns)));
        }
        out
    }

    /// Its living session.
    pub fn session(&self) -> Option<SessionNumber> {
        self.session.map(|(_, number)| number)
    }

    /// It still has something to send.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// All that it sent is acknowledged.
    pub fn is_acknowledged(&self) -> bool {
        let stats = self.session.and_then(|(peer, _)| self.endpoint.stats(peer));
        stats.is_some_and(|stats| stats.messages_unacknowledged == 0)
    }

    fn connect(&mut self, now_ns: u64) {
        if self.session.is_some() || now_ns < self.connect_ns {
            return;
        }
        self.connect_ns = now_ns + CONNECT_INTERVAL_NS;
        let node = NodeId(2 - self.number as u16);
        match self.endpoint.connect(Time(now_ns), node, self.peer_address) {
            Ok(_) => self.watch.prove(self.peer_address),
            // The one before is still being set up or closed.
            Err(ConnectError::Exists(_)) => {}
            Err(error) => panic!("connect: {error}"),
        }
    }

    fn handle_events(&mut self, judge: &mut Judge) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Connected { peer, .. } => {
                    self.watch.prove(self.peer_address);
                    assert_eq!(self.session, None, "one session with a node at a time");
                    self.session = Some((peer, judge.begin(self.number)));
                    self.is_blocked = false;
                }
                Event::Message { peer, flow, message } => {
                    assert_eq!(self.session.map(|(own, _)| own), Some(peer), "of a dead session");
                    judge.deliver(self.number, flow, &message);
                }
                Event::Writable { peer } => {
                    assert_eq!(self.session.map(|(own, _)| own), Some(peer), "of a dead session");
                    self.is_blocked = false;
                }
                Event::Suspect { .. } | Event::Recovered { .. } => {}
                Event::Restarted { peer, ref unknown }
                | Event::Lost { peer, ref unknown }
                | Event::Closed { peer, ref unknown } => {
                    if let Some((_, number)) = self.session.take_if(|(own, _)| *own == peer) {
                        judge.end(number, unknown);
                        self.endings.push(format!("host {} {event:?}", self.number));
                    } else {
                        // A session that never was up had nothing to lose.
                        assert_eq!(unknown.len(), 0, "messages of a session that never was");
                    }
                }
            }
        }
    }

    fn send_waiting(&mut self, now_ns: u64, judge: &mut Judge) {
        let Some((peer, number)) = self.session.filter(|_| !self.is_blocked) else {
            return;
        };
        while let Some((flow, bytes)) = self.waiting.front().copied() {
            match self.endpoint.send(Time(now_ns), peer, flow, judge.draft(bytes)) {
                Ok(id) => judge.accept(number, flow, id, bytes),
                Err(SendError::WouldBlock) => {
                    self.is_blocked = true;
                    break;
                }
                // Its end is among the events still to come.
                Err(SendError::NoPeer) => break,
                Err(error) => panic!("send: {error}"),
            }
            self.waiting.pop_front();
        }
    }

    fn transmit(&mut self, now_ns: u64, out: &mut Vec<Datagram>) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit(Time(now_ns), &mut buffer) {
            let Transmit { destination, segment_size, ecn } = transmit;
            let size = segment_size.unwrap_or(buffer.len()).max(1);
            let ecn = ecn.map(|ecn| match ecn {
                aldis_rudp::Ecn::Ect0 => Ecn::Ect0,
                aldis_rudp::Ecn::Ect1 => Ecn::Ect1,
                aldis_rudp::Ecn::Ce => Ecn::Ce,
            });
            for bytes in buffer.chunks(size) {
                self.watch.handle_departure(destination, bytes.len());
                let datagram = Datagram::udp(self.address, destination, bytes.to_vec());
                out.push(Datagram { ecn, ..datagram });
            }
        }
    }
}

fn endpoint(plan: &Plan, config: &Arc<Config>, number: usize, life: u64) -> Endpoint {
    let mut rng = Rng::new(plan.seed.wrapping_mul(31) ^ (life << 1) ^ number as u64);
    Endpoint::new(Arc::clone(config), std::array::from_fn(|_| rng.next_u64() as u8))
}
