//! The writer of a simulated node: takes batches, stages and settles them, tells what came of them.
//! src/store/writer_loop.rs is the real one. Knows no reactor.

use std::collections::VecDeque;

use aldis_logic::Now;
use aldis_logic::job::{Append, Event as Entry, JobError, Ticket, WriteJob, WriteRequest, Written};
use aldis_store::memory::{Fate, MemoryWriter};
use aldis_store::{Batcher, Committed};
use aldis_wire::{ConversationKey, UserId};

use crate::agenda::Event;
use crate::ledger::SendKey;
use crate::node::{HOP_US, Server};
use crate::outside::Outside;

/// Time of a commit, us: usually, and when it is slow.
const COMMIT_US: (u64, u64) = (200, 4_000);
const SLOW_COMMIT_US: (u64, u64) = (100_000, 3_000_000);

/// What the writer is doing.
#[derive(Debug)]
enum State {
    /// Waits for a request; `true`: will look soon.
    Idle(bool),
    /// Its transaction runs.
    Committing,
    /// It is committed, nobody was told.
    Telling(Committed),
}

/// See the file's first line.
#[derive(Debug)]
pub struct Writing {
    writer: MemoryWriter,
    batcher: Batcher,
    /// What is queued.
    pub jobs: VecDeque<WriteRequest>,
    state: State,
    /// Sends that were answered Unavailable; the world takes them.
    pub unavailable: Vec<SendKey>,
}

impl Writing {
    /// A writer with nothing to do.
    pub fn new(writer: MemoryWriter) -> Self {
        Self {
            writer,
            batcher: Batcher::default(),
            jobs: VecDeque::new(),
            state: State::Idle(false),
            unavailable: Vec::new(),
        }
    }

    /// Whose sessions the batch under way opens.
    pub fn users_to_open(&self) -> Vec<UserId> {
        let user = |request: &WriteRequest| match &request.job {
            WriteJob::OpenSession(open) => Some(open.user),
            _ => None,
        };
        self.batcher.batch().iter().filter_map(user).collect()
    }

    /// Whether nothing is queued or under way.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && matches!(self.state, State::Idle(_))
    }
}

impl Server {
    /// Lets the writer look at its queue, unless it is at work.
    pub fn wake_writer(&mut self, outside: &mut Outside) {
        if matches!(self.writing.state, State::Idle(false)) && !self.writing.jobs.is_empty() {
            self.writing.state = State::Idle(true);
            let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
            outside.agenda.after(hop_us, Event::WriterTakes(self.boot));
        }
    }

    /// The writer takes what is queued and begins a transaction.
    pub fn handle_writer_takes(&mut self, outside: &mut Outside, is_slow: bool) {
        self.writing.state = State::Idle(false);
        let mut stale = Vec::new();
        while !self.writing.batcher.is_full() {
            let Some(request) = self.writing.jobs.pop_front() else { break };
            let key = send_key(&request);
            let now = outside.agenda.now();
            let refused = self.writing.batcher.admit(&self.writing.writer, now, request);
            self.writing.unavailable.extend(refused.as_ref().and(key));
            stale.extend(refused);
        }
        stale.iter().for_each(|_| outside.coverage.hit("writer: request behind the fence"));
        self.send_out(outside, stale, &[]);
        if self.writing.batcher.is_empty() {
            return self.wake_writer(outside);
        }
        if self.writing.batcher.batch().len() > 1 {
            outside.coverage.hit("batch: several requests");
        }
        self.writing.state = State::Committing;
        self.writing.writer.stage(outside.agenda.unix_ms(), self.writing.batcher.batch());
        let took = if is_slow { SLOW_COMMIT_US } else { COMMIT_US };
        let took_us = outside.dice.range(took.0, took.1);
        outside.agenda.after(took_us, Event::WriterSettles(self.boot));
    }

    /// The transaction ends so; readers see it before anybody is told.
    pub fn handle_writer_settles(&mut self, outside: &mut Outside, fate: Fate) {
        let Some(committed) = self.writing.writer.settle(fate) else { return };
        for (request, result) in self.writing.batcher.batch().iter().zip(&committed.results) {
            outside.trace(|| brief(request, fate, result));
        }
        self.writing.state = State::Telling(committed);
        let hop_us = outside.dice.range(HOP_US.0, HOP_US.1);
        outside.agenda.after(hop_us, Event::WriterSends(self.boot));
    }

    /// Replies and deliveries go out; the writer takes the next batch.
    pub fn handle_writer_sends(&mut self, outside: &mut Outside) {
        let State::Telling(committed) =
            std::mem::replace(&mut self.writing.state, State::Idle(false))
        else {
            return;
        };
        let is_append = |request: &&WriteRequest| matches!(request.job, WriteJob::Append(_));
        let answered = self.writing.batcher.batch().iter().filter(is_append).count();
        let is_message = |event: &&Entry| event.message.client_msg_id.0 != [0; 16];
        let made = committed.events.iter().filter(is_message).count();
        let is_ok = committed.results.iter().all(Result::is_ok);
        if is_ok && answered > made {
            outside.coverage.hit("store: resend answered from what is stored");
        }
        self.note_others_messages(outside, &committed);
        let pairs = self.writing.batcher.batch().iter().zip(&committed.results);
        let failed = pairs.filter(|(_, result)| **result == Err(JobError::Unavailable));
        self.writing.unavailable.extend(failed.filter_map(|(request, _)| send_key(request)));
        let (replies, events) = self.writing.batcher.finish(committed);
        self.send_out(outside, replies, &events);
        self.wake_writer(outside);
    }

    fn note_others_messages(&self, outside: &mut Outside, committed: &Committed) {
        let own = u64::from(self.node.config.node.0);
        let is_others = |result: &Result<Written, JobError>| match result {
            Ok(Written::Appended(appended)) => (appended.msg_id.0 >> 12) & 0x3ff != own,
            _ => false,
        };
        if committed.results.iter().any(is_others) {
            outside.coverage.hit("nodes: resend of what the other one stored");
        }
    }

    /// Commits what is queued, as workers do that outlive the reactors: nobody is answered any more, but
    /// other nodes are to hear of what was committed.
    pub fn finish_writes(&mut self, now: Now) -> Vec<Entry> {
        let mut events = Vec::new();
        if matches!(self.writing.state, State::Committing) {
            let committed = self.writing.writer.settle(Fate::Commit).unwrap_or_default();
            events.extend(self.writing.batcher.finish(committed).1);
        }
        if let State::Telling(committed) =
            std::mem::replace(&mut self.writing.state, State::Idle(false))
        {
            events.extend(self.writing.batcher.finish(committed).1);
        }
        loop {
            while !self.writing.batcher.is_full() {
                let Some(request) = self.writing.jobs.pop_front() else { break };
                self.writing.batcher.admit(&self.writing.writer, now, request);
            }
            if self.writing.batcher.is_empty() {
                return events;
            }
            self.writing.writer.stage(now.unix_ms, self.writing.batcher.batch());
            let committed = self.writing.writer.settle(Fate::Commit).unwrap_or_default();
            events.extend(self.writing.batcher.finish(committed).1);
        }
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
