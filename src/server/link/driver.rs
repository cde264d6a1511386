//! The loop of the link: one turn takes what came, does what is due, and sends what is to be sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aldis_directory::{Lookup, NodeRecord};
use aldis_logic::Node;
use aldis_logic::cluster::{Found, Hub, HubConfig, LinkEffect, LinkFlow, PeerAddress};
use aldis_logic::job::{NodeId, ReactorId};
use aldis_rudp::{ConnectError, Endpoint, Event, Flow, SendError, Time, Transmit};
use crossbeam::channel::Sender;
use mio::{Events, Poll, Token, Waker};

use super::ending::{CLOSE_MAX, Ending, FLUSH_MAX};
use super::post::{LinkMail, LinkMailEnd};
use super::sessions::{Sessions, Strangers};
use super::socket::LinkSocket;
use super::timer::Timer;
use crate::mail::PostOffice;
use crate::metrics::{LinkCounts, kind_of};

const SOCKET: Token = Token(0);
const TIMER: Token = Token(1);
const WAKER: Token = Token(2);
/// Events of one poll: there are three sources.
const EVENTS_MAX: usize = 4;
/// Mails of one turn; the datagrams that came meanwhile are looked at in between.
const MAILS_PER_TURN: usize = 64;
/// Pause before datagrams are sent again for which the kernel had no room, unless it says so before.
const BLOCKED_PAUSE: Duration = Duration::from_millis(1);

/// What a link is made of.
pub struct DriverParts {
    /// Its socket.
    pub socket: LinkSocket,
    /// All sessions of the link.
    pub endpoint: Endpoint,
    /// For the hub.
    pub hub: HubConfig,
    /// The node.
    pub node: Arc<Node>,
    /// The way to the reactors.
    pub office: PostOffice,
    /// The way to the directory.
    pub lookups: Sender<Lookup>,
    /// Datagrams are not encrypted, so none may leave the machine.
    pub is_plain: bool,
    /// What happens is counted here.
    pub counts: LinkCounts,
}

/// See the file's first line.
pub struct Driver {
    poll: Poll,
    timer: Timer,
    socket: LinkSocket,
    endpoint: Endpoint,
    hub: Hub,
    sessions: Sessions,
    strangers: Strangers,
    mail: LinkMailEnd,
    node: Arc<Node>,
    office: PostOffice,
    lookups: Sender<Lookup>,
    is_plain: bool,
    counts: LinkCounts,
    /// Something happened since the counts were published.
    has_news: bool,
    /// There may be datagrams that no event tells of any more.
    is_readable: bool,
    /// Datagrams that did not fit the socket.
    unsent: Option<Transmit>,
    buffer: Vec<u8>,
    ending: Ending,
}

impl Driver {
    /// A link that knows no session yet.
    pub fn new(parts: DriverParts, mail: LinkMailEnd) -> io::Result<Self> {
        let DriverParts { socket, endpoint, hub, node, office, lookups, is_plain, counts } = parts;
        let poll = Poll::new()?;
        socket.register(poll.registry(), SOCKET)?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        mail.receiver.set_waker(Waker::new(poll.registry(), WAKER)?);
        let hub = Hub::new(node.clone(), mail.routes.clone(), office.reactor_count(), hub);
        Ok(Self {
            poll,
            timer,
            socket,
            endpoint,
            hub,
            sessions: Sessions::default(),
            strangers: Strangers::default(),
            mail,
            node,
            office,
            lookups,
            is_plain,
            counts,
            has_news: true,
            is_readable: true,
            unsent: None,
            buffer: Vec::new(),
            ending: Ending::No,
        })
    }

    /// Runs until the node goes away.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            self.sleep(&mut events)?;
            for event in &events {
                // An edge may mean both.
                self.is_readable |= event.token() == SOCKET && event.is_readable();
            }
            if self.turn()? {
                return Ok(());
            }
        }
    }

    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let now = Instant::now();
        let due = self.due_at(now);
        let is_due = due.is_some_and(|at| at <= now);
        let is_busy = is_due || self.is_readable || !self.mail.receiver.prepare_sleep();
        if let Some(at) = due.filter(|_| !is_busy) {
            self.timer.set(now, at)?;
        }
        let result = self.poll.poll(events, is_busy.then_some(Duration::ZERO));
        self.mail.receiver.end_sleep();
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// When something is due although nothing comes.
    fn due_at(&self, now: Instant) -> Option<Instant> {
        let origin = self.mail.origin;
        let endpoint = match self.unsent {
            // It has something to send all the time.
            Some(_) => Some(now + BLOCKED_PAUSE),
            None => self.endpoint.poll_timeout().map(|at| origin + Duration::from_nanos(at.0)),
        };
        let hub = self.hub.poll_timeout().map(|at_ms| origin + Duration::from_millis(at_ms));
        let ending = self.ending.due_at();
        let counts = self.has_news.then(|| self.counts.due_at(now));
        endpoint.into_iter().chain(hub).chain(ending).chain(counts).min()
    }

    /// One turn, for which time stands still. True: it was the last one.
    fn turn(&mut self) -> io::Result<bool> {
        let now = self.now();
        let now_ms = ms(now);
        // Datagrams before timers: acknowledgements that wait in the socket are no losses.
        self.receive(now)?;
        self.take_mail(now_ms);
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.hub.poll_timeout().is_some_and(|at_ms| at_ms <= now_ms) {
            self.hub.handle_timeout(now_ms);
        }
        if self.mail.has_dropped.swap(false, Ordering::Relaxed) {
            log::warn!("entries for other nodes were dropped: the link's queue is full");
            self.hub.handle_dropped(now_ms);
            self.counts.note_overflow();
        }
        self.drain(now);
        self.transmit(now);
        for (reactor, deliveries) in self.hub.take_deliveries() {
            self.office.deliver(ReactorId(reactor as u16), deliveries);
        }
        self.strangers.note(Instant::now(), self.endpoint.rejected());
        self.publish();
        Ok(self.end(now))
    }

    fn receive(&mut self, now: Time) -> io::Result<()> {
        if !self.is_readable {
            return Ok(());
        }
        let endpoint = &mut self.endpoint;
        self.is_readable = self.socket.receive(|from, ecn, datagram| {
            endpoint.handle_datagram(now, from, ecn, datagram);
        })?;
        Ok(())
    }

    fn take_mail(&mut self, now_ms: u64) {
        for _ in 0..MAILS_PER_TURN {
            let receiver = &self.mail.receiver;
            let Some(mail) = receiver.pop_reserved().or_else(|| receiver.pop_best_effort()) else {
                return;
            };
            match mail {
                LinkMail::Outgoing(entries) => self.hub.handle_outgoing(now_ms, entries),
                LinkMail::Kick(order) => self.hub.handle_kick_order(now_ms, order),
                LinkMail::Found { number, sessions } => {
                    let found = Found { sessions: &sessions.found, unknown: &sessions.unknown };
                    self.hub.handle_found(now_ms, number, Some(&found));
                }
                LinkMail::Nodes(nodes) => self.handle_nodes(now_ms, &nodes),
                LinkMail::Stop => {
                    self.ending = Ending::Flushing { until: Instant::now() + FLUSH_MAX };
                }
            }
        }
    }

    fn handle_nodes(&mut self, now_ms: u64, nodes: &[NodeRecord]) {
        let mut known = Vec::with_capacity(nodes.len());
        for record in nodes.iter().filter(|record| record.node != self.node.config.node) {
            let text = &record.announcement.link_address;
            match text.parse::<SocketAddr>() {
                Ok(address) if self.is_plain && !address.ip().is_loopback() => {
                    self.sessions.complain(record.node, || {
                        format!(
                            "node {} is at {address}, but there is no cluster.key",
                            record.node.0
                        )
                    });
                }
                Ok(address) => known.push(PeerAddress { node: record.node, address }),
                // A node without a link has none to announce.
                Err(_) if text.is_empty() => {}
                Err(_) => log::debug!("node {} announces {text:?}", record.node.0),
            }
        }
        self.hub.handle_announced(now_ms, &known);
    }

    /// Events of the endpoint to the hub, effects of the hub to where they belong, until both rest.
    fn drain(&mut self, now: Time) {
        loop {
            while let Some(effect) = self.hub.poll_effect() {
                self.handle_effect(now, effect);
            }
            let Some(event) = self.endpoint.poll_event() else { return };
            self.handle_event(now, event);
        }
    }

    fn handle_event(&mut self, now: Time, event: Event) {
        let now_ms = ms(now);
        match event {
            Event::Connected { peer, node, .. } => {
                let node = NodeId(node.0);
                self.sessions.insert(peer, node);
                self.hub.handle_connected(now_ms, node);
            }
            Event::Message { peer, message, .. } => {
                let Some(node) = self.sessions.node(peer) else { return };
                self.counts.note_received(node, kind_of(&message));
                if let Err(fault) = self.hub.handle_message(now_ms, node, message) {
                    log::error!("node {} cannot be linked: {fault}", node.0);
                }
            }
            Event::Writable { peer } => {
                if let Some(node) = self.sessions.node(peer) {
                    self.hub.handle_writable(node);
                }
            }
            Event::Suspect { peer } => self.note_silence(peer, "is silent"),
            Event::Recovered { peer } => self.note_silence(peer, "is heard again"),
            Event::Restarted { peer, .. } => {
                self.handle_end(now_ms, peer, "ends: it has restarted")
            }
            Event::Lost { peer, .. } => self.handle_end(now_ms, peer, "is lost"),
            Event::Closed { peer, .. } => self.handle_end(now_ms, peer, "was closed"),
        }
    }

    fn note_silence(&self, peer: aldis_rudp::PeerId, what: &str) {
        if let Some(node) = self.sessions.node(peer) {
            log::info!("node {} {what}", node.0);
        }
    }

    fn handle_end(&mut self, now_ms: u64, peer: aldis_rudp::PeerId, how: &str) {
        if let Some(node) = self.sessions.remove(peer, how) {
            self.counts.note_end(node);
            self.hub.handle_down(now_ms, node);
        }
    }

    fn handle_effect(&mut self, now: Time, effect: LinkEffect) {
        match effect {
            LinkEffect::Connect { node, address } => self.connect(now, node, address),
            LinkEffect::Close { node } => {
                if let Some(peer) = self.sessions.peer(node) {
                    self.endpoint.close(now, peer);
                }
            }
            LinkEffect::Send { node, flow, message } => {
                let Some(peer) = self.sessions.peer(node) else { return };
                let flow = match flow {
                    LinkFlow::Unordered => Flow::Unordered,
                    LinkFlow::Ordered(number) => Flow::Ordered(number),
                };
                let kind = kind_of(&message);
                match self.endpoint.send(now, peer, flow, message) {
                    Ok(_) => self.counts.note_sent(node, kind),
                    Err(SendError::NoPeer) => {}
                    Err(SendError::WouldBlock) => {
                        self.counts.note_dropped(node);
                        self.hub.handle_blocked(node);
                    }
                    Err(SendError::TooLarge(bytes)) => {
                        log::error!("a message of {bytes} bytes is too large for the link");
                    }
                }
            }
            LinkEffect::Lookup { number, users } => {
                if self.lookups.try_send(Lookup { number, users }).is_err() {
                    self.hub.handle_found(ms(now), number, None);
                }
            }
            LinkEffect::Post { reactor, mail } => self.office.peer(reactor, mail),
            LinkEffect::Opened { node, release } => {
                log::info!("node {} is linked ({release})", node.0);
            }
            LinkEffect::CheckAll => {
                self.node.alarms.raise();
                self.office.alarm();
            }
        }
    }

    fn connect(&mut self, now: Time, node: NodeId, address: SocketAddr) {
        match self.endpoint.connect(now, aldis_rudp::NodeId(node.0), address) {
            Ok(peer) => self.sessions.begin(peer, node, address),
            // It was quicker, or it still holds an older session: that ends, or is found dead.
            Err(ConnectError::Exists(_)) => self.hub.handle_down(ms(now), node),
            Err(error @ (ConnectError::Full | ConnectError::Myself)) => {
                self.sessions
                    .complain(node, || format!("node {} cannot be linked: {error}", node.0));
                self.hub.handle_down(ms(now), node);
            }
        }
    }

    fn transmit(&mut self, now: Time) {
        if let Some(unsent) = self.unsent.take()
            && !self.socket.send(&unsent, &self.buffer)
        {
            self.unsent = Some(unsent);
            return;
        }
        while let Some(transmit) = self.endpoint.poll_transmit(now, &mut self.buffer) {
            if !self.socket.send(&transmit, &self.buffer) {
                self.unsent = Some(transmit);
                return;
            }
        }
    }

    /// The node's end, step by step. True: everything was said.
    fn end(&mut self, time: Time) -> bool {
        let now = Instant::now();
        match self.ending {
            Ending::No => false,
            Ending::Flushing { until } => {
                let peers = self.sessions.all();
                let mut stats = peers.iter().filter_map(|peer| self.endpoint.stats(*peer));
                if now < until && stats.any(|stats| stats.messages_unacknowledged > 0) {
                    return false;
                }
                peers.into_iter().for_each(|peer| self.endpoint.close(time, peer));
                self.ending = Ending::Closing { until: now + CLOSE_MAX };
                self.transmit(time);
                false
            }
            // Whoever did not hear it finds out by silence.
            Ending::Closing { until } => now >= until,
        }
    }

    /// Figures are copied where others see them, now and then.
    fn publish(&mut self) {
        let now = Instant::now();
        self.has_news = self.counts.due_at(now) > now;
        if self.has_news {
            return;
        }
        for (node, peer) in self.sessions.linked() {
            if let Some(stats) = self.endpoint.stats(peer) {
                self.counts.note_session(node, stats);
            }
        }
        self.counts.publish(now, self.hub.backlog(), self.endpoint.rejected());
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.mail.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

fn ms(now: Time) -> u64 {
    now.0 / 1_000_000
}
