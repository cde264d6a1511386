//! Time, network and both hosts: one instant after the other, until all is delivered and quiet.

use std::net::SocketAddr;

use aldis_netsim::{Delay, Network};

use super::host::Host;
use super::hostile::{Hostile, Tally};
use super::judge::Judge;
use super::plan::{Deed, HEALED_NS, LOST_AFTER, Plan, REPLAY_NS_MAX};
use super::{MS, SECOND};

/// After this time on a healed network everything has arrived. It holds the time in which a dead
/// session is noticed and a new one begun, and 1 MiB from a standing start.
const RECOVERY_NS_MAX: u64 = LOST_AFTER.as_nanos() as u64 + 5 * SECOND;
/// Silence is watched for so long.
const QUIET_NS: u64 = 5 * SECOND;
/// Datagrams in that time, both hosts together: keepalives, their answers, and path MTU probes.
const QUIET_DATAGRAMS_MAX: usize = 60;

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Messages accepted and messages delivered.
    pub messages: (usize, usize),
    /// Datagrams sent or made by the network.
    pub datagram_count: usize,
    /// Hostile datagrams that came to the hosts besides.
    pub hostile: Hostile,
    /// From the network's healing to the last delivery, ns.
    pub recovery_ns: u64,
    /// Sessions that ended.
    pub ending_count: usize,
    /// Of all bytes that hosts sent, with their times.
    pub digest: u64,
}

/// A run under way.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    network: Network,
    hosts: [Host; 2],
    judge: Judge,
    now_ns: u64,
    datagram_count: usize,
    tally: Tally,
    digest: u64,
}

impl World {
    /// At its beginning.
    pub fn new(plan: Plan) -> Self {
        let addresses = [1, 2].map(|number| SocketAddr::from(([10, 0, 0, number], 7_000)));
        let (mut network, tally) = (Network::new(plan.seed), Tally::default());
        for direction in 0..2 {
            let link = network.add_link(plan.pieces(direction, &tally));
            network.route(addresses[direction], addresses[1 - direction], link);
        }
        Self {
            hosts: [0, 1].map(|number| Host::new(&plan, number, addresses)),
            plan,
            network,
            judge: Judge::default(),
            now_ns: 0,
            datagram_count: 0,
            tally,
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// To its end.
    pub fn run(mut self) -> Outcome {
        let mut deeds = std::mem::take(&mut self.plan.deeds).into_iter().peekable();
        while self.now_ns < HEALED_NS {
            let deed_ns = deeds.peek().map_or(HEALED_NS, |(at_ns, ..)| *at_ns);
            self.now_ns = self.next_ns().min(deed_ns).max(self.now_ns);
            while let Some((_, host, deed)) = deeds.next_if(|(at_ns, ..)| *at_ns <= self.now_ns) {
                self.perform(host, deed);
            }
            self.step();
        }
        self.heal();
        while !self.is_settled() {
            assert!(self.now_ns < HEALED_NS + RECOVERY_NS_MAX, "not settled: {}", self.state());
            self.now_ns = self.next_ns().max(self.now_ns);
            self.step();
        }
        let recovery_ns = self.now_ns - HEALED_NS;
        let endings: Vec<_> = self.hosts.iter().flat_map(|host| &host.endings).cloned().collect();
        assert!(self.plan.may_end || endings.is_empty(), "ended for no reason: {endings:?}");
        self.keep_quiet();
        Outcome {
            messages: self.judge.counts(),
            datagram_count: self.datagram_count,
            hostile: self.tally.hostile(),
            recovery_ns,
            ending_count: endings.len(),
            digest: self.digest,
        }
    }

    fn perform(&mut self, host: usize, deed: Deed) {
        let now_ns = self.now_ns;
        match deed {
            Deed::Restart => self.hosts[host].restart(&self.plan, now_ns, &mut self.judge),
            Deed::Close => self.hosts[host].close(now_ns),
            Deed::Send(flow, bytes) => self.hosts[host].send(flow, bytes),
        }
        self.turn(host);
    }

    /// One instant: arrivals, then the turns of hosts that are due.
    fn step(&mut self) {
        let now_ns = self.now_ns;
        let mut has_arrival = [false; 2];
        while let Some(datagram) = self.network.poll(now_ns) {
            if let Some(host) = self.hosts.iter_mut().find(|host| host.address == datagram.to) {
                has_arrival[host.number] = true;
                host.handle_datagram(now_ns, datagram);
            }
        }
        for (number, has_arrival) in has_arrival.into_iter().enumerate() {
            let is_due = self.hosts[number].deadline_ns.is_some_and(|at_ns| at_ns <= now_ns);
            if has_arrival || is_due {
                self.turn(number);
            }
        }
    }

    fn turn(&mut self, host: usize) {
        for datagram in self.hosts[host].turn(self.now_ns, &mut self.judge) {
            self.datagram_count += 1;
            for byte in self.now_ns.to_le_bytes().iter().chain(&datagram.bytes) {
                self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
            self.network.send(self.now_ns, datagram);
        }
    }

    fn next_ns(&self) -> u64 {
        let deadlines = self.hosts.iter().filter_map(|host| host.deadline_ns);
        deadlines.chain(self.network.next_at_ns()).min().unwrap_or(u64::MAX)
    }

    /// From now on datagrams take ways that only delay them.
    fn heal(&mut self) {
        let addresses = [self.hosts[0].address, self.hosts[1].address];
        for direction in 0..2 {
            let link = self.network.add_link(vec![Box::new(Delay::new(self.plan.one_way_ns))]);
            self.network.route(addresses[direction], addresses[1 - direction], link);
        }
    }

    /// Both have a session, and all that was sent in it is delivered and acknowledged.
    fn is_settled(&self) -> bool {
        self.hosts.iter().all(|host| {
            let delivered = |number| self.judge.outstanding_count(number) == 0;
            host.session().is_some_and(delivered) && host.is_acknowledged() && !host.is_waiting()
        })
    }

    fn keep_quiet(&mut self) {
        // What is under way at first, such as acknowledgements, is not yet silence; nor is what a
        // replayed HELLO is answered with.
        let from_ns = self.now_ns.max(HEALED_NS + REPLAY_NS_MAX);
        let from_ns = from_ns + 2 * self.plan.one_way_ns + 100 * MS;
        let mut before = self.datagram_count;
        while self.next_ns() < from_ns + QUIET_NS {
            self.now_ns = self.next_ns().max(self.now_ns);
            if self.now_ns < from_ns {
                before = self.datagram_count;
            }
            self.step();
        }
        let count = self.datagram_count - before;
        assert!(count <= QUIET_DATAGRAMS_MAX, "{count} datagrams while nothing is to be said");
        assert!(self.is_settled(), "a quiet network ends nothing: {}", self.state());
    }

    fn state(&self) -> String {
        let host = |host: &Host| {
            let outstanding = host.session().map(|number| self.judge.outstanding_count(number));
            format!(
                "host {}: outstanding {outstanding:?}, acknowledged {}, waiting {}, ended {:?}",
                host.number,
                host.is_acknowledged(),
                host.is_waiting(),
                host.endings
            )
        };
        self.hosts.iter().map(host).collect::<Vec<_>>().join("; ")
    }
}
