//! A node without threads: two services on the memory store, and queues between them that are emptied
//! when somebody says so. Judges what connections are sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aldis_directory::{Directory as _, MemoryDirectory, NodeAnnouncement};
use aldis_logic::job::{
    BootId, DirectoryReply, DirectoryRequest, GroupLimits, HashReply, HashRequest, LocateReply,
    LocateRequest, NewUser, NodeId, ReactorId, ReadReply, ReadRequest, WriteReply, WriteRequest,
};
use aldis_logic::{
    Admit, CreditLimits, Delivery, Effect, HeadCheckTimes, Keyring, LinkUse, Node, NodeConfig, Now,
    PeerMail, Service, SigningKey,
};
use aldis_store::memory::{MemoryReader, MemoryStore, MemoryWriter};
use aldis_store::{Batcher, Store as _};
use aldis_wire::{
    Code, Command, ConnId, Frame, FrameError, HEADER_LEN, Header, Message, OutFrame, UserId,
    parse_frame, pb,
};

use crate::judge::Judge;

pub const USERS: usize = 4;
pub const REACTORS: usize = 2;
const UNIX_MS_AT_START: u64 = 1_800_000_000_000;
/// Few of each, so that requests have to wait for them.
pub const CREDITS: CreditLimits = CreditLimits {
    writes: 3,
    write_bytes: 64 << 10,
    reads: 2,
    shed_reads: 1,
    shed_writes: 2,
    hashes: 1,
    accounts: 2,
};

/// Rounds in which a login is complete.
const HURRIED_ROUNDS: usize = 6;
/// Rounds of emptying all queues, of which each request needs a few.
const SETTLING_ROUNDS_MAX: usize = 2_000;

/// One connection.
#[derive(Debug)]
pub struct Conn {
    pub reactor: usize,
    pub id: ConnId,
    /// Who logged in.
    pub user: Option<UserId>,
    /// Frames that the service has not taken, in their order.
    held: VecDeque<Vec<u8>>,
    /// What was taken and not answered: the request of each number.
    asked: BTreeMap<u32, u16>,
    is_half_closed: bool,
    is_closing: bool,
}

/// A reply on its way to a reactor.
#[derive(Debug)]
pub enum Mail {
    Written(WriteReply),
    Read(ReadReply),
    Hashed(HashReply),
    Directory(DirectoryReply),
    Located(LocateReply),
    Delivery(Delivery),
    Peer(PeerMail),
}

/// See the file's first lines.
pub struct World {
    pub node: Arc<Node>,
    pub services: Vec<Service>,
    pub conns: Vec<Conn>,
    pub users: Vec<UserId>,
    pub judge: Judge,
    pub now: Now,
    pub tokens: BTreeMap<UserId, String>,
    pub store: MemoryStore,
    pub writer: MemoryWriter,
    pub reader: MemoryReader,
    pub directory: MemoryDirectory,
    pub batcher: Batcher,
    pub writes: VecDeque<WriteRequest>,
    pub reads: VecDeque<ReadRequest>,
    pub hashes: VecDeque<HashRequest>,
    pub registrations: VecDeque<DirectoryRequest>,
    pub locates: VecDeque<LocateRequest>,
    pub mails: VecDeque<(usize, Mail)>,
    pub resumed: VecDeque<(usize, ConnId)>,
    generation: u32,
    request_count: u32,
}

/// The password of everybody.
pub const PASSWORD: &str = "correct horse";

impl World {
    pub fn new(has_head_checks: bool) -> Self {
        let store = MemoryStore::new(0, 7).expect("node 0 is possible");
        let now = Now { mono_ms: 10_000, unix_ms: UNIX_MS_AT_START };
        let users = (0..USERS).map(|number| {
            let user = NewUser {
                username: format!("user{number}"),
                nickname: String::new(),
                password_phc: format!("phc:{PASSWORD}"),
                request_id: Default::default(),
            };
            store.add_user(user, now.unix_ms).expect("the name is free")
        });
        let users = users.collect();
        let boot = store.boot().expect("a memory store can be opened");
        let keys: Vec<SigningKey> = boot
            .signing_keys
            .into_iter()
            .map(|key| SigningKey { kid: key.kid, secret: key.secret })
            .collect();
        let times = HeadCheckTimes { interval_ms: 2_000, after_login_ms: 500 };
        let config = NodeConfig {
            node: NodeId(0),
            boot: BootId(1),
            store_epoch: boot.store_epoch,
            heartbeat_interval_ms: 60_000,
            token_ttl_ms: 3_600_000,
            head_checks: has_head_checks.then_some(times),
            link: LinkUse::Off,
            direct_messages: Default::default(),
            message_times: Default::default(),
            group_limits: GroupLimits { fanout_max: 3, members_max: 20, per_user_max: 2_000 },
            rates: Default::default(),
            attempts: Default::default(),
            shares_attempts: false,
        };
        let node = Arc::new(Node::new(config, Keyring::new(&keys).expect("keys of 256 bits")));
        let service = |number| Service::new(node.clone(), ReactorId(number as u16), CREDITS);
        Self {
            services: (0..REACTORS).map(service).collect(),
            conns: Vec::new(),
            users,
            judge: Judge::default(),
            now,
            tokens: BTreeMap::new(),
            writer: store.writer().expect("a memory store can be opened"),
            reader: store.reader().expect("a memory store can be opened"),
            store,
            directory: MemoryDirectory::new(NodeId(0), BootId(1), NodeAnnouncement::default()),
            batcher: Batcher::default(),
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            hashes: VecDeque::new(),
            registrations: VecDeque::new(),
            locates: VecDeque::new(),
            mails: VecDeque::new(),
            resumed: VecDeque::new(),
            generation: 0,
            request_count: 0,
            node,
        }
    }

    pub fn open(&mut self, reactor: usize) {
        let reactor = reactor % REACTORS;
        self.generation += 1;
        let taken = |index: &u32| {
            self.conns.iter().any(|conn| conn.reactor == reactor && conn.id.index == *index)
        };
        let index = (0..).find(|index| !taken(index)).expect("few are open");
        let id = ConnId { index, generation: self.generation };
        self.conns.push(Conn {
            reactor,
            id,
            user: None,
            held: VecDeque::new(),
            asked: BTreeMap::new(),
            is_half_closed: false,
            is_closing: false,
        });
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        self.services[reactor].handle_open(self.now, id, address);
        self.drain(reactor);
    }

    /// The connection is gone.
    pub fn close(&mut self, at: usize) {
        let Conn { reactor, id, .. } = self.conns.remove(at);
        self.services[reactor].handle_closed(self.now, id);
        self.drain(reactor);
    }

    pub fn half_close(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        // The end is read behind all frames.
        if conn.is_half_closed || conn.is_closing || !conn.held.is_empty() {
            return;
        }
        conn.is_half_closed = true;
        let (reactor, id) = (conn.reactor, conn.id);
        self.services[reactor].handle_half_closed(self.now, id);
        self.drain(reactor);
    }

    /// A frame arrives; behind one that waits it waits too.
    pub fn send(&mut self, at: usize, cmd: u16, body: &[u8]) {
        self.request_count += 1;
        let header = Header { cmd, code: 0, seq: self.request_count, len: body.len() as u32 };
        let conn = &mut self.conns[at];
        if conn.is_half_closed || conn.is_closing {
            return;
        }
        let mut frame = header.encode().to_vec();
        frame.extend_from_slice(body);
        conn.held.push_back(frame);
        if conn.held.len() == 1 {
            let (reactor, id) = (conn.reactor, conn.id);
            self.offer(reactor, id);
        }
    }

    /// Offers the frames of a connection until one waits.
    fn offer(&mut self, reactor: usize, id: ConnId) {
        while let Some(at) = self.index_of(reactor, id) {
            let conn = &mut self.conns[at];
            if conn.is_closing {
                conn.held.clear();
            }
            let Some(bytes) = conn.held.front().cloned() else { return };
            let frame = Frame { header: header_of(&bytes), body: &bytes[HEADER_LEN..] };
            // The answer may come before the call returns.
            conn.asked.insert(frame.header.seq, frame.header.cmd);
            let admit = self.services[reactor].handle_frame(self.now, id, frame);
            if admit == Admit::Wait {
                self.conns[at].asked.remove(&frame.header.seq);
                self.drain(reactor);
                return;
            }
            self.conns[at].held.pop_front();
            self.drain(reactor);
        }
    }

    fn index_of(&self, reactor: usize, id: ConnId) -> Option<usize> {
        self.conns.iter().position(|conn| (conn.reactor, conn.id) == (reactor, id))
    }

    /// Does what the service wants done, until it rests.
    pub fn drain(&mut self, reactor: usize) {
        while let Some(effect) = self.services[reactor].poll_effect() {
            self.services[reactor].invariants();
            self.handle_effect(reactor, effect);
        }
        self.check_queues();
    }

    fn handle_effect(&mut self, reactor: usize, effect: Effect) {
        match effect {
            Effect::Send { conn, frame, .. } => self.handle_sent(reactor, conn, &frame),
            Effect::Close { conn, .. } => {
                if let Some(at) = self.index_of(reactor, conn) {
                    self.conns[at].is_closing = true;
                    self.conns[at].held.clear();
                }
            }
            Effect::LoggedIn { .. } => {}
            Effect::Resume { conn } => self.resumed.push_back((reactor, conn)),
            Effect::Write(request) => self.writes.push_back(request),
            Effect::Read(request) => self.reads.push_back(request),
            Effect::Hash(request) => self.hashes.push_back(request),
            Effect::Directory(request) => self.registrations.push_back(request),
            Effect::Locate(request) => self.locates.push_back(request),
            Effect::Attempt(_) => unreachable!("there is no other node to count them"),
            Effect::Hints(hints) => {
                let mail = |to| (to, Mail::Peer(PeerMail::Hints(hints.clone())));
                self.mails.extend((0..REACTORS).map(mail));
            }
            Effect::Post { reactor, mail } => {
                self.mails.push_back((usize::from(reactor.0), Mail::Peer(mail)));
            }
            Effect::Kick(_) | Effect::Notice(_) => panic!("there is no other node"),
        }
    }

    fn handle_sent(&mut self, reactor: usize, id: ConnId, frame: &OutFrame) {
        let Some(at) = self.index_of(reactor, id) else { return };
        let conn = &mut self.conns[at];
        let bytes = frame.to_vec();
        let sent = parse_frame(&bytes, 1 << 20).expect("a frame").expect("a whole one");
        let code = Code::from_u16(sent.header.code).expect("a code of the table");
        assert_ne!(code, Code::Internal, "{:#06x}", sent.header.cmd);
        if sent.header.seq == 0 {
            let told = Command::from_server(sent.header.cmd);
            assert!(told.is_some(), "{:#06x} is no notification", sent.header.cmd);
        } else {
            let asked = conn.asked.remove(&sent.header.seq);
            assert_eq!(asked.map(|cmd| cmd.wrapping_add(1)), Some(sent.header.cmd), "one answer");
        }
        if sent.header.cmd == Command::LoginResp.id() && code == Code::Ok {
            let said = pb::LoginResp::decode(sent.body).expect("a login's answer");
            assert_eq!(conn.user, None, "a connection is one session's");
            conn.user = Some(UserId(said.user_id));
            self.tokens.insert(UserId(said.user_id), said.token);
        }
        if sent.header.cmd == Command::MsgSendResp.id() && code == Code::Ok {
            let said = pb::MsgSendResp::decode(sent.body).expect("a send's answer");
            self.judge.message_ids.push(said.msg_id);
        }
        self.judge.check(conn.user, sent.body);
    }

    /// Time goes on, and each reactor ends a turn.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += ms;
        self.directory.maintain(self.now.mono_ms);
        for reactor in 0..REACTORS {
            self.services[reactor].handle_turn_end(self.now);
            self.drain(reactor);
        }
        while let Some((reactor, id)) = self.resumed.pop_front() {
            self.offer(reactor, id);
        }
    }

    /// A connection's pushes did not fit, and later it has caught up.
    pub fn fall_behind(&mut self, at: usize, has_caught_up: bool) {
        let Conn { reactor, id, .. } = self.conns[at];
        match has_caught_up {
            true => self.services[reactor].handle_drained(self.now, id),
            false => self.services[reactor].handle_push_dropped(id),
        }
        self.drain(reactor);
    }

    /// The deframer found something that is no frame.
    pub fn break_off(&mut self, at: usize, error: FrameError) {
        let conn = &mut self.conns[at];
        if conn.is_half_closed || conn.is_closing || !conn.held.is_empty() {
            return;
        }
        if let Some(header) = error.header() {
            conn.asked.insert(header.seq, header.cmd);
        }
        let (reactor, id) = (conn.reactor, conn.id);
        conn.is_closing = true;
        self.services[reactor].handle_frame_error(self.now, id, error);
        self.drain(reactor);
    }

    /// The node is going away.
    pub fn drain_away(&mut self, reactor: usize) {
        let reactor = reactor % REACTORS;
        self.services[reactor].handle_drain(self.now, 1_000);
        self.drain(reactor);
    }

    /// All workers answer what they were asked.
    pub fn hurry(&mut self) {
        for _ in 0..HURRIED_ROUNDS {
            self.work();
        }
        self.pass(1);
    }

    /// Empties all queues until nothing is under way, and says what must hold then.
    pub fn settle(&mut self) {
        let mut quiet_count = 0;
        for _ in 0..SETTLING_ROUNDS_MAX {
            self.pass(10);
            while let Some(at) = self.conns.iter().position(|conn| conn.is_closing) {
                self.close(at);
                quiet_count = 0;
            }
            // What a round has given back, the next one's turn end hands on.
            quiet_count = if self.is_quiet() { quiet_count + 1 } else { 0 };
            if quiet_count == 2 {
                return self.check_rest();
            }
            self.work();
        }
        panic!("something goes on for ever");
    }

    /// Everybody was answered, and who is online stands in the table, once for each class.
    fn check_rest(&self) {
        for conn in &self.conns {
            assert!(conn.asked.is_empty(), "without an answer: {conn:?}");
            assert!(conn.held.is_empty(), "waits for ever: {conn:?}");
        }
        let online = self.conns.iter().filter(|conn| conn.user.is_some()).count();
        let counted: usize = self.services.iter().map(Service::online_count).sum();
        assert_eq!((online, online), (counted, self.node.table.session_count()));
    }
}

fn header_of(bytes: &[u8]) -> Header {
    let head = bytes.first_chunk().expect("it was made with a header");
    Header::decode(head, usize::MAX).expect("it was made as one")
}
