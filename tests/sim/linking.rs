//! The link's thread of a simulated node: src/server/link/driver.rs is the real one, and the link
//! itself (src/link) is the same code. Its queue is that of src/server/link/post.rs.

use std::collections::VecDeque;
use std::sync::Arc;

use aldis_link::{Link, LinkMail, LinkOutput, LinkParts, SessionCounts};
use aldis_logic::Delivery;
use aldis_logic::cluster::{
    HubConfig, HubCounts, KickOrder, Outgoing, PeerAddress, Routes, outgoing,
};
use aldis_logic::job::{Event as Entry, NodeId};
use aldis_logic::{Hints, LinkUse, Node, Notice};
use aldis_netsim::{Datagram, Ecn, UDP_HEADERS};
use aldis_rudp::{BootId, ClusterKey, ClusterKeys, Endpoint, Mode, Time, Transmit};

use crate::agenda::Event;
use crate::mail::Mail;
use crate::node::{HOP_US, Life, Server};
use crate::outside::Outside;
use crate::plan::LinkPlan;
use crate::wire::Wire;

/// Mails of one turn.
const MAILS_PER_TURN: usize = 64;
/// Datagrams that the kernel keeps for a process that does not read: few, so that it happens.
const INBOX_LEN_MAX: usize = 100;
/// What mail other than entries takes while it waits, bytes.
const MAIL_BYTES: usize = 256;
/// Turns from one look at the endpoint's invariants, which take long, to the next.
const TURNS_PER_CHECK: u64 = 16;
/// Datagrams that the endpoint may hand over together.
const SEGMENTS_MAX: usize = 8;

/// See the file's first line.
pub struct Linking {
    link: Link,
    routes: Arc<Routes>,
    inbox: VecDeque<Datagram>,
    reserved: VecDeque<LinkMail>,
    /// With what each takes, bytes.
    best_effort: VecDeque<(usize, LinkMail)>,
    weight: usize,
    weight_max: usize,
    has_dropped: bool,
    turn_at_us: Option<u64>,
    turn_count: u64,
    seen: (HubCounts, SessionCounts),
}

impl Linking {
    /// The link of one life of a node. `seed` is all that is random in it.
    pub fn new(
        plan: &LinkPlan,
        life: Life,
        node: &Arc<Node>,
        seed: [u8; 32],
        peers: usize,
    ) -> Self {
        let key = ClusterKey { id: 1, secret: [9; 32] };
        let mode = match plan.is_sealed {
            true => Mode::Sealed(ClusterKeys { current: key, other: None }),
            false => Mode::Plain,
        };
        let own = aldis_rudp::NodeId(life.node.0);
        let mut config = aldis_rudp::Config::new(own, BootId(life.boot.into()), mode);
        config.controller = plan.controller;
        config.redundancy = plan.redundancy;
        config.lost_after = plan.lost_after;
        config.segments_max = SEGMENTS_MAX;
        let has_directory = plan.usage == LinkUse::Routed;
        let others = (0..peers).filter(|peer| *peer != usize::from(life.node.0));
        let named = others
            .map(|peer| PeerAddress { node: NodeId(peer as u16), address: Wire::address(peer) });
        let peers = if has_directory { Vec::new() } else { named.collect() };
        let routes = Arc::new(Routes::default());
        let link = Link::new(LinkParts {
            endpoint: Endpoint::new(Arc::new(config), seed),
            hub: HubConfig { peers, has_directory, release: "sim".to_owned() },
            node: node.clone(),
            routes: routes.clone(),
            reactor_count: plan.reactor_count,
            is_plain: !plan.is_sealed,
        });
        Self {
            link,
            routes,
            inbox: VecDeque::new(),
            reserved: VecDeque::new(),
            best_effort: VecDeque::new(),
            weight: 0,
            weight_max: plan.queue_bytes_max,
            has_dropped: false,
            turn_at_us: None,
            turn_count: 0,
            seen: Default::default(),
        }
    }

    /// Nodes that it can talk to.
    pub fn open_count(&self) -> usize {
        self.link.open_count()
    }

    /// What the hub did.
    pub fn counts(&self) -> HubCounts {
        self.link.hub_counts()
    }

    /// From now on its queue takes so many bytes.
    pub fn set_queue_bytes_max(&mut self, bytes: usize) {
        self.weight_max = bytes;
    }

    fn push(&mut self, mail: LinkMail, weight: usize) -> bool {
        let fits = self.weight + weight <= self.weight_max.max(MAIL_BYTES);
        if fits {
            self.weight += weight;
            self.best_effort.push_back((weight, mail));
        }
        fits
    }

    fn pop(&mut self) -> Option<LinkMail> {
        self.reserved.pop_front().or_else(|| {
            let (weight, mail) = self.best_effort.pop_front()?;
            self.weight -= weight;
            Some(mail)
        })
    }

    fn has_work(&self) -> bool {
        !self.inbox.is_empty() || !self.reserved.is_empty() || !self.best_effort.is_empty()
    }
}

impl Server {
    /// What was committed here and concerns other nodes goes to the link.
    pub fn forward(&mut self, outside: &mut Outside, events: &[Entry]) {
        let Some(linking) = &mut self.linking else { return };
        let entries = outgoing(events, &linking.routes, outside.agenda.now_ms());
        if entries.is_empty() {
            return;
        }
        let weight = entries.iter().map(Outgoing::weight).sum();
        if !linking.push(LinkMail::Outgoing(entries), weight) {
            outside.coverage.hit("nodes: the link's queue is full");
            linking.has_dropped = true;
        }
        self.wake_link(outside);
    }

    /// A session elsewhere is over.
    pub fn order_kick(&mut self, outside: &mut Outside, order: KickOrder) {
        let Some(linking) = &mut self.linking else { return };
        if !linking.push(LinkMail::Kick(order), MAIL_BYTES) {
            outside.coverage.hit("nodes: no room for a kick");
        }
        self.wake_link(outside);
    }

    /// Users on other nodes are told something that is in no store.
    pub fn forward_notice(&mut self, outside: &mut Outside, notice: Notice) {
        let Some(linking) = &mut self.linking else { return };
        let weight = notice.weight();
        // Where there is no room, nobody is told.
        linking.push(LinkMail::Notice(notice), weight);
        self.wake_link(outside);
    }

    /// Sessions began or ended here.
    pub fn forward_hints(&mut self, outside: &mut Outside, hints: Arc<Hints>) {
        let Some(linking) = &mut self.linking else { return };
        let weight = hints.weight();
        // Where there is no room, other nodes find out by themselves.
        linking.push(LinkMail::Hints(hints), weight);
        self.wake_link(outside);
    }

    /// Mail of the directory, or the end.
    pub fn post_link(&mut self, outside: &mut Outside, mail: LinkMail) {
        let Some(linking) = &mut self.linking else { return };
        match mail {
            LinkMail::Nodes(nodes) => {
                let weight = MAIL_BYTES * (1 + nodes.len());
                linking.push(LinkMail::Nodes(nodes), weight);
            }
            mail => linking.reserved.push_back(mail),
        }
        self.wake_link(outside);
    }

    /// A datagram is in the socket.
    pub fn handle_datagram(&mut self, outside: &mut Outside, datagram: Datagram) {
        let Some(linking) = &mut self.linking else { return };
        if linking.inbox.len() >= INBOX_LEN_MAX {
            outside.coverage.hit("wire: datagram did not fit the socket");
            return;
        }
        linking.inbox.push_back(datagram);
        self.wake_link(outside);
    }

    /// The link has its first turn soon.
    pub fn wake_link(&mut self, outside: &mut Outside) {
        let delay_us = outside.dice.range(0, HOP_US.1);
        self.plan_link(outside, outside.agenda.now_us() + delay_us);
    }

    fn plan_link(&mut self, outside: &mut Outside, at_us: u64) {
        let Some(linking) = &mut self.linking else { return };
        if linking.turn_at_us.is_none_or(|planned_us| at_us < planned_us) {
            linking.turn_at_us = Some(at_us);
            outside.agenda.at(at_us, Event::LinkTurn(self.boot));
        }
    }

    /// One turn of the link. True: it was its last.
    pub fn link_turn(&mut self, outside: &mut Outside) -> bool {
        let now_us = outside.agenda.now_us();
        let now = Time(now_us * 1_000);
        let Some(linking) = &mut self.linking else { return false };
        if linking.turn_at_us.is_none_or(|at_us| at_us > now_us) {
            // An earlier turn has done it.
            return false;
        }
        linking.turn_at_us = None;
        while let Some(mut datagram) = linking.inbox.pop_front() {
            let ecn = datagram.ecn.map(to_rudp);
            linking.link.handle_datagram(now, datagram.from, ecn, &mut datagram.bytes);
        }
        for _ in 0..MAILS_PER_TURN {
            let Some(mail) = linking.pop() else { break };
            linking.link.handle_mail(now, mail);
        }
        linking.link.handle_timeout(now);
        if std::mem::take(&mut linking.has_dropped) {
            linking.link.handle_dropped(now);
        }
        self.drain_link(outside, now);
        let Some(linking) = &mut self.linking else { return false };
        let is_over = linking.link.handle_turn_end(now);
        let mut buffer = Vec::new();
        while let Some(transmit) = linking.link.poll_transmit(now, &mut buffer) {
            send(outside, usize::from(self.node.config.node.0), &transmit, &buffer);
        }
        if linking.turn_count.is_multiple_of(TURNS_PER_CHECK) {
            linking.link.endpoint().invariants();
        }
        linking.turn_count += 1;
        linking.note(outside);
        let deliveries: Vec<(usize, Vec<Delivery>)> = linking.link.take_deliveries().collect();
        let has_work = linking.has_work();
        let due_us = linking.link.poll_timeout().map(|at| at.0.div_ceil(1_000));
        for (reactor, deliveries) in deliveries {
            outside.trace(|| brief(self.boot, &deliveries));
            let boot = self.boot;
            let targets = deliveries.iter().flat_map(|delivery| &delivery.targets);
            outside.by_link.extend(targets.map(|target| (boot, target.user, target.seq)));
            self.deliver(outside, reactor, deliveries);
        }
        if has_work {
            self.wake_link(outside);
        }
        if let Some(due_us) = due_us {
            self.plan_link(outside, due_us.max(now_us + 1));
        }
        is_over
    }

    fn drain_link(&mut self, outside: &mut Outside, now: Time) {
        while let Some(linking) = &mut self.linking
            && let Some(output) = linking.link.poll_output(now)
        {
            match output {
                LinkOutput::Lookup(lookup) => {
                    let node = self.node.config.node.0;
                    outside.trace(|| format!("node {node} asks for {lookup:?}"));
                    let number = lookup.number;
                    if !self.look_up(outside, lookup)
                        && let Some(linking) = &mut self.linking
                    {
                        linking.link.handle_lookup_refused(now, number);
                    }
                }
                LinkOutput::Post { reactor, mail } => {
                    self.post_peer(outside, usize::from(reactor.0), mail);
                }
                LinkOutput::Hints(hints) => self.post_hints(outside, &hints),
                LinkOutput::Alarm => self.raise_alarm(outside),
            }
        }
    }

    /// All sessions of the node are to be compared with the store.
    pub fn raise_alarm(&mut self, outside: &mut Outside) {
        self.node.alarms.raise();
        for reactor in 0..self.reactors.len() {
            self.post(outside, reactor, Mail::Alarm);
        }
    }
}

impl Linking {
    /// What happened since the last turn.
    fn note(&mut self, outside: &mut Outside) {
        let (hub, sessions) = (self.link.hub_counts(), self.link.session_counts());
        let (hub_seen, seen) = std::mem::replace(&mut self.seen, (hub, sessions));
        let coverage = &mut outside.coverage;
        let mut note = |what, now: u64, before: u64| coverage.add_hits(what, now - before);
        note("nodes: entry sent", hub.delivers_sent, hub_seen.delivers_sent);
        note("nodes: entry sent a second time", hub.second_sent, hub_seen.second_sent);
        note("nodes: entry came", hub.delivers_heard, hub_seen.delivers_heard);
        note("nodes: entry sent on a guess", hub.guessed, hub_seen.guessed);
        note("nodes: NOT_HERE", hub.not_here_heard, hub_seen.not_here_heard);
        note("nodes: STALE", hub.stale_heard, hub_seen.stale_heard);
        note("nodes: kick sent", hub.kicks_sent, hub_seen.kicks_sent);
        note("nodes: kick came", hub.kicks_heard, hub_seen.kicks_heard);
        note("nodes: kick ended a session", hub.kicked, hub_seen.kicked);
        note("nodes: notification sent", hub.notices_sent, hub_seen.notices_sent);
        note("nodes: notification came", hub.notices_heard, hub_seen.notices_heard);
        note("nodes: CheckHeads", hub.checks_heard, hub_seen.checks_heard);
        note("nodes: opened", hub.opened, hub_seen.opened);
        note("nodes: session connected", sessions.connected, seen.connected);
        note("nodes: session ended by a restart", sessions.restarted, seen.restarted);
        note("nodes: session lost", sessions.lost, seen.lost);
        note("nodes: session closed", sessions.closed, seen.closed);
        note("nodes: node suspected", sessions.suspected, seen.suspected);
        let reopened = hub.opened > hub_seen.opened && sessions.lost > 0;
        note("nodes: opened after a loss", reopened.into(), 0);
    }
}

fn brief(boot: u32, deliveries: &[Delivery]) -> String {
    let targets = deliveries.iter().flat_map(|delivery| &delivery.targets);
    let targets: Vec<_> = targets.map(|target| (target.user.0, target.seq.0)).collect();
    format!("start {boot} gets {targets:?} by the link")
}

fn send(outside: &mut Outside, from: usize, transmit: &Transmit, contents: &[u8]) {
    let size = transmit.segment_size.unwrap_or(contents.len()).max(1);
    for bytes in contents.chunks(size) {
        let datagram = Datagram {
            from: Wire::address(from),
            to: transmit.destination,
            ecn: transmit.ecn.map(to_netsim),
            headers: UDP_HEADERS,
            bytes: bytes.to_vec(),
        };
        outside.wire.send(&mut outside.agenda, &mut outside.coverage, datagram);
    }
}

fn to_rudp(ecn: Ecn) -> aldis_rudp::Ecn {
    match ecn {
        Ecn::Ect0 => aldis_rudp::Ecn::Ect0,
        Ecn::Ect1 => aldis_rudp::Ecn::Ect1,
        Ecn::Ce => aldis_rudp::Ecn::Ce,
    }
}

fn to_netsim(ecn: aldis_rudp::Ecn) -> Ecn {
    match ecn {
        aldis_rudp::Ecn::Ect0 => Ecn::Ect0,
        aldis_rudp::Ecn::Ect1 => Ecn::Ect1,
        aldis_rudp::Ecn::Ce => Ecn::Ce,
    }
}
