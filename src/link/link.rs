//! The hub and the endpoint as one: events of the endpoint to the hub, effects of the hub to where they
//! belong. Inputs first, then outputs until there are none, then datagrams until there are none.

use std::net::SocketAddr;
use std::sync::Arc;

use aldis_directory::{Lookup, NodeRecord, Sessions as Found};
use aldis_logic::cluster::{self, Hub, HubConfig, HubCounts, LinkEffect, LinkFlow, PeerAddress};
use aldis_logic::job::{NodeId, ReactorId};
use aldis_logic::{Delivery, Hints, Node, PeerMail};
use aldis_rudp::{ConnectError, Ecn, Endpoint, Event, Flow, PeerId, SendError, Time, Transmit};

use crate::counts::SessionCounts;
use crate::figures::{KINDS_UNSTORED, LinkFigures, kind_of};
use crate::mail::LinkMail;
use crate::sessions::{Sessions, Strangers};

/// Time for what was sent to be acknowledged when the node goes away, ns.
const FLUSH_NS_MAX: u64 = 500_000_000;
/// Time for the end of the sessions to be said after that, more than once. ns
const CLOSE_NS_MAX: u64 = 150_000_000;

/// Messages to a node that it has not acknowledged, up to which it is sent notifications that are in no
/// store: they are not to fill the room of entries when the network is slow.
const NOTICE_BACKLOG_MAX: usize = 4_096;

/// What a link is made of.
pub struct LinkParts {
    /// All sessions with other nodes.
    pub endpoint: Endpoint,
    /// For the hub.
    pub hub: HubConfig,
    /// The node.
    pub node: Arc<Node>,
    /// The route cache, which the thread that commits looks into.
    pub routes: Arc<cluster::Routes>,
    /// Reactors of the node.
    pub reactor_count: usize,
    /// Datagrams are not encrypted, so none may leave the machine.
    pub is_plain: bool,
}

/// Something for another thread.
#[derive(Debug)]
pub enum LinkOutput {
    /// For the directory; if it cannot take it, say so by `handle_lookup_refused`.
    Lookup(Lookup),
    /// For the service of a reactor of this node.
    Post {
        /// Which.
        reactor: ReactorId,
        /// What.
        mail: PeerMail,
    },
    /// For all services of this node.
    Hints(Arc<Hints>),
    /// All sessions of this node may have missed something: see [`aldis_logic::Alarms`].
    Alarm,
}

/// See the file's first line. Times are monotonic, of the clock that the routes are used with.
pub struct Link {
    endpoint: Endpoint,
    hub: Hub,
    sessions: Sessions,
    strangers: Strangers,
    node: Arc<Node>,
    is_plain: bool,
    ending: Ending,
    counts: SessionCounts,
    figures: LinkFigures,
}

/// How far the end of the node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It is not.
    No,
    /// What was sent is waited for.
    Flushing { until: Time },
    /// The sessions are closed.
    Closing { until: Time },
}

impl Link {
    /// A link that knows no session yet.
    pub fn new(parts: LinkParts) -> Self {
        let LinkParts { endpoint, hub, node, routes, reactor_count, is_plain } = parts;
        Self {
            endpoint,
            hub: Hub::new(node.clone(), routes, reactor_count, hub),
            sessions: Sessions::default(),
            strangers: Strangers::default(),
            node,
            is_plain,
            ending: Ending::No,
            counts: SessionCounts::default(),
            figures: LinkFigures::default(),
        }
    }

    /// A datagram came; it is overwritten.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        from: SocketAddr,
        ecn: Option<Ecn>,
        datagram: &mut [u8],
    ) {
        self.endpoint.handle_datagram(now, from, ecn, datagram);
    }

    /// Another thread says something.
    pub fn handle_mail(&mut self, now: Time, mail: LinkMail) {
        let now_ms = ms(now);
        match mail {
            LinkMail::Outgoing(entries) => self.hub.handle_outgoing(now_ms, entries),
            LinkMail::Notice(notice) => self.hub.handle_notice(now_ms, notice),
            LinkMail::Hints(hints) => self.hub.handle_hints(&hints),
            LinkMail::Kick(order) => self.hub.handle_kick_order(now_ms, order),
            LinkMail::Found { number, sessions: Found { found, unknown } } => {
                let found = cluster::Found { sessions: &found, unknown: &unknown };
                self.hub.handle_found(now_ms, number, Some(&found));
            }
            LinkMail::Nodes(nodes) => self.handle_nodes(now, &nodes),
            LinkMail::Stop => {
                self.ending = Ending::Flushing { until: Time(now.0 + FLUSH_NS_MAX) };
            }
        }
    }

    /// The directory takes no more questions.
    pub fn handle_lookup_refused(&mut self, now: Time, number: u32) {
        self.hub.handle_found(ms(now), number, None);
    }

    /// Entries were dropped on their way here.
    pub fn handle_dropped(&mut self, now: Time) {
        self.figures.overflows += 1;
        self.hub.handle_dropped(ms(now));
    }

    /// Does what is due. Datagrams that have come are handed in before: acknowledgements among them
    /// are no losses.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.hub.poll_timeout().is_some_and(|at_ms| at_ms <= ms(now)) {
            self.hub.handle_timeout(ms(now));
        }
    }

    /// When something is due although nothing comes.
    pub fn poll_timeout(&self) -> Option<Time> {
        let hub = self.hub.poll_timeout().map(|at_ms| Time(at_ms * 1_000_000));
        self.endpoint.poll_timeout().into_iter().chain(hub).chain(self.ends_at()).min()
    }

    /// When something is due besides datagrams to send.
    pub fn poll_timeout_unsent(&self) -> Option<Time> {
        let hub = self.hub.poll_timeout().map(|at_ms| Time(at_ms * 1_000_000));
        hub.into_iter().chain(self.ends_at()).min()
    }

    /// The next thing for another thread, until hub and endpoint rest.
    pub fn poll_output(&mut self, now: Time) -> Option<LinkOutput> {
        loop {
            while let Some(effect) = self.hub.poll_effect() {
                let output = self.handle_effect(now, effect);
                if output.is_some() {
                    return output;
                }
            }
            match self.endpoint.poll_event() {
                Some(event) => self.handle_event(now, event),
                None => return None,
            }
        }
    }

    /// Deliveries for this node's reactors since the last call, by reactor.
    pub fn take_deliveries(&mut self) -> impl Iterator<Item = (usize, Vec<Delivery>)> {
        self.hub.take_deliveries()
    }

    /// The next datagrams to send, once there is no output any more.
    pub fn poll_transmit(&mut self, now: Time, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, buffer)
    }

    /// The end of the turn: what strangers sent is logged, the node's end goes on. True: all was said.
    pub fn handle_turn_end(&mut self, now: Time) -> bool {
        self.strangers.note(now, self.endpoint.rejected());
        match self.ending {
            Ending::No => false,
            Ending::Flushing { until } => {
                let peers = self.sessions.all();
                let mut stats = peers.iter().filter_map(|peer| self.endpoint.stats(*peer));
                if now < until && stats.any(|stats| stats.messages_unacknowledged > 0) {
                    return false;
                }
                peers.into_iter().for_each(|peer| self.endpoint.close(now, peer));
                self.ending = Ending::Closing { until: Time(now.0 + CLOSE_NS_MAX) };
                false
            }
            // Whoever did not hear it finds out by silence.
            Ending::Closing { until } => now >= until,
        }
    }

    /// What is counted for whoever watches it, as of now.
    pub fn figures(&mut self) -> &LinkFigures {
        for (node, peer) in self.sessions.linked() {
            if let Some(stats) = self.endpoint.stats(peer) {
                self.figures.note_session(node, stats);
            }
        }
        self.figures.backlog = Some(self.hub.backlog());
        self.figures.rejected = self.endpoint.rejected();
        &self.figures
    }

    /// What became of its sessions.
    pub fn session_counts(&self) -> SessionCounts {
        self.counts
    }

    /// What the hub did.
    pub fn hub_counts(&self) -> HubCounts {
        self.hub.counts()
    }

    /// The endpoint, to look at.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Nodes that it can talk to.
    pub fn open_count(&self) -> usize {
        self.hub.open_count()
    }

    fn ends_at(&self) -> Option<Time> {
        match self.ending {
            Ending::No => None,
            Ending::Flushing { until } | Ending::Closing { until } => Some(until),
        }
    }

    fn handle_nodes(&mut self, now: Time, nodes: &[NodeRecord]) {
        let mut known = Vec::with_capacity(nodes.len());
        for record in nodes.iter().filter(|record| record.node != self.node.config.node) {
            let text = &record.announcement.link_address;
            match text.parse::<SocketAddr>() {
                Ok(address) if self.is_plain && !address.ip().is_loopback() => {
                    self.sessions.complain(now, record.node, || {
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
        self.hub.handle_announced(ms(now), &known);
    }

    fn handle_event(&mut self, now: Time, event: Event) {
        let now_ms = ms(now);
        match event {
            Event::Connected { peer, node, .. } => {
                self.counts.connected += 1;
                let node = NodeId(node.0);
                self.sessions.insert(peer, node);
                self.hub.handle_connected(now_ms, node);
            }
            Event::Message { peer, message, .. } => {
                let Some(node) = self.sessions.node(peer) else { return };
                self.figures.note_received(node, kind_of(&message));
                if let Err(fault) = self.hub.handle_message(now_ms, node, message) {
                    log::error!("node {} cannot be linked: {fault}", node.0);
                }
            }
            Event::Writable { peer } => {
                if let Some(node) = self.sessions.node(peer) {
                    self.hub.handle_writable(node);
                }
            }
            Event::Suspect { peer } => {
                self.counts.suspected += 1;
                self.note_silence(peer, "is silent");
            }
            Event::Recovered { peer } => self.note_silence(peer, "is heard again"),
            Event::Restarted { peer, .. } => {
                self.counts.restarted += 1;
                self.handle_end(now, peer, "ends: it has restarted");
            }
            Event::Lost { peer, .. } => {
                self.counts.lost += 1;
                self.handle_end(now, peer, "is lost");
            }
            Event::Closed { peer, .. } => {
                self.counts.closed += 1;
                self.handle_end(now, peer, "was closed");
            }
        }
    }

    fn note_silence(&self, peer: PeerId, what: &str) {
        if let Some(node) = self.sessions.node(peer) {
            log::info!("node {} {what}", node.0);
        }
    }

    fn handle_end(&mut self, now: Time, peer: PeerId, how: &str) {
        if let Some(node) = self.sessions.remove(now, peer, how) {
            self.figures.note_end(node);
            self.hub.handle_down(ms(now), node);
        }
    }

    fn handle_effect(&mut self, now: Time, effect: LinkEffect) -> Option<LinkOutput> {
        match effect {
            LinkEffect::Connect { node, address } => self.connect(now, node, address),
            LinkEffect::Close { node } => {
                if let Some(peer) = self.sessions.peer(node) {
                    self.endpoint.close(now, peer);
                }
            }
            LinkEffect::Send { node, flow, message } => {
                let peer = self.sessions.peer(node)?;
                let flow = match flow {
                    LinkFlow::Unordered => Flow::Unordered,
                    LinkFlow::Ordered(number) => Flow::Ordered(number),
                };
                let kind = kind_of(&message);
                let waiting = |stats: aldis_rudp::Stats| stats.messages_unacknowledged;
                if KINDS_UNSTORED.contains(&kind)
                    && self.endpoint.stats(peer).map_or(0, waiting) > NOTICE_BACKLOG_MAX
                {
                    self.figures.note_dropped(node);
                    return None;
                }
                match self.endpoint.send(now, peer, flow, message) {
                    Ok(_) => self.figures.note_sent(node, kind),
                    Err(SendError::NoPeer) => {}
                    Err(SendError::WouldBlock) => {
                        self.figures.note_dropped(node);
                        self.hub.handle_blocked(node);
                    }
                    Err(SendError::TooLarge(bytes)) => {
                        log::error!("a message of {bytes} bytes is too large for the link");
                    }
                }
            }
            LinkEffect::Lookup { number, users } => {
                return Some(LinkOutput::Lookup(Lookup { number, users }));
            }
            LinkEffect::Post { reactor, mail } => return Some(LinkOutput::Post { reactor, mail }),
            LinkEffect::Hints(hints) => return Some(LinkOutput::Hints(hints)),
            LinkEffect::Opened { node, release } => {
                log::info!("node {} is linked ({release})", node.0);
            }
            LinkEffect::CheckAll => return Some(LinkOutput::Alarm),
        }
        None
    }

    fn connect(&mut self, now: Time, node: NodeId, address: SocketAddr) {
        match self.endpoint.connect(now, aldis_rudp::NodeId(node.0), address) {
            Ok(peer) => self.sessions.begin(peer, node, address),
            // It was quicker, or it still holds an older session: that ends, or is found dead.
            Err(ConnectError::Exists(_)) => self.hub.handle_down(ms(now), node),
            Err(error @ (ConnectError::Full | ConnectError::Myself)) => {
                let what = || format!("node {} cannot be linked: {error}", node.0);
                self.sessions.complain(now, node, what);
                self.hub.handle_down(ms(now), node);
            }
        }
    }
}

fn ms(now: Time) -> u64 {
    now.0 / 1_000_000
}
