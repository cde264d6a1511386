//! The simulated node: its reactors and workers, from a start to a crash or stop. What connects its
//! threads are queues and events with delays; src/server/threads.rs is the real one.

use std::collections::VecDeque;
use std::sync::Arc;

use aldis_logic::job::{
    BootId, Event as Entry, GroupLimits, HashJob, HashReply, HashRequest, HashResult, JobError,
    NodeId, ReactorId, ReadJob, ReadReply, ReadRequest, WriteReply,
};
use aldis_logic::{Delivery, Hints, Keyring, Node, NodeConfig, PeerMail, SigningKey, fan_out};
use aldis_store::memory::{MemoryReader, MemoryStore};
use aldis_store::{Reader as _, Store as _};
use aldis_wire::ConnId;

use crate::agenda::Event;
use crate::asking::Asking;
use crate::conn::Io;
use crate::directory::SimDirectory;
use crate::linking::Linking;
use crate::mail::{Mail, Mailbox, weight};
use crate::outside::Outside;
use crate::plan::Plan;
use crate::reactor::{Job, Reactor};
use crate::writing::Writing;

/// Time of a read, us.
const READ_US: (u64, u64) = (50, 3_000);
/// Time of hashing a password, us.
const HASH_US: (u64, u64) = (10_000, 20_000);
/// Time from thread to thread, us.
pub const HOP_US: (u64, u64) = (1, 400);

/// Of each queue at the end, bytes.
const HEALED_QUEUE_BYTES: usize = 1 << 20;

/// One life of a node.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Which node.
    pub node: NodeId,
    /// The number of this start, which no other start of any node has.
    pub boot: u32,
}

/// See the file's first line.
pub struct Server {
    pub boot: u32,
    pub node: Arc<Node>,
    pub reactors: Vec<Reactor>,
    pub writing: Writing,
    reader: MemoryReader,
    reads: VecDeque<ReadRequest>,
    free_readers: usize,
    hash_at_us: u64,
    pub asking: Asking,
    /// `None`: it is no node of a cluster.
    pub linking: Option<Linking>,
    /// What happens to it while the process is stopped.
    pub frozen: Option<Vec<Event>>,
    /// Its reactors are gone, and the link says goodbye.
    pub is_ending: bool,
}

impl Server {
    /// Starts a node, with its handle of the store and its view of the directory. `seed` is all that is
    /// random in it.
    pub fn start(
        plan: &Plan,
        store: &MemoryStore,
        directory: SimDirectory,
        life: Life,
        seed: [u8; 32],
    ) -> Self {
        let Life { node, boot } = life;
        let facts = store.boot().expect("a memory store can be opened");
        let keys: Vec<SigningKey> = facts
            .signing_keys
            .into_iter()
            .map(|key| SigningKey { kid: key.kid, secret: key.secret })
            .collect();
        let config = NodeConfig {
            node,
            boot: BootId(boot.into()),
            store_epoch: facts.store_epoch,
            heartbeat_interval_ms: plan.heartbeat_ms,
            token_ttl_ms: plan.token_ttl_ms,
            head_checks: plan.head_checks,
            link: plan.link.usage,
            direct_messages: Default::default(),
            message_times: Default::default(),
            rates: Default::default(),
            group_limits: GroupLimits { fanout_max: plan.fanout_max, ..GroupLimits::default() },
            attempts: Default::default(),
            shares_attempts: false,
        };
        let keyring = Keyring::new(&keys).expect("a memory store has a key of 256 bits");
        let node = Arc::new(Node::new(config, keyring));
        let reactors = (0..plan.reactor_count).map(|number| {
            let mailbox = Mailbox::new(plan.delivery_bytes_max, plan.credits.reply_queue_len());
            Reactor::new(number, boot, &node, plan.credits, Io::new(plan.io), mailbox)
        });
        let linking =
            plan.link.is_on().then(|| Linking::new(&plan.link, life, &node, seed, plan.node_count));
        Self {
            boot,
            reactors: reactors.collect(),
            asking: Asking::new(directory, linking.is_some()),
            linking,
            frozen: None,
            is_ending: false,
            node,
            writing: Writing::new(store.writer().expect("a memory store can be opened")),
            reader: store.reader().expect("a memory store can be opened"),
            reads: VecDeque::new(),
            free_readers: plan.reader_count,
            hash_at_us: 0,
        }
    }

    /// Its threads begin.
    pub fn begin(&mut self, outside: &mut Outside) {
        self.handle_directory_tick(outside);
        self.wake_link(outside);
    }

    /// Whether it goes away.
    pub fn is_draining(&self) -> bool {
        self.reactors.iter().any(|reactor| !reactor.is_listening)
    }

    /// From now on its queues have room.
    pub fn heal(&mut self) {
        for reactor in &mut self.reactors {
            reactor.mailbox.set_weight_max(HEALED_QUEUE_BYTES);
        }
        if let Some(linking) = &mut self.linking {
            linking.set_queue_bytes_max(HEALED_QUEUE_BYTES);
        }
    }

    /// Runs a reactor's turn and carries its jobs away.
    pub fn turn(&mut self, outside: &mut Outside, reactor: usize) {
        self.reactors[reactor].turn(outside);
        self.carry_jobs(outside, reactor);
    }

    fn carry_jobs(&mut self, outside: &mut Outside, reactor: usize) {
        for job in std::mem::take(&mut self.reactors[reactor].jobs) {
            match job {
                Job::Write(request) => {
                    self.writing.jobs.push_back(request);
                    self.wake_writer(outside);
                }
                Job::Read(request) => {
                    self.reads.push_back(request);
                    let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
                    outside.agenda.after(hop_us, Event::ReaderTakes(self.boot));
                }
                Job::Hash(request) => {
                    let took_us = outside.dice.range(HASH_US.0, HASH_US.1);
                    self.hash_at_us = self.hash_at_us.max(outside.agenda.now_us()) + took_us;
                    outside.agenda.at(self.hash_at_us, Event::HashDone(self.boot, request));
                }
                Job::Directory(request) => self.ask_directory(outside, request),
                Job::Kick(order) => self.order_kick(outside, order),
                Job::Notice(notice) => self.forward_notice(outside, notice),
                Job::Locate(request) => self.locate(outside, request),
                Job::Hints(hints) => {
                    self.post_hints(outside, &hints);
                    self.forward_hints(outside, hints);
                }
                Job::Post(to, mail) => {
                    let is_own = reactor == to;
                    outside.coverage.hit(if is_own {
                        "kick: within a reactor"
                    } else {
                        "kick: by mail between reactors"
                    });
                    self.post_peer(outside, to, mail);
                }
            }
        }
    }

    /// Posts what another service says, if it fits.
    pub fn post_peer(&mut self, outside: &mut Outside, to: usize, mail: PeerMail) {
        let PeerMail::Kick { conn, .. } = mail else {
            return self.post(outside, to, Mail::Peer(mail));
        };
        if outside.dice.chance(outside.rates.kick_lost) {
            outside.coverage.hit("kick: mail did not fit");
            return self.miss(outside, to, [conn]);
        }
        self.post(outside, to, Mail::Peer(mail));
    }

    /// Tells every reactor of whom something may be new.
    pub fn post_hints(&mut self, outside: &mut Outside, hints: &Arc<Hints>) {
        for to in 0..self.reactors.len() {
            self.post(outside, to, Mail::Peer(PeerMail::Hints(hints.clone())));
        }
    }

    /// Posts mail that has a slot.
    pub fn post(&mut self, outside: &mut Outside, to: usize, mail: Mail) {
        let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
        let mailbox = &mut self.reactors[to].mailbox;
        mailbox.reserved_at_us = mailbox.reserved_at_us.max(outside.agenda.now_us() + hop_us);
        let event = Event::Mail { boot: self.boot, reactor: to, mail };
        outside.agenda.at(mailbox.reserved_at_us, event);
    }

    /// Posts replies, each of which has a slot.
    pub fn reply(&mut self, outside: &mut Outside, to: ReactorId, count: usize, mail: Mail) {
        let to = usize::from(to.0);
        self.reactors[to].mailbox.take_reply_slots(count);
        self.post(outside, to, mail);
    }

    fn miss(&mut self, outside: &mut Outside, to: usize, conns: impl IntoIterator<Item = ConnId>) {
        if self.reactors[to].mailbox.miss(conns) {
            self.post(outside, to, Mail::Missed);
        }
    }

    /// Replies and deliveries go their ways.
    pub fn send_out(&mut self, outside: &mut Outside, replies: Vec<WriteReply>, events: &[Entry]) {
        let count = self.reactors.len();
        let mut by_reactor: Vec<Vec<WriteReply>> = vec![Vec::new(); count];
        for reply in replies {
            by_reactor[usize::from(reply.ticket.reactor.0)].push(reply);
        }
        let mut deliveries: Vec<Vec<Delivery>> = vec![Vec::new(); count];
        fan_out(events, &self.node, &mut deliveries);
        for (number, (replies, deliveries)) in by_reactor.into_iter().zip(deliveries).enumerate() {
            if !replies.is_empty() {
                let to = ReactorId(number as u16);
                self.reply(outside, to, replies.len(), Mail::Written(replies));
            }
            if !deliveries.is_empty() {
                self.deliver(outside, number, deliveries);
            }
        }
        self.forward(outside, events);
    }

    /// Posts deliveries, if they fit.
    pub fn deliver(&mut self, outside: &mut Outside, to: usize, deliveries: Vec<Delivery>) {
        let weight = weight(&deliveries);
        let mailbox = &mut self.reactors[to].mailbox;
        if !mailbox.admit(weight) {
            outside.coverage.hit("mailbox: deliveries did not fit");
            let targets = deliveries.iter().flat_map(|d| &d.targets);
            let conns: Vec<_> = targets.map(|target| target.conn).collect();
            return self.miss(outside, to, conns);
        }
        let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
        mailbox.deliveries_at_us = mailbox.deliveries_at_us.max(outside.agenda.now_us() + hop_us);
        let event = Event::Deliveries { boot: self.boot, reactor: to, weight, deliveries };
        outside.agenda.at(mailbox.deliveries_at_us, event);
    }

    /// A free reader takes a question: its snapshot is of now, its answer comes later.
    pub fn handle_reader_takes(&mut self, outside: &mut Outside, fails: u64) {
        if self.free_readers == 0 {
            return;
        }
        let Some(request) = self.reads.pop_front() else { return };
        self.free_readers -= 1;
        if matches!(request.job, ReadJob::Heads { .. }) {
            outside.coverage.hit("read: head check");
        }
        let result = if outside.dice.chance(fails) {
            outside.coverage.hit("read: unavailable");
            Err(JobError::Unavailable)
        } else {
            self.reader.read(&request.job)
        };
        let reply = ReadReply { ticket: request.ticket, result };
        let took_us = outside.dice.range(READ_US.0, READ_US.1);
        outside.agenda.after(took_us, Event::ReaderAnswers(self.boot, reply));
    }

    /// A reader answers and takes the next question.
    pub fn handle_reader_answers(&mut self, outside: &mut Outside, reply: ReadReply) {
        self.free_readers += 1;
        self.reply(outside, reply.ticket.reactor, 1, Mail::Read(reply));
        outside.agenda.after(0, Event::ReaderTakes(self.boot));
    }

    /// A password was hashed: in the simulation the string itself is the hash.
    pub fn handle_hash_done(&mut self, outside: &mut Outside, request: HashRequest) {
        let result = match request.job {
            HashJob::Hash { password } => HashResult::Hashed(password),
            HashJob::Verify { password, password_phc } => {
                HashResult::Verified(!password_phc.is_empty() && password == password_phc)
            }
        };
        let reply = HashReply { ticket: request.ticket, result };
        self.reply(outside, reply.ticket.reactor, 1, Mail::Hashed(reply));
    }

    /// Whether no job is under way and no connection open.
    pub fn is_idle(&self) -> bool {
        self.writing.is_idle()
            && self.reads.is_empty()
            && self.reactors.iter().all(|r| r.service.is_idle() && r.io.ids().is_empty())
    }
}
