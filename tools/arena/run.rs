//! Drives ends, links and demands through virtual time until all is delivered or hope is lost.
//! Knows the order of things within an instant, no transport and no judgement of the outcome.

use std::net::SocketAddr;

use aldis_netsim::{Datagram, Network};

use crate::cost;
use crate::end::End;
use crate::ledger::Ledger;
use crate::offer::Demand;
use crate::pair::Pair;
use crate::tape::Mark;

const MS: u64 = 1_000_000;
/// A connection that takes longer does not come.
const CONNECT_NS_MAX: u64 = 20_000 * MS;
/// Rounds within one instant; an end that needs more never gets out of it.
const ROUNDS_PER_INSTANT_MAX: u32 = 10_000;
/// Time between two samples of the heap.
const SAMPLE_NS: u64 = 100 * MS;

/// How long the parts of a run take, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Sent, but not judged: slow start, path MTU discovery.
    pub warm_ns: u64,
    /// Sent and judged.
    pub measured_ns: u64,
    /// Waited for what is not delivered yet.
    pub drain_ns: u64,
    /// Messages waiting past which a transport is overloaded.
    pub outstanding_count_max: usize,
}

/// Both ends of a transport and what is asked of it.
pub struct Contestant {
    /// Address of the client and of the server.
    pub addresses: (SocketAddr, SocketAddr),
    /// The end that sends.
    pub client: Box<dyn End>,
    /// The end that receives.
    pub server: Box<dyn End>,
    /// What it is asked for.
    pub demand: Demand,
}

/// Why a run ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It never got ready.
    NoConnection,
    /// More and more messages waited.
    Overload,
    /// An end gave up, or does not get out of one instant.
    Dead(String),
}

/// What remains of a run.
pub struct Finished {
    /// With the records of all datagrams.
    pub network: Network,
    /// A ledger for each contestant, with when its server had delivered how many bytes.
    pub ledgers: Vec<Ledger>,
    /// Bytes delivered within the measured time, for each contestant.
    pub goodput_bytes: Vec<u64>,
    /// When demands began, ns.
    pub began_ns: u64,
    /// What ended it early.
    pub trouble: Option<Trouble>,
    /// CPU time of the whole run, the simulation included, ns.
    pub cpu_ns: u64,
    /// Allocations of the whole run.
    pub allocation_count: u64,
    /// Heap above that at the beginning, every `SAMPLE_NS`, and at the end.
    pub heap_samples: Vec<i64>,
    /// What each host did, for a replay; client and server of each contestant in turn.
    pub tapes: Vec<Vec<Mark>>,
}

/// One end at its address.
struct Host {
    address: SocketAddr,
    peer: SocketAddr,
    end: Box<dyn End>,
    timeout_ns: Option<u64>,
    is_touched: bool,
    tape: Vec<Mark>,
}

/// A run under way.
pub struct Run {
    network: Network,
    hosts: Vec<Host>,
    pairs: Vec<Pair>,
    schedule: Schedule,
    seed: u64,
    now_ns: u64,
    began_ns: Option<u64>,
    trouble: Option<Trouble>,
    is_taped: bool,
}

impl Run {
    /// Of contestants on a network whose routes are set.
    pub fn new(
        network: Network,
        contestants: Vec<Contestant>,
        schedule: Schedule,
        seed: u64,
        is_taped: bool,
    ) -> Self {
        let (mut hosts, mut pairs) = (Vec::new(), Vec::new());
        for contestant in contestants {
            let (client, server) = contestant.addresses;
            pairs.push(Pair::new(contestant.demand));
            for (address, peer, end) in
                [(client, server, contestant.client), (server, client, contestant.server)]
            {
                let (timeout_ns, is_touched, tape) = (None, true, Vec::new());
                hosts.push(Host { address, peer, end, timeout_ns, is_touched, tape });
            }
        }
        let (now_ns, began_ns, trouble) = (0, None, None);
        Self { network, hosts, pairs, schedule, seed, now_ns, began_ns, trouble, is_taped }
    }

    /// To the end.
    pub fn run(mut self) -> Finished {
        let (heap, allocations) = (self.heap_bytes(), cost::allocation_count());
        let cpu_ns = cost::thread_cpu_ns();
        let (mut heap_samples, mut rounds) = (Vec::with_capacity(4_096), 0);
        for client in self.hosts.iter_mut().step_by(2) {
            client.end.connect(0);
        }
        self.drain();
        while let Some(next_ns) = self.next_at_ns().filter(|_| !self.is_over()) {
            rounds = if next_ns > self.now_ns { 0 } else { rounds + 1 };
            if rounds > ROUNDS_PER_INSTANT_MAX {
                self.trouble = Some(Trouble::Dead("spins within an instant".into()));
                break;
            }
            while next_ns > heap_samples.len() as u64 * SAMPLE_NS {
                heap_samples.push(self.heap_bytes() - heap);
            }
            self.now_ns = next_ns.max(self.now_ns);
            self.step();
        }
        let cpu_ns = cost::thread_cpu_ns() - cpu_ns;
        heap_samples.push(self.heap_bytes() - heap);
        Finished {
            network: self.network,
            goodput_bytes: self.pairs.iter().map(|pair| pair.goodput_bytes).collect(),
            ledgers: self.pairs.into_iter().map(|pair| pair.ledger).collect(),
            began_ns: self.began_ns.unwrap_or_default(),
            trouble: self.trouble,
            cpu_ns,
            allocation_count: cost::allocation_count() - allocations,
            heap_samples,
            tapes: self.hosts.into_iter().map(|host| host.tape).collect(),
        }
    }

    /// Without the tapes, which are no part of what is simulated.
    fn heap_bytes(&self) -> i64 {
        let marks: usize = self.hosts.iter().map(|host| host.tape.capacity()).sum();
        cost::heap_bytes() - (marks * size_of::<Mark>()) as i64
    }

    fn next_at_ns(&self) -> Option<u64> {
        let offers = self.pairs.iter().filter_map(Pair::next_at_ns);
        let timeouts = self.hosts.iter().filter_map(|host| host.timeout_ns);
        self.network.next_at_ns().into_iter().chain(offers).chain(timeouts).min()
    }

    fn is_over(&self) -> bool {
        let Some(began_ns) = self.began_ns else {
            return self.trouble.is_some();
        };
        let offered_ns = began_ns + self.schedule.warm_ns + self.schedule.measured_ns;
        let is_flood = self.pairs.iter().any(Pair::is_flood);
        let is_delivered = self.pairs.iter().all(|pair| pair.ledger.outstanding_count() == 0);
        self.trouble.is_some()
            || self.now_ns >= offered_ns && (is_flood || is_delivered)
            || self.now_ns >= offered_ns + self.schedule.drain_ns
    }

    /// One instant: arrivals first, so that no deadline overtakes an acknowledgement that is there.
    fn step(&mut self) {
        let now_ns = self.now_ns;
        while let Some(datagram) = self.network.poll(now_ns) {
            if let Some(host) = self.hosts.iter_mut().find(|host| host.address == datagram.to) {
                host.end.handle_datagram(now_ns, datagram);
                host.is_touched = true;
            }
        }
        for (pair, client) in self.pairs.iter_mut().zip(self.hosts.iter_mut().step_by(2)) {
            client.is_touched |= pair.offer(now_ns, client.end.as_mut());
        }
        for host in &mut self.hosts {
            if host.timeout_ns.is_some_and(|at_ns| at_ns <= now_ns) {
                host.end.handle_timeout(now_ns);
                host.is_touched = true;
                if self.is_taped {
                    host.tape.push(Mark::Wake { at_ns: now_ns });
                }
            }
        }
        self.drain();
        self.judge();
    }

    /// Takes everything out of the ends that were touched.
    fn drain(&mut self) {
        let now_ns = self.now_ns;
        let measured = self.began_ns.map(|began_ns| {
            let from_ns = began_ns + self.schedule.warm_ns;
            from_ns..from_ns + self.schedule.measured_ns
        });
        let is_measured = measured.is_some_and(|measured| measured.contains(&now_ns));
        for (index, host) in self.hosts.iter_mut().enumerate() {
            if !std::mem::take(&mut host.is_touched) {
                continue;
            }
            let (pair, tape) = (&mut self.pairs[index / 2], &mut host.tape);
            let (is_client, is_taped) = (index % 2 == 0, self.is_taped);
            host.end.poll_messages(now_ns, &mut |message| {
                let number = pair.deliver(now_ns, message, is_measured);
                if let Some(number) = number.filter(|_| is_taped) {
                    tape.push(Mark::Deliver { at_ns: now_ns, number });
                }
            });
            if is_client {
                pair.refill(now_ns, host.end.as_mut());
            }
            while let Some(outgoing) = host.end.poll_transmit(now_ns) {
                if is_taped {
                    let (bytes, headers) = (outgoing.bytes.len() as u32, outgoing.headers);
                    host.tape.push(Mark::Emit { at_ns: now_ns, bytes, headers });
                }
                self.network.send(
                    now_ns,
                    Datagram {
                        from: host.address,
                        to: host.peer,
                        ecn: outgoing.ecn,
                        headers: outgoing.headers,
                        bytes: outgoing.bytes,
                    },
                );
            }
            host.timeout_ns = host.end.poll_timeout(now_ns);
        }
    }

    fn judge(&mut self) {
        let fault = self.hosts.iter().find_map(|host| host.end.fault());
        self.trouble = fault.map(Trouble::Dead);
        let most = self.schedule.outstanding_count_max;
        if self.pairs.iter().any(|pair| pair.ledger.outstanding_count() > most) {
            self.trouble = Some(Trouble::Overload);
        }
        if self.began_ns.is_some() {
            return;
        }
        if self.hosts.iter().all(|host| host.end.is_ready()) {
            self.began_ns = Some(self.now_ns);
            let until_ns = self.now_ns + self.schedule.warm_ns + self.schedule.measured_ns;
            for (pair, client) in self.pairs.iter_mut().zip(self.hosts.iter_mut().step_by(2)) {
                pair.begin(self.now_ns, until_ns, self.seed);
                // A flood begins at once and not with the next thing that happens.
                client.is_touched = true;
            }
            self.drain();
        } else if self.now_ns > CONNECT_NS_MAX {
            self.trouble = Some(Trouble::NoConnection);
        }
    }
}
