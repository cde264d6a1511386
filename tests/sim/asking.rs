//! The directory's thread of a simulated node: src/directory/worker.rs is the real one, and what it
//! does with a directory is the same code (`Desk`). Where its outputs go: src/server/threads.rs.

use aldis_directory::{Conflict, Desk, DirectoryOutput, Lookup, MAINTAIN_INTERVAL_MS};
use aldis_link::LinkMail;
use aldis_logic::cluster::KickOrder;
use aldis_logic::job::{DirectoryRequest, LocateRequest, Registration};

use crate::agenda::Event;
use crate::directory::SimDirectory;
use crate::mail::Mail;
use crate::node::{HOP_US, Server};
use crate::outside::Outside;

/// Time of a job of the directory that is slow to answer, us.
const SLOW_DIRECTORY_US: (u64, u64) = (20_000, 2_000_000);
/// Questions of the link that may wait.
const LOOKUP_QUEUE_LEN: usize = 2;

/// See the file's first line.
#[derive(Debug)]
pub struct Asking {
    desk: Desk<SimDirectory>,
    /// When it is done with what it was asked until now, us.
    busy_until_us: u64,
    lookups_waiting: usize,
    tick_at_us: Option<u64>,
    /// It has ended.
    is_over: bool,
}

impl Asking {
    /// With a link or without one.
    pub fn new(directory: SimDirectory, has_link: bool) -> Self {
        Self {
            desk: Desk::new(directory, has_link),
            busy_until_us: 0,
            lookups_waiting: 0,
            tick_at_us: None,
            is_over: false,
        }
    }
}

impl Asking {
    /// Whether everything that it was asked is done.
    pub fn is_free(&self, now_us: u64) -> bool {
        self.busy_until_us <= now_us
    }
}

impl Server {
    /// A change of sessions goes to the directory.
    pub fn ask_directory(&mut self, outside: &mut Outside, request: DirectoryRequest) {
        let at_us = self.time_of_job(outside);
        outside.agenda.at(at_us, Event::DirectoryDone(self.boot, request));
    }

    /// A question of a session goes there.
    pub fn locate(&mut self, outside: &mut Outside, request: LocateRequest) {
        let at_us = self.time_of_job(outside);
        outside.agenda.at(at_us, Event::Locate(self.boot, request));
    }

    /// It answers a session.
    pub fn handle_locate(&mut self, outside: &mut Outside, request: LocateRequest) {
        self.with_desk(outside, |desk, now_ms, outputs| {
            desk.handle_locate(now_ms, request, &mut |output| outputs.push(output));
        });
    }

    /// A question of the link goes there. False: there is no room.
    pub fn look_up(&mut self, outside: &mut Outside, lookup: Lookup) -> bool {
        if self.asking.is_over
            || self.asking.lookups_waiting >= LOOKUP_QUEUE_LEN
            || outside.dice.chance(outside.rates.directory_full)
        {
            outside.coverage.hit("directory: lookup refused");
            return false;
        }
        self.asking.lookups_waiting += 1;
        let at_us = self.time_of_job(outside);
        outside.agenda.at(at_us, Event::LookedUp(self.boot, lookup));
        true
    }

    fn time_of_job(&mut self, outside: &mut Outside) -> u64 {
        let is_slow = outside.dice.chance(outside.rates.directory_slow);
        let took = if is_slow { SLOW_DIRECTORY_US } else { HOP_US };
        let took_us = outside.dice.range(took.0, took.1);
        let asking = &mut self.asking;
        asking.busy_until_us = asking.busy_until_us.max(outside.agenda.now_us()) + took_us;
        asking.busy_until_us
    }

    /// The directory carries out a job.
    pub fn handle_directory_done(&mut self, outside: &mut Outside, request: DirectoryRequest) {
        self.with_desk(outside, |desk, now_ms, outputs| {
            desk.handle_batch(now_ms, &[request], &mut |output| outputs.push(output));
        });
    }

    /// It answers the link.
    pub fn handle_looked_up(&mut self, outside: &mut Outside, lookup: &Lookup) {
        self.asking.lookups_waiting -= 1;
        self.with_desk(outside, |desk, now_ms, outputs| {
            desk.handle_lookup(now_ms, lookup, &mut |output| outputs.push(output));
        });
    }

    /// It does what is due by itself.
    pub fn handle_directory_tick(&mut self, outside: &mut Outside) {
        self.asking.tick_at_us = None;
        self.with_desk(outside, |_, _, _| {});
    }

    /// Its thread ends, as the node does.
    pub fn end_directory(&mut self, outside: &mut Outside) {
        let now_ms = outside.agenda.now_ms();
        self.asking.is_over = true;
        self.asking.desk.leave(now_ms);
    }

    fn with_desk(
        &mut self,
        outside: &mut Outside,
        job: impl FnOnce(&mut Desk<SimDirectory>, u64, &mut Vec<DirectoryOutput>),
    ) {
        if self.asking.is_over {
            return;
        }
        let now_ms = outside.agenda.now_ms();
        let is_draining = self.is_draining();
        let mut outputs = Vec::new();
        let desk = &mut self.asking.desk;
        desk.maintain(now_ms, is_draining, &mut |output| outputs.push(output));
        job(desk, now_ms, &mut outputs);
        let due_ms = desk.poll_timeout().clamp(now_ms + 1, now_ms + MAINTAIN_INTERVAL_MS);
        if self.asking.tick_at_us.is_none_or(|at_us| due_ms * 1_000 < at_us) {
            self.asking.tick_at_us = Some(due_ms * 1_000);
            outside.agenda.at(due_ms * 1_000, Event::DirectoryTick(self.boot));
        }
        for output in outputs {
            self.handle_directory_output(outside, output);
        }
    }

    fn handle_directory_output(&mut self, outside: &mut Outside, output: DirectoryOutput) {
        match output {
            DirectoryOutput::Reply(reply) => {
                if reply.registration == Registration::Fenced {
                    outside.coverage.hit("nodes: login lost at the directory");
                }
                let to = reply.ticket.reactor;
                self.reply(outside, to, 1, Mail::Directory(reply));
            }
            DirectoryOutput::Located(reply) => {
                let to = reply.ticket.reactor;
                self.reply(outside, to, 1, Mail::Located(reply));
            }
            DirectoryOutput::Attempted(_) => unreachable!("nodes here count attempts themselves"),
            DirectoryOutput::Departed => {
                self.node.departures.raise();
                for reactor in 0..self.reactors.len() {
                    self.post(outside, reactor, Mail::Alarm);
                }
            }
            DirectoryOutput::Conflict(Conflict::Fenced(record)) => {
                outside.coverage.hit("directory: a session of ours had lost");
                let mut reactors = Vec::new();
                self.node.table.for_each_of(record.user, |online| {
                    if (online.class, online.epoch) == (record.class, record.epoch) {
                        reactors.push(usize::from(online.reactor.0));
                    }
                });
                for reactor in reactors {
                    self.post(outside, reactor, Mail::Fenced(record));
                }
            }
            DirectoryOutput::Conflict(Conflict::Replaced(record)) => {
                outside.coverage.hit("directory: a session elsewhere had lost");
                self.order_kick(outside, KickOrder::of_replaced(&record));
            }
            DirectoryOutput::Found { number, sessions } => {
                if !sessions.unknown.is_empty() {
                    outside.coverage.hit("directory: lookup without an answer");
                }
                let node = self.node.config.node.0;
                outside.trace(|| format!("node {node} is told {number}: {sessions:?}"));
                self.post_link(outside, LinkMail::Found { number, sessions });
            }
            DirectoryOutput::Nodes(nodes) => self.post_link(outside, LinkMail::Nodes(nodes)),
            DirectoryOutput::Recovered => {
                outside.coverage.hit("directory: sessions told again");
                if self.linking.is_some() {
                    self.raise_alarm(outside);
                }
            }
        }
    }
}
