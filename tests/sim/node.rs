//! The simulated node: its reactors and workers, from a start to a crash or stop. What connects its
//! threads are queues and events with delays; src/server/threads.rs is the real one.

use std::collections::VecDeque;
use std::sync::Arc;

use aldis_directory::{Directory, MemoryDirectory, NodeAnnouncement, handle_batch};
use aldis_logic::job::{
    Append, BootId, DirectoryRequest, Event as Entry, HashJob, HashReply, HashRequest, HashResult,
    JobError, NodeId, ReactorId, ReadJob, ReadReply, ReadRequest, Ticket, WriteJob, WriteReply,
    WriteRequest, Written,
};
use aldis_logic::{Delivery, Keyring, Node, NodeConfig, PeerMail, SigningKey, fan_out};
use aldis_store::memory::{Fate, MemoryReader, MemoryStore, MemoryWriter};
use aldis_store::{Batcher, Committed, Reader as _, Store as _};
use aldis_wire::{ConnId, ConversationKey};

use crate::agenda::Event;
use crate::conn::Io;
use crate::ledger::SendKey;
use crate::mail::{Mail, Mailbox, weight};
use crate::outside::Outside;
use crate::plan::Plan;
use crate::reactor::{Job, Reactor};

/// Time of a commit, us: usually, and when it is slow.
const COMMIT_US: (u64, u64) = (200, 4_000);
const SLOW_COMMIT_US: (u64, u64) = (100_000, 3_000_000);
/// Time of a read, us.
const READ_US: (u64, u64) = (50, 3_000);
/// Time of hashing a password, us.
const HASH_US: (u64, u64) = (10_000, 20_000);
/// Time from thread to thread, us.
const HOP_US: (u64, u64) = (1, 400);

/// What the writer is doing.
#[derive(Debug)]
enum Writing {
    /// Waits for a request; `true`: will look soon.
    Idle(bool),
    /// Its transaction runs.
    Committing,
    /// It is committed, nobody was told.
    Telling(Committed),
}

/// See the file's first line.
pub struct Server {
    pub boot: u32,
    pub node: Arc<Node>,
    pub reactors: Vec<Reactor>,
    writer: MemoryWriter,
    batcher: Batcher,
    writes: VecDeque<WriteRequest>,
    writing: Writing,
    reader: MemoryReader,
    reads: VecDeque<ReadRequest>,
    free_readers: usize,
    hash_at_us: u64,
    directory: MemoryDirectory,
    directory_at_us: u64,
    /// Sends that were answered Unavailable; the world takes them.
    pub unavailable: Vec<SendKey>,
}

impl Server {
    /// Starts a node on what the store holds.
    pub fn start(plan: &Plan, store: &MemoryStore, boot: u32) -> Self {
        let facts = store.boot().expect("a memory store can be opened");
        let keys: Vec<SigningKey> = facts
            .signing_keys
            .into_iter()
            .map(|key| SigningKey { kid: key.kid, secret: key.secret })
            .collect();
        let config = NodeConfig {
            node: NodeId(0),
            boot: BootId(boot.into()),
            store_epoch: facts.store_epoch,
            heartbeat_interval_ms: plan.heartbeat_ms,
            token_ttl_ms: plan.token_ttl_ms,
            head_checks: None,
        };
        let announcement = NodeAnnouncement::default();
        let directory = MemoryDirectory::new(config.node, config.boot, announcement);
        let keyring = Keyring::new(&keys).expect("a memory store has a key of 256 bits");
        let node = Arc::new(Node::new(config, keyring));
        let reactors = (0..plan.reactor_count).map(|number| {
            let mailbox = Mailbox::new(plan.delivery_bytes_max, plan.credits.reply_queue_len());
            Reactor::new(number, boot, &node, plan.credits, Io::new(plan.io), mailbox)
        });
        Self {
            boot,
            reactors: reactors.collect(),
            node,
            writer: store.writer().expect("a memory store can be opened"),
            batcher: Batcher::default(),
            writes: VecDeque::new(),
            writing: Writing::Idle(false),
            reader: store.reader().expect("a memory store can be opened"),
            reads: VecDeque::new(),
            free_readers: plan.reader_count,
            hash_at_us: 0,
            directory,
            directory_at_us: 0,
            unavailable: Vec::new(),
        }
    }

    /// Runs a reactor's turn and carries its jobs away.
    pub fn turn(&mut self, outside: &mut Outside, reactor: usize, kick_lost: u64) {
        self.reactors[reactor].turn(outside);
        self.carry_jobs(outside, reactor, kick_lost);
    }

    fn carry_jobs(&mut self, outside: &mut Outside, reactor: usize, kick_lost: u64) {
        for job in std::mem::take(&mut self.reactors[reactor].jobs) {
            match job {
                Job::Write(request) => {
                    self.writes.push_back(request);
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
                Job::Directory(request) => {
                    let took_us = outside.dice.range(HOP_US.0, HOP_US.1);
                    self.directory_at_us =
                        self.directory_at_us.max(outside.agenda.now_us()) + took_us;
                    let done = Event::DirectoryDone(self.boot, request);
                    outside.agenda.at(self.directory_at_us, done);
                }
                Job::Post(to, mail) => self.post_peer(outside, reactor, to, mail, kick_lost),
            }
        }
    }

    fn post_peer(
        &mut self,
        outside: &mut Outside,
        from: usize,
        to: usize,
        mail: PeerMail,
        kick_lost: u64,
    ) {
        let PeerMail::Kick { conn, .. } = mail;
        if outside.dice.chance(kick_lost) {
            outside.coverage.hit("kick: mail did not fit");
            return self.miss(outside, to, [conn]);
        }
        let is_own = from == to;
        outside.coverage.hit(if is_own {
            "kick: within a reactor"
        } else {
            "kick: by mail between reactors"
        });
        self.post(outside, to, Mail::Peer(mail));
    }

    /// Posts mail that has a slot.
    pub fn post(&mut self, outside: &mut Outside, to: usize, mail: Mail) {
        let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
        let mailbox = &mut self.reactors[to].mailbox;
        mailbox.reserved_at_us = mailbox.reserved_at_us.max(outside.agenda.now_us() + hop_us);
        let event = Event::Mail { boot: self.boot, reactor: to, mail };
        outside.agenda.at(mailbox.reserved_at_us, event);
    }

    fn reply(&mut self, outside: &mut Outside, to: ReactorId, count: usize, mail: Mail) {
        let to = usize::from(to.0);
        self.reactors[to].mailbox.take_reply_slots(count);
        self.post(outside, to, mail);
    }

    fn miss(&mut self, outside: &mut Outside, to: usize, conns: impl IntoIterator<Item = ConnId>) {
        if self.reactors[to].mailbox.miss(conns) {
            self.post(outside, to, Mail::Missed);
        }
    }

    fn wake_writer(&mut self, outside: &mut Outside) {
        if matches!(self.writing, Writing::Idle(false)) && !self.writes.is_empty() {
            self.writing = Writing::Idle(true);
            let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
            outside.agenda.after(hop_us, Event::WriterTakes(self.boot));
        }
    }

    /// The writer takes what is queued and begins a transaction.
    pub fn handle_writer_takes(&mut self, outside: &mut Outside, is_slow: bool) {
        self.writing = Writing::Idle(false);
        let mut stale = Vec::new();
        while !self.batcher.is_full() {
            let Some(request) = self.writes.pop_front() else { break };
            let key = send_key(&request);
            let refused = self.batcher.admit(&self.writer, request);
            self.unavailable.extend(refused.as_ref().and(key));
            stale.extend(refused);
        }
        stale.iter().for_each(|_| outside.coverage.hit("writer: request behind the fence"));
        self.send_out(outside, stale, &[]);
        if self.batcher.is_empty() {
            return self.wake_writer(outside);
        }
        if self.batcher.batch().len() > 1 {
            outside.coverage.hit("batch: several requests");
        }
        self.writing = Writing::Committing;
        self.writer.stage(outside.agenda.unix_ms(), self.batcher.batch());
        let took = if is_slow { SLOW_COMMIT_US } else { COMMIT_US };
        let took_us = outside.dice.range(took.0, took.1);
        outside.agenda.after(took_us, Event::WriterSettles(self.boot));
    }

    /// The transaction ends so; readers see it before anybody is told.
    pub fn handle_writer_settles(&mut self, outside: &mut Outside, fate: Fate) {
        let Some(committed) = self.writer.settle(fate) else { return };
        for (request, result) in self.batcher.batch().iter().zip(&committed.results) {
            outside.trace(|| brief(request, fate, result));
        }
        self.writing = Writing::Telling(committed);
        let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
        outside.agenda.after(hop_us, Event::WriterSends(self.boot));
    }

    /// Replies and deliveries go out; the writer takes the next batch.
    pub fn handle_writer_sends(&mut self, outside: &mut Outside) {
        let Writing::Telling(committed) =
            std::mem::replace(&mut self.writing, Writing::Idle(false))
        else {
            return;
        };
        let is_append = |request: &&WriteRequest| matches!(request.job, WriteJob::Append(_));
        let answered = self.batcher.batch().iter().filter(is_append).count();
        let is_message = |event: &&Entry| event.message.client_msg_id.0 != [0; 16];
        let made = committed.events.iter().filter(is_message).count();
        let is_ok = committed.results.iter().all(Result::is_ok);
        if is_ok && answered > made {
            outside.coverage.hit("store: resend answered from what is stored");
        }
        let pairs = self.batcher.batch().iter().zip(&committed.results);
        let failed = pairs.filter(|(_, result)| **result == Err(JobError::Unavailable));
        self.unavailable.extend(failed.filter_map(|(request, _)| send_key(request)));
        let (replies, events) = self.batcher.finish(committed);
        self.send_out(outside, replies, &events);
        self.wake_writer(outside);
    }

    fn send_out(&mut self, outside: &mut Outside, replies: Vec<WriteReply>, events: &[Entry]) {
        let count = self.reactors.len();
        let mut by_reactor: Vec<Vec<WriteReply>> = vec![Vec::new(); count];
        for reply in replies {
            by_reactor[usize::from(reply.ticket.reactor.0)].push(reply);
        }
        let mut deliveries: Vec<Vec<Delivery>> = vec![Vec::new(); count];
        fan_out(events, &self.node.table, &mut deliveries);
        for (number, (replies, deliveries)) in by_reactor.into_iter().zip(deliveries).enumerate() {
            if !replies.is_empty() {
                let to = ReactorId(number as u16);
                self.reply(outside, to, replies.len(), Mail::Written(replies));
            }
            if !deliveries.is_empty() {
                self.deliver(outside, number, deliveries);
            }
        }
    }

    fn deliver(&mut self, outside: &mut Outside, to: usize, deliveries: Vec<Delivery>) {
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

    /// The directory carries out a job.
    pub fn handle_directory_done(&mut self, outside: &mut Outside, request: DirectoryRequest) {
        let to = request.ticket.reactor;
        let now_ms = outside.agenda.now_ms();
        self.directory.maintain(now_ms);
        let mut answer = None;
        handle_batch(&mut self.directory, now_ms, &[request], |reply| answer = Some(reply));
        if let Some(reply) = answer {
            self.reply(outside, to, 1, Mail::Directory(reply));
        }
    }

    /// Commits what is queued without telling anybody, as workers do that outlive the reactors.
    pub fn finish_writes(&mut self, now_unix_ms: u64) {
        if matches!(self.writing, Writing::Committing) {
            let committed = self.writer.settle(Fate::Commit).unwrap_or_default();
            self.batcher.finish(committed);
        }
        if let Writing::Telling(committed) =
            std::mem::replace(&mut self.writing, Writing::Idle(false))
        {
            self.batcher.finish(committed);
        }
        loop {
            while !self.batcher.is_full() {
                let Some(request) = self.writes.pop_front() else { break };
                self.batcher.admit(&self.writer, request);
            }
            if self.batcher.is_empty() {
                return;
            }
            self.writer.stage(now_unix_ms, self.batcher.batch());
            let committed = self.writer.settle(Fate::Commit).unwrap_or_default();
            self.batcher.finish(committed);
        }
    }

    /// Whether no job is under way and no connection open.
    pub fn is_idle(&self) -> bool {
        self.writes.is_empty()
            && self.reads.is_empty()
            && matches!(self.writing, Writing::Idle(_))
            && self.reactors.iter().all(|r| r.service.is_idle() && r.io.ids().is_empty())
    }
}

fn send_key(request: &WriteRequest) -> Option<SendKey> {
    let WriteJob::Append(append) = &request.job else { return None };
    let Append { conversation, sender, client_msg_id, .. } = append;
    Some(SendKey { conversation: *conversation, sender: *sender, id: *client_msg_id })
}

fn brief(request: &WriteRequest, fate: Fate, result: &Result<Written, JobError>) -> String {
    let Ticket { reactor, conn, request: number, command, .. } = request.ticket;
    let from = format!("{}/{}.{} {command:?} {number}", reactor.0, conn.index, conn.generation);
    let what = match &request.job {
        WriteJob::Append(append) => {
            let ConversationKey { lo, hi } = append.conversation;
            let tail = &append.client_msg_id.0[12..];
            format!("{tail:?} from {} to {lo},{hi}", append.sender)
        }
        other => format!("{other:?}"),
    };
    format!("{fate:?} of {from} fence {}: {what}: {result:?}", request.fence)
}
