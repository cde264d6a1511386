//! The nodes of a world: their starts, their events, the fates of their batches. They share the store
//! and the directory, and what else they know of each other they say by datagrams.

use aldis_directory::NodeAnnouncement;
use aldis_link::LinkMail;
use aldis_logic::LinkUse;
use aldis_logic::job::{BootId, NodeId, ReadJob, ReadResult};
use aldis_store::memory::{Fate, MemoryStore};
use aldis_store::{Reader as _, Store as _};
use aldis_wire::UserId;

use crate::agenda::Event;
use crate::mail::Mail;
use crate::network::Address;
use crate::node::{Life, Server};
use crate::wire::Wire;
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

    /// Where a client connects to next: whichever node, up or not, unless it wants this one.
    pub fn pick_address(&mut self, wanted: Option<usize>) -> Address {
        let node = wanted.unwrap_or_else(|| self.out.dice.index(self.plan.node_count));
        Address { node, reactor: self.out.dice.index(self.plan.reactor_count) }
    }

    /// A device connects to this node.
    pub fn note_node(&mut self, d: usize, node: usize) {
        let last = self.devices[d].last_node.replace(node);
        if last.is_some_and(|last| last != node) {
            self.out.coverage.hit("nodes: a device changed nodes");
        }
    }

    /// Starts a node on what the store holds.
    pub fn start_node(&mut self, node: usize) {
        self.boot_count += 1;
        let life = Life { node: NodeId(node as u16), boot: self.boot_count };
        let boot = BootId(life.boot.into());
        let mut announcement = NodeAnnouncement::default();
        if self.plan.link.is_on() {
            announcement.link_address = Wire::address(node).to_string();
        }
        let has_own = self.plan.link.usage == LinkUse::Broadcast;
        let directory = self.registry.join(life.node, boot, announcement, has_own);
        let mut seed = [0; 32];
        for eight in seed.chunks_exact_mut(8) {
            eight.copy_from_slice(&self.out.dice.bits().to_le_bytes());
        }
        let store = self.store_of(node);
        let mut server = Server::start(&self.plan, &store, directory, life, seed);
        server.begin(&mut self.out);
        if !self.is_loading {
            server.heal();
        }
        self.servers[node] = Some(server);
        self.out.trace(|| format!("node {node} starts ({})", life.boot));
        self.roll_on();
    }

    /// Datagrams between the nodes arrive.
    pub fn wire_arrives(&mut self) {
        while let Some((node, datagram)) =
            self.out.wire.poll(&mut self.out.agenda, &mut self.out.coverage)
        {
            if let Some(server) = &mut self.servers[node] {
                server.handle_datagram(&mut self.out, datagram);
            }
        }
    }

    /// An event of a node; those of an earlier start are discarded.
    pub fn handle_node_event(&mut self, event: Event) {
        let loading = self.is_loading;
        let boot = event.boot().expect("everything else happens outside of nodes");
        let Some(node) = self.node_of(boot) else { return };
        let (out, Some(server)) = (&mut self.out, &mut self.servers[node]) else { return };
        if matches!(event, Event::Continue(_)) {
            for missed in server.frozen.take().into_iter().flatten() {
                out.agenda.after(0, missed);
            }
            return;
        }
        if let Some(frozen) = &mut server.frozen {
            return frozen.push(event);
        }
        if server.is_ending && !matches!(event, Event::LinkTurn(_)) {
            return;
        }
        match event {
            Event::Turn { reactor, .. } => {
                server.turn(out, reactor);
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
            Event::DirectoryDone(_, request) => server.handle_directory_done(out, request),
            Event::LookedUp(_, lookup) => server.handle_looked_up(out, &lookup),
            Event::Locate(_, request) => server.handle_locate(out, request),
            Event::DirectoryTick(_) => server.handle_directory_tick(out),
            Event::LinkTurn(_) => {
                if server.link_turn(out) {
                    self.out.trace(|| format!("node {node} has said goodbye"));
                    self.end_node(node, boot);
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

    /// A reactor has had its last turn; after the last one the link tells the other nodes what is left
    /// to tell, and the process ends in order.
    pub fn stop_reactor(&mut self, boot: u32, reactor: usize) {
        let Some(node) = self.node_of(boot) else { return };
        let Some(server) = &mut self.servers[node] else { return };
        server.reactors[reactor].stop(&mut self.out);
        if !server.reactors.iter().all(|reactor| reactor.is_stopping) {
            return;
        }
        let events = server.finish_writes(self.out.agenda.now());
        server.forward(&mut self.out, &events);
        server.end_directory(&mut self.out);
        self.out.trace(|| format!("node {node} has stopped"));
        let users = self.people.iter().filter_map(|person| person.user).collect();
        self.note_epochs(users);
        let Some(server) = &mut self.servers[node] else { return };
        if server.linking.is_none() {
            return self.end_node(node, boot);
        }
        server.is_ending = true;
        server.post_link(&mut self.out, LinkMail::Stop);
        self.break_links(boot);
    }

    /// A batch that opens sessions is over: the newest epochs of those whom they belong to.
    fn note_epochs(&mut self, users: Vec<UserId>) {
        let mut reader = self.store.reader().expect("a memory store can be opened");
        let Ok(ReadResult::Heads(heads)) = reader.read(&ReadJob::Heads { users }) else { return };
        for head in heads {
            for (class, epoch) in head.epochs {
                let newest = self.newest.entry((head.user, class)).or_default();
                *newest = epoch.0.max(*newest);
            }
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
        let users = server.writing.users_to_open();
        server.handle_writer_settles(&mut self.out, fate);
        self.note_epochs(users);
        if (before..after).contains(&roll) {
            self.out.coverage.hit("crash: between commit and reply");
            self.crash(boot);
        } else if fate == Fate::Commit {
            self.out.coverage.hit("batch: committed");
        }
    }
}
