//! A node's dealings with the other nodes, behind one face: inputs one at a time, then effects. What
//! it decides with is in the other files of the folder.

use std::collections::VecDeque;
use std::sync::Arc;

use aldis_wire::{GroupId, Seq, UserId, node_pb, pb};
use node_pb::node_message::Body;
use smallvec::SmallVec;

use super::counts::HubCounts;
use super::effect::{Backlog, Found, KickOrder, LinkEffect, LinkFlow};
use super::interest::Interest;
use super::kicks::Kicks;
use super::notices::Notices;
use super::outgoing::Outgoing;
use super::parked::{Lot, Parked, Sought};
use super::peers::{PeerAddress, Peers};
use super::planted::{self, Bug};
use super::router::{Parts, Shared, encode, is_wanted};
use super::routes::{RemoteSession, RemoteSessions, Route, Routes};
use crate::fanout::Delivery;
use crate::job::{NodeId, SessionRecord};
use crate::node::Node;

/// Nodes up to which an entry goes to all of them when nobody knows where its owner is.
const GUESSES_MAX: usize = 8;
/// The flow of entries that were sent to a wrong node before.
pub(super) const SECOND_FLOW: u32 = 0;
/// Pause between two announcements that deliveries were dropped: each costs the others a look at all
/// of their sessions. ms
const CHECK_PAUSE_MS: u64 = 500;

/// What a hub is told at its start.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Nodes that the configuration names.
    pub peers: Vec<PeerAddress>,
    /// The nodes have a directory in common. If not, entries go to all nodes.
    pub has_directory: bool,
    /// Of the program, for people.
    pub release: String,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Hub {
    pub(super) node: Arc<Node>,
    pub(super) routes: Arc<Routes>,
    pub(super) config: HubConfig,
    pub(super) peers: Peers,
    pub(super) lot: Lot,
    pub(super) notices: Notices,
    pub(super) kicks: Kicks,
    pub(super) interest: Interest,
    pub(super) effects: VecDeque<LinkEffect>,
    /// By reactor; taken once per turn.
    pub(super) inbound: Vec<Vec<Delivery>>,
    /// Deliveries for nobody in particular were dropped; everybody is told at this time. ms
    check_at_ms: Option<u64>,
    checked_ms: Option<u64>,
    pub(super) counts: HubCounts,
}

impl Hub {
    /// Of a node with so many reactors.
    pub fn new(node: Arc<Node>, routes: Arc<Routes>, reactors: usize, config: HubConfig) -> Self {
        let peers = Peers::new(node.config.node, node.config.store_epoch, &config.peers);
        node.streams.watch();
        Self {
            node,
            routes,
            peers,
            lot: Lot::default(),
            notices: Notices::default(),
            kicks: Kicks::default(),
            interest: Interest::default(),
            effects: VecDeque::new(),
            inbound: vec![Vec::new(); reactors],
            check_at_ms: None,
            checked_ms: None,
            counts: HubCounts::default(),
            config,
        }
    }

    /// The next thing to do. Drain it after each input.
    pub fn poll_effect(&mut self) -> Option<LinkEffect> {
        self.effects.pop_front()
    }

    /// Deliveries for this node's reactors since the last call, by reactor.
    pub fn take_deliveries(&mut self) -> impl Iterator<Item = (usize, Vec<Delivery>)> {
        let lists = self.inbound.iter_mut().map(std::mem::take).enumerate();
        lists.filter(|(_, deliveries)| !deliveries.is_empty())
    }

    /// What it did since it began.
    pub fn counts(&self) -> HubCounts {
        self.counts
    }

    /// Nodes that it can talk to.
    pub fn open_count(&self) -> usize {
        self.peers.open().count()
    }

    /// When `handle_timeout` is to be called if nothing happens before. ms
    pub fn poll_timeout(&self) -> Option<u64> {
        let has_peers = self.peers.open().next().is_some();
        let interest = has_peers.then(|| self.interest.poll_timeout());
        let parts =
            [self.peers.poll_timeout(), self.kicks.poll_timeout(), self.check_at_ms, interest];
        parts.into_iter().flatten().min()
    }

    /// What waits, for the metrics.
    pub fn backlog(&self) -> Backlog {
        let (parked, parked_bytes) = self.lot.load();
        Backlog { parked, parked_bytes, kicks: self.kicks.count() }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        for PeerAddress { node, address } in self.peers.take_due(now_ms) {
            self.effects.push_back(LinkEffect::Connect { node, address });
        }
        let peers = &self.peers;
        for (node, kick) in self.kicks.take_due(now_ms, |node| peers.is_open(node)) {
            self.counts.kicks_sent += 1;
            self.send(node, LinkFlow::Unordered, Body::Kick(kick));
        }
        self.tell_interest(now_ms);
        if self.check_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            (self.check_at_ms, self.checked_ms) = (None, Some(now_ms));
            for node in self.peers.open().collect::<Vec<_>>() {
                self.send_check(node);
            }
        }
    }

    /// The nodes that the directory knows.
    pub fn handle_announced(&mut self, now_ms: u64, nodes: &[PeerAddress]) {
        for node in self.peers.handle_announced(now_ms, nodes) {
            self.effects.push_back(LinkEffect::Close { node });
        }
        self.note_peers();
        self.handle_timeout(now_ms);
    }

    /// A session of the link is up.
    pub fn handle_connected(&mut self, now_ms: u64, node: NodeId) {
        match self.peers.handle_connected(now_ms, node, &self.config.release) {
            Some(hello) => self.send(node, LinkFlow::Unordered, Body::Hello(hello)),
            None => self.effects.push_back(LinkEffect::Close { node }),
        }
        self.note_peers();
    }

    /// A session of the link is over, or did not come about.
    pub fn handle_down(&mut self, now_ms: u64, node: NodeId) {
        self.peers.handle_down(now_ms, node);
        self.interest.forget(node);
        self.note_peers();
    }

    /// A message that was to be sent does not fit.
    pub fn handle_blocked(&mut self, node: NodeId) {
        self.peers.handle_blocked(node);
    }

    /// After that, messages fit again.
    pub fn handle_writable(&mut self, node: NodeId) {
        if self.peers.handle_writable(node) {
            self.send_check(node);
            self.send_interest(node);
        }
    }

    /// Deliveries were dropped on their way here.
    pub fn handle_dropped(&mut self, now_ms: u64) {
        let pause = |checked_ms: u64| (checked_ms + CHECK_PAUSE_MS).max(now_ms);
        self.check_at_ms.get_or_insert(self.checked_ms.map_or(now_ms, pause));
    }

    /// A session that began here took another's place.
    pub fn handle_kick_order(&mut self, now_ms: u64, order: KickOrder) {
        if planted::is_active(Bug::NoKick) {
            return;
        }
        match order.node {
            Some(node) => self.kicks.push(now_ms, node, order),
            None => {
                // What is revoked must end; other sessions end by their head checks as well.
                let is_revoked = order.reason == pb::KickReason::Revoked;
                let nodes_max = if is_revoked { usize::MAX } else { GUESSES_MAX };
                for node in self.peers.open().take(nodes_max) {
                    self.kicks.push(now_ms, node, order.clone());
                }
            }
        }
        self.handle_timeout(now_ms);
    }

    /// Entries that were committed here.
    pub fn handle_outgoing(&mut self, now_ms: u64, entries: Vec<Outgoing>) {
        for entry in entries {
            self.route(now_ms, &entry);
            self.note_moved(now_ms, None, entry.stream.as_deref());
        }
        self.look_up();
    }

    /// The directory answered: sessions of those who were asked about, whichever node they are on.
    /// `None`: it could not be asked at all.
    pub fn handle_found(&mut self, now_ms: u64, number: u32, found: Option<&Found<'_>>) {
        let asked = self.lot.handle_answer(number);
        let this = self.node.config.node;
        if let Some(found) = found {
            let mut by_user: Vec<&SessionRecord> = found.sessions.iter().collect();
            by_user.sort_by_key(|record| record.user);
            for &user in asked.iter().filter(|user| !found.unknown.contains(user)) {
                let first = by_user.partition_point(|record| record.user < user);
                let theirs = by_user[first..].iter().take_while(|record| record.user == user);
                let elsewhere = theirs.filter(|record| record.node != this);
                let sessions: RemoteSessions =
                    elsewhere.map(|record| RemoteSession::of(record)).collect();
                self.routes.put(user, now_ms, sessions);
            }
        }
        for parked in self.lot.take_ready(&asked) {
            self.send_found(now_ms, &parked);
        }
        self.handle_notices_found(now_ms, &asked);
        self.look_up();
    }

    /// Sends an entry to where its owners are known to be, and parks it for the others.
    fn route(&mut self, now_ms: u64, entry: &Outgoing) {
        let mut parts = Parts::default();
        let mut sought: SmallVec<[Sought; 1]> = SmallVec::new();
        for &(user, seq) in &entry.owners {
            if !self.config.has_directory {
                self.guess(&mut parts, user, seq, &[]);
                continue;
            }
            let route = self.routes.of(user, now_ms);
            let is_fresh = matches!(route, Route::Fresh(_));
            let (Route::Fresh(sessions) | Route::Stale(sessions)) = route else {
                sought.push(Sought { user, seq, sent_to: SmallVec::new(), denied: None });
                continue;
            };
            let takes = |session: &RemoteSession| self.peers.takes_deliveries(session.node);
            parts.add(user, seq, &sessions, takes);
            if !is_fresh {
                let sent_to = sessions.iter().filter(|s| takes(s)).map(|s| s.node).collect();
                sought.push(Sought { user, seq, sent_to, denied: None });
            }
        }
        if entry.stream.as_ref().is_some_and(|stream| stream.is_in_stream) {
            let group = GroupId(entry.stream.as_ref().map_or(0, |stream| stream.group_id));
            let wants = |node: &NodeId| self.interest.wants(*node, group);
            let open = self.peers.open().filter(|node| self.peers.takes_deliveries(*node));
            open.filter(wants).for_each(|node| parts.add_stream(node));
        }
        let Outgoing { push, flow, stream, .. } = entry.clone();
        let entry = Shared { push, flow, stream };
        self.send_parts(&entry, parts, false);
        let entry = entry.in_mailboxes();
        if !sought.is_empty() && !self.lot.park(entry, sought, false) {
            self.handle_dropped(now_ms);
        }
    }

    /// Sends an entry to owners that were looked for.
    fn send_found(&mut self, now_ms: u64, parked: &Parked) {
        let mut parts = Parts::default();
        for sought in &parked.sought {
            let (user, seq) = (sought.user, sought.seq);
            // Whatever the directory said was put there a moment ago.
            match self.routes.of(user, now_ms) {
                Route::Fresh(sessions) => {
                    let wanted = |session: &RemoteSession| {
                        is_wanted(sought, session) && self.peers.takes_deliveries(session.node)
                    };
                    parts.add(user, seq, &sessions, wanted);
                }
                _ => self.guess(&mut parts, user, seq, &sought.sent_to),
            }
        }
        self.send_parts(&parked.entry, parts, parked.is_second);
    }

    /// Nobody knows where the user is: all nodes, if they are few.
    fn guess(&mut self, parts: &mut Parts, user: UserId, seq: Seq, sent_to: &[NodeId]) {
        for node in self.guesses() {
            if !sent_to.contains(&node) && self.peers.takes_deliveries(node) {
                parts.add_guess(user, seq, node);
                self.counts.guessed += 1;
            }
        }
    }

    /// All nodes, if they are few.
    pub(super) fn guesses(&self) -> SmallVec<[NodeId; GUESSES_MAX]> {
        let is_few = self.peers.open().nth(GUESSES_MAX).is_none();
        self.peers.open().filter(|_| is_few).collect()
    }

    fn send_parts(&mut self, entry: &Shared, parts: Parts, is_second: bool) {
        for (node, recipients) in parts.into_iter() {
            let count = if is_second {
                &mut self.counts.second_sent
            } else {
                &mut self.counts.delivers_sent
            };
            *count += 1;
            let stream = entry.stream.as_deref();
            if let Some(stream) = stream.filter(|stream| stream.moves_members) {
                self.interest.expect(node, GroupId(stream.group_id));
            }
            let message = recipients.message(entry.push.encoded(), is_second, stream);
            let flow = LinkFlow::Ordered(entry.flow);
            self.effects.push_back(LinkEffect::Send { node, flow, message });
        }
    }

    pub(super) fn send(&mut self, node: NodeId, flow: LinkFlow, body: Body) {
        self.effects.push_back(LinkEffect::Send { node, flow, message: encode(body) });
    }

    fn send_check(&mut self, node: NodeId) {
        self.counts.checks_sent += 1;
        self.send(node, LinkFlow::Unordered, Body::CheckHeads(node_pb::CheckHeads {}));
    }

    pub(super) fn look_up(&mut self) {
        while let Some((number, users)) = self.lot.poll_lookup() {
            self.effects.push_back(LinkEffect::Lookup { number, users });
        }
    }

    pub(super) fn note_peers(&self) {
        self.routes.set_has_peers(self.peers.open().next().is_some());
    }
}
