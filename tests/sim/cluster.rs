//! The nodes of a world: their starts, their events, the fates of their batches. They share the store
//! and the directory and know nothing else of each other.

use aldis_directory::NodeAnnouncement;
use aldis_logic::job::{BootId, NodeId, SessionRecord};
use aldis_store::memory::{Fate, MemoryStore};

use crate::agenda::Event;
use crate::mail::Mail;
use crate::network::Address;
use crate::node::{Life, Server};
use crate::world::World;

impl World {
    /// A node's handle of the store.
    pub fn store_of(&self, node: usize) -> MemoryStore {
        self.store.for_node(node as u16).expect("there are few nodes")
    }

    /// The node that has this start now.
    pub fn node_of(&self, boot: u32) -> Option<usize> {
        let has = |server: &Option<Server>| server.as_ref().is_some_and(|s| s.boot == boot);
        self.servers.iter().position(has)
    }

    /// The starts of the nodes that run now.
    pub fn running(&self) -> Vec<u32> {
        self.servers.iter().flatten().map(|server| server.boot).collect()
    }

    /// Where a client connects to next: whichever node, up or not.
    pub fn pick_address(&mut self) -> Address {
        let node = self.out.dice.index(self.plan.node_count);
        Address { node, reactor: self.out.dice.index(self.plan.reactor_count) }
    }

    /// A device connects to this node.
    pub fn note_node(&mut self, d: usize, node: usize) {
        let last = self.devices[d].last_node.replace(node);
        if last.is_some_and(|last| last != node) {
            self.out.coverage.hit("two nodes: a device changed nodes");
        }
    }

    /// Starts a node on what the store holds.
    pub fn start_node(&mut self, node: usize) {
        self.boot_count += 1;
        let life = Life { node: NodeId(node as u16), boot: self.boot_count };
        let boot = BootId(life.boot.into());
        let directory = self.directory.join(life.node, boot, NodeAnnouncement::default());
        self.servers[node] = Some(Server::start(&self.plan, &self.store_of(node), directory, life));
        self.out.trace(|| format!("node {node} starts ({})", life.boot));
    }

    /// An event of a node; those of an earlier start are discarded.
    pub fn handle_node_event(&mut self, event: Event) {
        let loading = self.is_loading;
        let boot = event.boot().expect("everything else happens outside of nodes");
        let Some(node) = self.node_of(boot) else { return };
        let (out, Some(server)) = (&mut self.out, &mut self.servers[node]) else { return };
        match event {
            Event::Turn { reactor, .. } => {
                let kick_lost = if loading { self.plan.kick_lost } else { 0 };
                server.turn(out, reactor, kick_lost);
                if server.reactors[reactor].is_stopping {
                    self.stop_reactor(boot, reactor);
                }
            }
            Event::Mail { reactor, mail, .. } => {
                server.reactors[reactor].mailbox.reserved.push_back(mail);
                server.reactors[reactor].plan_turn(out);
            }
            Event::Deliveries { reactor, weight, deliveries, .. } => {
                server.reactors[reactor].mailbox.deliveries.push_back((weight, deliveries));
                server.reactors[reactor].plan_turn(out);
            }
            Event::WriterTakes(_) => {
                let is_slow = loading && out.dice.chance(self.plan.fates.slow);
                if is_slow {
                    out.coverage.hit("batch: slow commit");
                }
                server.handle_writer_takes(out, is_slow);
            }
            Event::WriterSettles(_) => self.settle_batch(boot),
            Event::WriterSends(_) => {
                server.handle_writer_sends(out);
                let keys = std::mem::take(&mut server.writing.unavailable);
                self.note_unavailable(keys);
            }
            Event::ReaderTakes(_) => {
                let fails = if loading { self.plan.read_fails } else { 0 };
                server.handle_reader_takes(out, fails);
            }
            Event::ReaderAnswers(_, reply) => server.handle_reader_answers(out, reply),
            Event::HashDone(_, request) => server.handle_hash_done(out, request),
            Event::DirectoryDone(_, request) => {
                if let Some(fenced) = server.handle_directory_done(out, request) {
                    self.tell_fenced(fenced);
                }
            }
            Event::DrainEnds(_) => {
                for reactor in 0..server.reactors.len() {
                    server.post(out, reactor, Mail::Stop);
                }
            }
            other => unreachable!("{other:?} belongs to no node"),
        }
    }

    /// A session lost its place to one on another node: perhaps the directory tells its node.
    fn tell_fenced(&mut self, fenced: SessionRecord) {
        let is_told = self.out.dice.chance(self.plan.fenced_told);
        let server = self.servers[usize::from(fenced.node.0)].as_mut();
        if let Some(server) = server.filter(|_| is_told) {
            server.tell_fenced(&mut self.out, fenced);
        }
    }

    /// The transaction that a node has under way ends, as the seed wants it.
    fn settle_batch(&mut self, boot: u32) {
        let fates = self.plan.fates;
        let roll = if self.is_loading { self.out.dice.below(1_000) } else { 999 };
        let (fail, unknown) = (fates.fail, fates.fail + fates.unknown);
        let before = unknown + fates.crash_before;
        let after = before + fates.crash_after;
        let fate = if roll < fail {
            self.out.coverage.hit("batch: failed before its commit");
            Fate::Fail
        } else if roll < unknown {
            self.out.coverage.hit("batch: committed, outcome unknown");
            Fate::Unknown
        } else if roll < before {
            self.out.coverage.hit("crash: before the commit");
            return self.crash(boot);
        } else {
            Fate::Commit
        };
        let Some(node) = self.node_of(boot) else { return };
        let Some(server) = &mut self.servers[node] else { return };
        server.handle_writer_settles(&mut self.out, fate);
        if (before..after).contains(&roll) {
            self.out.coverage.hit("crash: between commit and reply");
            self.crash(boot);
        } else if fate == Fate::Commit {
            self.out.coverage.hit("batch: committed");
        }
    }
}
