//! Nodes with their hubs, a link between them that delivers at once or is cut, and a directory.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use aldis_logic::cluster::{
    Found, Hub, HubConfig, KickOrder, LinkEffect, Outgoing, PeerAddress, Routes, outgoing,
};
use aldis_logic::job::{BootId, Event, NodeId, ReactorId, SessionRecord, StoredMessage, Ticket};
use aldis_logic::{
    Delivery, Hints, LinkUse, Node, NodeConfig, Notice, Online, PeerMail, message_data,
};
use aldis_wire::{
    ClientMsgId, Command, ConnId, ConvSeq, ConversationKey, DeviceClass, Epoch, Message, MsgId,
    MsgNo, Seq, UserId, node_pb, pb,
};
use bytes::Bytes;
use node_pb::node_message::Body;

#[path = "../common/mod.rs"]
mod common;

use common::{config, node_from};

/// Reactors of each node.
const REACTORS: usize = 2;

/// One node.
pub struct TestNode {
    pub id: NodeId,
    pub node: Arc<Node>,
    pub routes: Arc<Routes>,
    pub hub: Hub,
    /// What its sessions were handed: connection, seq, text.
    pub delivered: Vec<(u32, u64, String)>,
    pub kicked: Vec<u32>,
    /// Connections that were told something that is in no store.
    pub told: Vec<u32>,
    /// What it heard of who came and went.
    pub hints: Vec<Hints>,
    pub check_count: usize,
    /// Nodes that take no messages for now.
    pub blocked: Vec<NodeId>,
}

/// See the file's first line.
pub struct Net {
    pub now_ms: u64,
    pub nodes: Vec<TestNode>,
    /// What the directory says, whichever node asks.
    pub records: BTreeMap<UserId, Vec<SessionRecord>>,
    pub is_directory_away: bool,
    /// Lookups wait until `answer_lookups`.
    pub holds_lookups: bool,
    held: VecDeque<(usize, u32, Vec<UserId>)>,
    pub lookups: usize,
    /// Messages on the link so far: from, to, what.
    pub said: Vec<(u16, u16, Body)>,
    /// Links that are cut.
    cut: Vec<(NodeId, NodeId)>,
}

impl Net {
    /// So many nodes that are linked and know each other from a directory.
    pub fn new(count: u16) -> Self {
        Self::with(count, true)
    }

    pub fn with(count: u16, has_directory: bool) -> Self {
        let nodes = (1..=count).map(|id| test_node(NodeId(id), count, has_directory)).collect();
        let mut net = Self {
            now_ms: 10_000,
            nodes,
            records: BTreeMap::new(),
            is_directory_away: false,
            holds_lookups: false,
            held: VecDeque::new(),
            lookups: 0,
            said: Vec::new(),
            cut: Vec::new(),
        };
        for index in 0..net.nodes.len() {
            net.announce(index);
        }
        net.settle();
        net.said.clear();
        net.nodes.iter_mut().for_each(|node| node.check_count = 0);
        net
    }

    /// A node hears of all others.
    pub fn announce(&mut self, index: usize) {
        let all: Vec<PeerAddress> = self.nodes.iter().map(|node| address(node.id)).collect();
        self.nodes[index].hub.handle_announced(self.now_ms, &all);
    }

    /// A session that is live and announced.
    pub fn login(&mut self, node: u16, user: UserId, class: DeviceClass, epoch: u64) -> u32 {
        self.enter(node, user, class, epoch);
        let boot = BootId(node.into());
        let record = SessionRecord { user, class, epoch: Epoch(epoch), node: NodeId(node), boot };
        let records = self.records.entry(user).or_default();
        records.retain(|other| other.class != class);
        records.push(record);
        conn_of(user, class, epoch)
    }

    /// A session that is live, whatever the directory says.
    pub fn enter(&mut self, node: u16, user: UserId, class: DeviceClass, epoch: u64) {
        let conn = ConnId { index: conn_of(user, class, epoch), generation: 0 };
        let reactor = ReactorId((user.0 % REACTORS as u64) as u16);
        let online = Online { reactor, conn, class, epoch: Epoch(epoch) };
        self.node(node).node.table.enter(user, online);
    }

    /// A session that is over.
    pub fn leave(&mut self, node: u16, user: UserId, class: DeviceClass, epoch: u64) {
        let conn = ConnId { index: conn_of(user, class, epoch), generation: 0 };
        let reactor = ReactorId((user.0 % REACTORS as u64) as u16);
        let online = Online { reactor, conn, class, epoch: Epoch(epoch) };
        self.node(node).node.table.leave(user, online);
    }

    pub fn node(&mut self, id: u16) -> &mut TestNode {
        &mut self.nodes[usize::from(id) - 1]
    }

    /// A node commits an entry for these mailboxes.
    pub fn commit(&mut self, node: u16, text: &str, owners: &[(UserId, u64)]) {
        let now_ms = self.now_ms;
        let event = event(text, owners);
        let this = self.node(node);
        let entries: Vec<Outgoing> = outgoing(&[event], &this.routes, now_ms);
        if !entries.is_empty() {
            this.hub.handle_outgoing(now_ms, entries);
        }
        self.settle();
    }

    /// A node says that it does not have a session that it was sent an entry for.
    pub fn deny(&mut self, from: u16, to: u16, text: &str, (user, seq): (UserId, u64), epoch: u64) {
        let entry = message_data(&event(text, &[]).message, Seq(0)).encode_to_vec();
        let class = DeviceClass::Phone.number() as u64;
        let said = node_pb::Misplacement { user_id: user.0, seq, class, epoch, newer_epoch: 0 };
        let misplaced = node_pb::Misplaced { sessions: vec![said], entry: entry.into() };
        let message = node_pb::NodeMessage { body: Some(Body::Misplaced(misplaced)) };
        let (now_ms, message) = (self.now_ms, Bytes::from(message.encode_to_vec()));
        self.node(to).hub.handle_message(now_ms, NodeId(from), message).unwrap();
        self.settle();
    }

    /// A node tells users something that is in no store.
    pub fn notice(&mut self, from: u16, users: &[UserId]) {
        let users = users.iter().copied().collect();
        let body = Bytes::from_static(b"body");
        let notice = Notice { command: Command::TypingNotify, body, users };
        let now_ms = self.now_ms;
        self.node(from).hub.handle_notice(now_ms, notice);
        self.settle();
    }

    pub fn kick(&mut self, from: u16, order: KickOrder) {
        let now_ms = self.now_ms;
        self.node(from).hub.handle_kick_order(now_ms, order);
        self.settle();
    }

    /// Time passes, and what is due is done.
    pub fn skip(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        loop {
            let due = self.nodes.iter().filter_map(|node| node.hub.poll_timeout()).min();
            match due.filter(|due_ms| *due_ms <= until_ms) {
                Some(due_ms) => self.now_ms = self.now_ms.max(due_ms),
                None => break,
            }
            for node in &mut self.nodes {
                node.hub.handle_timeout(self.now_ms);
            }
            self.settle();
        }
        self.now_ms = until_ms;
    }

    /// Cuts the link between two nodes; both notice.
    pub fn cut(&mut self, a: u16, b: u16) {
        self.cut.push((NodeId(a), NodeId(b)));
        let now_ms = self.now_ms;
        self.node(a).hub.handle_down(now_ms, NodeId(b));
        self.node(b).hub.handle_down(now_ms, NodeId(a));
        self.settle();
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn answer_lookups(&mut self) {
        self.holds_lookups = false;
        while let Some((index, number, users)) = self.held.pop_front() {
            self.answer(index, number, &users);
        }
        self.settle();
    }

    /// Deliveries that were said since the last call: from, to, number of recipients.
    pub fn take_deliveries(&mut self) -> Vec<(u16, u16, usize)> {
        let said = std::mem::take(&mut self.said);
        let of = |(from, to, body): &(u16, u16, Body)| match body {
            Body::Deliver(deliver) => Some((*from, *to, deliver.recipients.len())),
            _ => None,
        };
        said.iter().filter_map(of).collect()
    }

    fn answer(&mut self, index: usize, number: u32, users: &[UserId]) {
        let found: Vec<SessionRecord> =
            users.iter().filter_map(|user| self.records.get(user)).flatten().copied().collect();
        let now_ms = self.now_ms;
        let hub = &mut self.nodes[index].hub;
        let unknown = if self.is_directory_away { users } else { &[] };
        let sessions: &[SessionRecord] = if self.is_directory_away { &[] } else { &found };
        hub.handle_found(now_ms, number, Some(&Found { sessions, unknown }));
    }

    /// Carries out effects until there are none.
    pub fn settle(&mut self) {
        loop {
            let next = (0..self.nodes.len())
                .find_map(|index| self.nodes[index].hub.poll_effect().map(|e| (index, e)));
            let Some((index, effect)) = next else { break };
            self.carry_out(index, effect);
        }
        for node in &mut self.nodes {
            let deliveries: Vec<(usize, Vec<Delivery>)> = node.hub.take_deliveries().collect();
            for delivery in deliveries.into_iter().flat_map(|(_, deliveries)| deliveries) {
                let entry = pb::MessageData::decode(delivery.push.encoded().clone()).unwrap();
                let text = String::from_utf8(entry.content.to_vec()).unwrap();
                let targets = delivery.targets.iter();
                node.delivered.extend(targets.map(|t| (t.conn.index, t.seq.0, text.clone())));
            }
        }
    }

    fn carry_out(&mut self, index: usize, effect: LinkEffect) {
        let now_ms = self.now_ms;
        let from = self.nodes[index].id;
        match effect {
            LinkEffect::Connect { node, .. } if self.is_cut(from, node) => {
                self.nodes[index].hub.handle_down(now_ms, node);
            }
            LinkEffect::Connect { node, .. } => {
                self.nodes[index].hub.handle_connected(now_ms, node);
                self.node(node.0).hub.handle_connected(now_ms, from);
            }
            LinkEffect::Close { node } => {
                self.nodes[index].hub.handle_down(now_ms, node);
                self.node(node.0).hub.handle_down(now_ms, from);
            }
            LinkEffect::Send { node, .. } if self.is_cut(from, node) => {}
            LinkEffect::Send { node, .. } if self.nodes[index].blocked.contains(&node) => {
                self.nodes[index].hub.handle_blocked(node);
            }
            LinkEffect::Send { node, message, .. } => {
                let body = node_pb::NodeMessage::decode(message.clone()).unwrap().body.unwrap();
                self.said.push((from.0, node.0, body));
                self.node(node.0).hub.handle_message(now_ms, from, message).unwrap();
            }
            LinkEffect::Lookup { number, users } => {
                self.lookups += 1;
                if self.holds_lookups {
                    self.held.push_back((index, number, users));
                } else {
                    self.answer(index, number, &users);
                }
            }
            LinkEffect::Post { mail: PeerMail::Kick { conn, .. }, .. } => {
                self.nodes[index].kicked.push(conn.index);
            }
            LinkEffect::Post { mail: PeerMail::Notice(mail), .. } => {
                let conns = mail.targets.iter().map(|(conn, _)| conn.index);
                self.nodes[index].told.extend(conns);
            }
            LinkEffect::Post { mail: PeerMail::Hints(_), .. } => unreachable!("they go to all"),
            LinkEffect::Hints(hints) => self.nodes[index].hints.push((*hints).clone()),
            LinkEffect::Opened { .. } => {}
            LinkEffect::CheckAll => self.nodes[index].check_count += 1,
        }
    }

    fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        self.cut.contains(&(a, b)) || self.cut.contains(&(b, a))
    }
}

/// The connection of a session: unlike that of any other.
pub fn conn_of(user: UserId, class: DeviceClass, epoch: u64) -> u32 {
    (user.0 * 1_000 + class.number() as u64 * 100 + epoch) as u32
}

fn address(node: NodeId) -> PeerAddress {
    PeerAddress { node, address: SocketAddr::from(([127, 0, 0, 1], 7_000 + node.0)) }
}

fn test_node(id: NodeId, count: u16, has_directory: bool) -> TestNode {
    let boot = BootId(id.0.into());
    let node = node_from(NodeConfig { node: id, boot, link: LinkUse::Routed, ..config() });
    let routes = Arc::new(Routes::default());
    let peers = (1..=count).filter(|_| !has_directory).map(|id| address(NodeId(id))).collect();
    let config = HubConfig { peers, has_directory, release: "test".into() };
    let hub = Hub::new(node.clone(), routes.clone(), REACTORS, config);
    TestNode {
        id,
        node,
        routes,
        hub,
        delivered: Vec::new(),
        kicked: Vec::new(),
        told: Vec::new(),
        hints: Vec::new(),
        check_count: 0,
        blocked: Vec::new(),
    }
}

fn event(text: &str, owners: &[(UserId, u64)]) -> Event {
    let message = StoredMessage {
        msg_id: MsgId(1),
        conversation: ConversationKey { lo: 1, hi: 2 },
        conv_seq: ConvSeq(1),
        msg_no: MsgNo(1),
        sender: UserId(1),
        client_msg_id: ClientMsgId([1; 16]),
        kind: pb::MsgType::Text,
        content: Bytes::copy_from_slice(text.as_bytes()),
        extra: Bytes::new(),
        refs: Bytes::new(),
        time_ms: 0,
        flags: 0,
    };
    assert_eq!(message_data(&message, Seq(0)).seq, 0);
    let conn = ConnId { index: u32::MAX, generation: 0 };
    let (reactor, command) = (ReactorId(0), Command::MsgSend);
    let origin = Ticket { reactor, conn, request: 1, command, bytes: 0 };
    let owners = owners.iter().map(|&(user, seq)| (user, Seq(seq))).collect();
    Event { message: Arc::new(message), owners, origin, stream: None }
}
