//! Everything of one run, and which part handles which event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aldis_store::memory::MemoryStore;
use aldis_wire::{ConnId, DeviceClass, GroupId, UserId};

use crate::Options;
use crate::agenda::{Agenda, Event};
use crate::coverage::Coverage;
use crate::device::Device;
use crate::dice::Dice;
use crate::directory::Registry;
use crate::ledger::Ledger;
use crate::network::{Address, LinkId, Network, Owner, Side};
use crate::node::Server;
use crate::outside::{Outside, Rates};
use crate::pest::Pest;
use crate::plan::Plan;
use crate::recorder::Lines;
use crate::wire::Wire;

/// Events of a run; one that has more goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// Somebody with devices.
#[derive(Debug)]
pub struct Person {
    pub name: String,
    pub password: String,
    pub request_id: [u8; 16],
    /// Once registered.
    pub user: Option<UserId>,
    pub devices: Vec<usize>,
}

/// See the file's first line.
pub struct World {
    pub out: Outside,
    pub plan: Plan,
    pub store: MemoryStore,
    /// The directory that the nodes share.
    pub registry: Registry,
    /// By node; `None`: it is down.
    pub servers: Vec<Option<Server>>,
    /// Starts of nodes until now.
    pub boot_count: u32,
    pub people: Vec<Person>,
    pub devices: Vec<Device>,
    pub pests: Vec<Pest>,
    pub ledger: Ledger,
    pub lines: Lines,
    /// Nodes that are to be stopped in order, each when the one before is back.
    pub rolling: VecDeque<usize>,
    /// The highest epoch that a session of a user and class ever had.
    pub newest: BTreeMap<(UserId, DeviceClass), u64>,
    /// Who left which group.
    pub left: BTreeSet<(GroupId, u64)>,
    /// People do things and things go wrong.
    pub is_loading: bool,
    event_count: u64,
}

impl World {
    /// The world of a seed, at rest.
    pub fn new(seed: u64, options: Options) -> Self {
        let Options { bug, hub_bug, is_traced } = options;
        let mut dice = Dice::new(seed);
        let mut plan = Plan::of(&mut dice);
        if let Some(bug) = bug {
            plan.aggravate(bug);
        }
        if let Some(bug) = hub_bug {
            plan.aggravate_hub(bug);
        }
        let store = MemoryStore::new(0, seed).expect("0 is a node's number");
        store.plant(bug);
        let out = Outside {
            agenda: Agenda::default(),
            net: Network::new(plan.net),
            coverage: Coverage::default(),
            node_count: plan.node_count,
            rates: Rates {
                directory_full: plan.directory_full,
                directory_slow: plan.directory_slow,
                kick_lost: plan.kick_lost,
            },
            wire: Wire::new(seed, plan.node_count, plan.link.one_way_us * 1_000),
            by_link: BTreeSet::new(),
            is_traced,
            violations: Vec::new(),
            dice,
        };
        let mut world = Self {
            out,
            registry: Registry::new(),
            servers: (0..plan.node_count).map(|_| None).collect(),
            boot_count: 0,
            people: Vec::new(),
            devices: Vec::new(),
            pests: (0..plan.pest_count).map(|n| Pest::new(&store, n)).collect(),
            store,
            ledger: Ledger::default(),
            lines: Lines::new(seed),
            rolling: VecDeque::new(),
            newest: BTreeMap::new(),
            left: BTreeSet::new(),
            is_loading: true,
            event_count: 0,
            plan,
        };
        world.out.trace(|| format!("{:#?}", world.plan));
        world.add_people(seed);
        world
    }

    fn add_people(&mut self, seed: u64) {
        for p in 0..self.plan.user_count {
            let mut request_id = [0; 16];
            request_id[..8].copy_from_slice(&self.out.dice.bits().to_be_bytes());
            let first = self.devices.len();
            for _ in 0..self.plan.device_count {
                // Few classes, so that devices of a person take each other's place.
                let class = *self.out.dice.pick(&[
                    DeviceClass::Phone,
                    DeviceClass::Desktop,
                    DeviceClass::Web,
                ]);
                let index = self.devices.len();
                self.devices.push(Device::new(seed, index, p, class));
            }
            self.people.push(Person {
                name: format!("person-{p}"),
                password: format!("password of {p}"),
                request_id,
                user: None,
                devices: (first..self.devices.len()).collect(),
            });
        }
    }

    /// Starts the nodes and lets people in.
    pub fn begin(&mut self) {
        (0..self.servers.len()).for_each(|node| self.start_node(node));
        for p in 0..self.people.len() {
            self.register(self.people[p].devices[0]);
        }
        for d in 0..self.devices.len() {
            let pause_us = self.out.dice.range(1, 500_000);
            self.out.agenda.after(pause_us, Event::DeviceActs(d));
        }
        for p in 0..self.pests.len() {
            self.out.agenda.after(500_000, Event::PestActs(p));
        }
        self.plan_fault();
        self.begin_trouble();
    }

    /// Handles events until `is_done` or until so much time has passed; whether it is done.
    pub fn run(&mut self, ms: u64, mut is_done: impl FnMut(&mut World) -> bool) -> bool {
        let until_us = self.out.agenda.now_us() + ms * 1_000;
        self.out.agenda.at(until_us, Event::Nothing);
        loop {
            if is_done(self) {
                return true;
            }
            if self.out.agenda.now_us() >= until_us || !self.out.violations.is_empty() {
                return false;
            }
            let event = self.out.agenda.pop().expect("the end of the run is planned");
            self.event_count += 1;
            if self.event_count > EVENTS_MAX {
                self.out.violation(format!("more than {EVENTS_MAX} events"));
            }
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::DeviceTimer(d) => self.device_timer(d),
            Event::DeviceActs(d) => self.act(d),
            Event::OwnerLooks(d) => self.owner_looks(d),
            Event::PestActs(p) => self.pest_acts(p),
            Event::Accept(link) => self.accept(link),
            Event::ConnectDone(link) => self.connect_done(link),
            Event::Arrive { link, to, len, end } => self.arrive(link, to, len, end),
            Event::Reset { link, to } => self.reset(link, to),
            Event::ClientReads(link) => self.let_client_read(link),
            Event::Wire => self.wire_arrives(),
            Event::Fault => self.fault(),
            Event::ClusterFault => self.make_trouble(),
            Event::Relief(trouble) => self.relieve(trouble),
            Event::Boot(node) => self.start_node(node),
            Event::Nothing => {}
            other => self.handle_node_event(other),
        }
    }

    fn accept(&mut self, id: LinkId) {
        let latency_us = self.out.net.latency_us(&mut self.out.dice);
        let Some(link) = self.out.net.link(id) else { return };
        let Address { node, reactor } = link.address;
        if let Some(server) = &mut self.servers[node]
            && server.reactors[reactor].is_listening
        {
            link.server_open = true;
            link.boot = Some(server.boot);
            let reactor = &mut server.reactors[reactor];
            reactor.accepts.push_back(id);
            reactor.plan_turn(&mut self.out);
        }
        self.out.agenda.after(latency_us, Event::ConnectDone(id));
    }

    fn connect_done(&mut self, id: LinkId) {
        let now_ms = self.out.agenda.now_ms();
        let Some(link) = self.out.net.link(id).filter(|link| link.client_open) else { return };
        let (owner, is_accepted) = (link.owner, link.boot.is_some());
        if !is_accepted {
            self.out.net.forget(id, Side::Client);
        }
        match owner {
            Owner::Device(d) if self.devices[d].link == Some(id) => {
                if is_accepted {
                    self.devices[d].core.handle_connected(now_ms);
                } else {
                    self.devices[d].link = None;
                    self.devices[d].core.handle_disconnected(now_ms);
                }
                self.pump(d);
            }
            Owner::Device(_) => {}
            Owner::Pest(p) => self.pest_connected(p, id, is_accepted),
        }
    }

    fn arrive(&mut self, id: LinkId, to: Side, len: usize, end: bool) {
        if !self.out.net.handle_arrival(id, to, len, end) {
            return;
        }
        match to {
            Side::Client => self.let_client_read(id),
            Side::Server => self.wake_server(id, |_, _, _| {}),
        }
    }

    fn let_client_read(&mut self, id: LinkId) {
        let Some(link) = self.out.net.link(id) else { return };
        match link.owner {
            Owner::Device(d) => self.client_reads(d, id),
            Owner::Pest(p) => self.pest_reads(p, id),
        }
    }

    /// Something happened on a connection: does `more`, and lets its reactor look at it.
    fn wake_server(
        &mut self,
        id: LinkId,
        more: impl FnOnce(&mut Outside, &mut crate::conn::Io, ConnId),
    ) {
        let Some(link) = self.out.net.link(id) else { return };
        let Address { node, reactor } = link.address;
        let server = self.servers[node].as_mut().filter(|s| Some(s.boot) == link.boot);
        let Some(server) = server else { return };
        let reactor = &mut server.reactors[reactor];
        let conn = ConnId { index: link.conn_index, generation: link.generation };
        if reactor.io.conn(conn).is_none_or(|known| known.link != id) {
            // Not taken from the listener's queue yet.
            return;
        }
        more(&mut self.out, &mut reactor.io, conn);
        reactor.io.mark_ready(conn);
        reactor.io.mark_dirty(conn);
        reactor.plan_turn(&mut self.out);
    }

    fn reset(&mut self, id: LinkId, to: Side) {
        let Some(link) = self.out.net.link(id) else { return };
        let (owner, is_open) = match to {
            Side::Client => (link.owner, link.client_open),
            Side::Server => (link.owner, link.server_open),
        };
        if !is_open {
            return;
        }
        match (to, owner) {
            (Side::Client, Owner::Device(d)) => self.client_reset(d, id),
            (Side::Client, Owner::Pest(p)) => self.pest_reset(p, id),
            (Side::Server, _) => {
                self.wake_server(id, |out, io, conn| {
                    if let Some(known) = io.conn(conn) {
                        if known.frame_since_us.is_some() {
                            out.coverage.hit("link: cut in the middle of a frame to the server");
                        }
                        if !known.logged_in {
                            out.coverage.hit("link: cut before login");
                        }
                    }
                    io.close(conn);
                });
                self.out.net.forget(id, Side::Server);
            }
        }
    }
}
