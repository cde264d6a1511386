//! A sequence of operations and impairments on two live endpoints, driven by bytes: all promises of the
//! simulation hold after every step, and when the network heals everything arrives.

use std::collections::VecDeque;
use std::net::SocketAddr;

use aldis_netsim::Datagram;
use aldis_rudp::Flow;

use crate::sim::content::BYTES_MIN;
use crate::sim::host::Host;
use crate::sim::judge::Judge;
use crate::sim::plan::{ATTACKER, Plan};
use crate::sim::{MS, SECOND};

/// Delay of one way, ns.
const ONE_WAY_NS: u64 = 5 * MS;
/// After this time on a healed network everything has arrived: a dead session is noticed, a new one
/// begun, and everything sent.
const RECOVERY_NS_MAX: u64 = 20 * SECOND;
/// Operations that an input may hold.
const OPERATIONS_MAX: usize = 400;
/// Datagrams under way; the oldest are dropped.
const UNDER_WAY_MAX: usize = 4_096;

struct World {
    hosts: [Host; 2],
    plan: Plan,
    judge: Judge,
    under_way: VecDeque<(u64, Datagram)>,
    now_ns: u64,
}

/// Bytes that are taken from the front; zeros follow.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn pair(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let plan = Plan::new(seed);
        let addresses = [1, 2].map(|host| SocketAddr::from(([10, 0, 0, host], 7_000)));
        let hosts = [0, 1].map(|number| Host::new(&plan, number, addresses));
        Self { hosts, plan, judge: Judge::default(), under_way: VecDeque::new(), now_ns: 0 }
    }

    fn turn(&mut self, host: usize) {
        for datagram in self.hosts[host].turn(self.now_ns, &mut self.judge) {
            self.under_way.push_back((self.now_ns + ONE_WAY_NS, datagram));
        }
        while self.under_way.len() > UNDER_WAY_MAX {
            self.under_way.pop_front();
        }
    }

    fn next_ns(&self) -> u64 {
        let arrival = self.under_way.front().map(|(at_ns, _)| *at_ns);
        let deadlines = self.hosts.iter().filter_map(|host| host.deadline_ns);
        deadlines.chain(arrival).min().unwrap_or(u64::MAX)
    }

    /// To the next thing that happens, at most until then.
    fn step(&mut self, until_ns: u64) {
        self.now_ns = self.next_ns().clamp(self.now_ns, until_ns.max(self.now_ns));
        let mut has_arrival = [false; 2];
        while self.under_way.front().is_some_and(|(at_ns, _)| *at_ns <= self.now_ns) {
            let (_, datagram) = self.under_way.pop_front().expect("it was just there");
            if let Some(host) = self.hosts.iter_mut().find(|host| host.address == datagram.to) {
                has_arrival[host.number] = true;
                host.handle_datagram(self.now_ns, datagram);
            }
        }
        for (number, has_arrival) in has_arrival.into_iter().enumerate() {
            let is_due = self.hosts[number].deadline_ns.is_some_and(|at_ns| at_ns <= self.now_ns);
            if has_arrival || is_due {
                self.turn(number);
            }
        }
    }

    fn run_until(&mut self, until_ns: u64) {
        while self.next_ns() <= until_ns {
            self.step(until_ns);
        }
        self.now_ns = self.now_ns.max(until_ns);
    }

    fn perform(&mut self, script: &mut Script<'_>) {
        let operation = script.byte();
        let host = usize::from(operation >> 7);
        match operation & 0x0f {
            0..=3 => {
                let flow = match script.byte() % 5 {
                    0 => Flow::Unordered,
                    flow => Flow::Ordered(u32::from(flow)),
                };
                let bytes = BYTES_MIN + script.pair() % 6_000;
                self.hosts[host].send(flow, bytes);
                self.turn(host);
            }
            4..=6 => self.step(u64::MAX - 1),
            7 => self.run_until(self.now_ns + u64::from(script.byte()) * MS),
            8 => drop(self.under_way.pop_front()),
            9 => self.under_way.extend(self.under_way.front().cloned()),
            10 => {
                if let Some((_, datagram)) = self.under_way.pop_front() {
                    self.under_way.push_back((self.now_ns + 2 * ONE_WAY_NS, datagram));
                }
            }
            11 => {
                let (at, bit) = (script.pair(), script.byte() % 8);
                if let Some((_, datagram)) = self.under_way.front_mut() {
                    let len = datagram.bytes.len().max(1);
                    if let Some(byte) = datagram.bytes.get_mut(at % len) {
                        *byte ^= 1 << bit;
                    }
                }
            }
            12 => {
                let len = script.pair();
                if let Some((_, datagram)) = self.under_way.front_mut() {
                    datagram.bytes.truncate(len);
                }
            }
            13 => {
                let len = usize::from(script.byte()).min(script.0.len());
                let (bytes, rest) = script.0.split_at(len);
                script.0 = rest;
                let from =
                    if operation & 0x10 == 0 { ATTACKER } else { self.hosts[1 - host].address };
                let forged = Datagram::udp(from, self.hosts[host].address, bytes.to_vec());
                self.under_way.push_front((self.now_ns, forged));
            }
            14 => self.under_way.clear(),
            _ if operation & 0x10 == 0 => {
                self.hosts[host].restart(&self.plan, self.now_ns, &mut self.judge);
                self.turn(host);
            }
            _ => {
                self.hosts[host].close(self.now_ns);
                self.turn(host);
            }
        }
        // What was delayed or forged stands at its place.
        self.under_way.make_contiguous().sort_by_key(|(at_ns, _)| *at_ns);
    }

    fn is_settled(&self) -> bool {
        self.hosts.iter().all(|host| {
            let delivered = |number| self.judge.outstanding_count(number) == 0;
            host.session().is_some_and(delivered) && host.is_acknowledged() && !host.is_waiting()
        })
    }
}

/// Runs one input: eight bytes for modes and keys, then operations.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let seed = u64::from_le_bytes(std::array::from_fn(|_| script.byte()));
    let mut world = World::new(seed);
    for _ in 0..OPERATIONS_MAX {
        if script.0.is_empty() {
            break;
        }
        world.perform(&mut script);
    }
    let deadline_ns = world.now_ns + RECOVERY_NS_MAX;
    while !world.is_settled() {
        assert!(world.now_ns < deadline_ns, "not everything arrived");
        world.step(deadline_ns);
    }
}
