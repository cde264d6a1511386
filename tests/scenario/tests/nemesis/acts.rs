//! What is done to the cluster, when, and when it ends again. Knows processes and ports, no client.

use std::time::{Duration, Instant};

use aldis_scenario::Cluster;
use aldis_scenario::kernel::Blackhole;
use aldis_services::MariaDb;
use rustix::process::Signal;

/// Node 1 has the next port, and so on.
pub const LINK_PORT: u16 = 7_700;
/// See there.
pub const ADMIN_PORT: u16 = 8_200;
/// See there.
pub const API_PORT: u16 = 8_100;

/// Faults at the same time.
const AT_ONCE_MAX: usize = 3;
/// Pause between two decisions, ms.
const PAUSE_MS: (u64, u64) = (500, 3_000);
/// A node's end in order takes no longer.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Something bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    KillNode(usize),
    StopNode(usize),
    TerminateNode(usize),
    FlushRedis,
    KillRedis,
    KillMariaDb,
    RestartMariaDb,
    StopMariaDb,
    CutLink(usize),
    CutLinkOneWay(usize),
    LoseDatagrams(usize, u32),
}

/// What an act concerns: one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Node,
    Redis,
    MariaDb,
    Link(usize),
}

impl Act {
    fn thing(self) -> Thing {
        match self {
            // Those of a node that is away go to the others: two must be left.
            Self::KillNode(_) | Self::StopNode(_) | Self::TerminateNode(_) => Thing::Node,
            Self::FlushRedis | Self::KillRedis => Thing::Redis,
            Self::KillMariaDb | Self::RestartMariaDb | Self::StopMariaDb => Thing::MariaDb,
            Self::CutLink(node) | Self::CutLinkOneWay(node) | Self::LoseDatagrams(node, _) => {
                Thing::Link(node)
            }
        }
    }

    /// How long it lasts, from and to, ms.
    fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::KillNode(_) | Self::TerminateNode(_) => (300, 6_000),
            Self::StopNode(_) => (5_000, 30_000),
            Self::FlushRedis | Self::RestartMariaDb => (0, 1),
            Self::KillRedis => (500, 8_000),
            Self::KillMariaDb => (300, 3_000),
            Self::StopMariaDb => (1_000, 10_000),
            Self::CutLink(_) | Self::CutLinkOneWay(_) => (1_000, 20_000),
            Self::LoseDatagrams(..) => (2_000, 10_000),
        }
    }
}

/// An act that is not over.
struct Active {
    act: Act,
    until: Instant,
    hole: Option<Blackhole>,
}

/// See the file's first line.
pub struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    mariadb: &'a mut MariaDb,
    random: u64,
    began: Instant,
    active: Vec<Active>,
    /// Acts so far.
    count: usize,
}

impl<'a> Nemesis<'a> {
    /// Does nothing yet.
    pub fn new(seed: u64, cluster: &'a mut Cluster, mariadb: &'a mut MariaDb) -> Self {
        let (random, began) = (seed, Instant::now());
        Self { cluster, mariadb, random, began, active: Vec::new(), count: 0 }
    }

    /// Goes on for so long and then heals everything; `meanwhile` is called all the time.
    pub fn rage(&mut self, time: Duration, mut meanwhile: impl FnMut()) {
        let mut next = Instant::now();
        while self.began.elapsed() < time {
            meanwhile();
            self.revive();
            self.heal(Instant::now());
            if next <= Instant::now() {
                next = Instant::now() + self.between(PAUSE_MS);
                let act = self.choose();
                let is_taken = self.active.iter().any(|one| one.act.thing() == act.thing());
                if !is_taken && self.active.len() < AT_ONCE_MAX {
                    self.begin(act);
                }
            }
        }
        // The database first: nodes need it to start.
        while !self.active.is_empty() {
            self.heal(Instant::now() + Duration::from_secs(3_600));
        }
        self.revive();
        self.say(&format!("all is well after {} acts", self.count));
    }

    fn say(&self, what: &str) {
        println!("{:>8.2} s  {what}", self.began.elapsed().as_secs_f64());
    }

    fn choose(&mut self) -> Act {
        let node = self.below(self.cluster.nodes.len() as u64) as usize;
        match self.below(12) {
            0 | 1 => Act::KillNode(node),
            2 => Act::StopNode(node),
            3 => Act::TerminateNode(node),
            4 => Act::FlushRedis,
            5 => Act::KillRedis,
            6 => Act::KillMariaDb,
            7 => Act::RestartMariaDb,
            8 => Act::StopMariaDb,
            9 => Act::CutLink(node),
            10 => Act::CutLinkOneWay(node),
            _ => {
                let percent = [1, 10, 30, 50][self.below(4) as usize];
                Act::LoseDatagrams(node, percent)
            }
        }
    }

    fn begin(&mut self, act: Act) {
        let lasts = self.between(act.lasts_ms());
        self.say(&format!("{act:?} for {lasts:?}"));
        self.count += 1;
        let port = |node: usize| LINK_PORT + 1 + node as u16;
        let mut hole = None;
        match act {
            Act::KillNode(node) => self.cluster.nodes[node].kill_9(),
            Act::StopNode(node) => self.cluster.nodes[node].signal(Signal::STOP),
            Act::TerminateNode(node) => self.cluster.nodes[node].signal(Signal::TERM),
            Act::FlushRedis => drop(self.cluster.redis.cli(&["FLUSHALL"])),
            Act::KillRedis => self.cluster.redis.kill_9(),
            Act::KillMariaDb => self.mariadb.kill_9(),
            Act::RestartMariaDb => self.mariadb.stop(),
            Act::StopMariaDb => self.mariadb.pause(),
            Act::CutLink(node) => hole = Some(Blackhole::of_udp_port(port(node))),
            Act::CutLinkOneWay(node) => {
                hole = Some(Blackhole::of_udp_datagrams_to(port(node)));
            }
            Act::LoseDatagrams(node, percent) => {
                hole = Some(Blackhole::of_some_udp_datagrams(port(node), percent));
            }
        }
        self.active.push(Active { act, until: Instant::now() + lasts, hole });
    }

    /// Ends what is over by this time.
    fn heal(&mut self, now: Instant) {
        // A node that starts needs the database: it waits until that is back.
        let is_away = self.active.iter().any(|one| one.act.thing() == Thing::MariaDb);
        let is_over = |one: &Active| {
            let starts = matches!(one.act, Act::KillNode(_) | Act::TerminateNode(_));
            one.until <= now && !(starts && is_away)
        };
        let (over, on) = std::mem::take(&mut self.active).into_iter().partition(is_over);
        self.active = on;
        for Active { act, hole, .. } in over {
            match act {
                Act::KillNode(node) => self.cluster.nodes[node].restart(),
                Act::StopNode(node) => self.cluster.nodes[node].signal(Signal::CONT),
                Act::TerminateNode(node) => {
                    let is_well = self.cluster.nodes[node].wait_end(DRAIN_MAX);
                    assert!(is_well, "node {} does not end in order", node + 1);
                    self.cluster.nodes[node].restart();
                }
                Act::KillRedis => self.cluster.redis.restart(),
                Act::KillMariaDb | Act::RestartMariaDb => self.mariadb.restart(),
                Act::StopMariaDb => self.mariadb.resume(),
                _ => drop(hole),
            }
            self.say(&format!("{act:?} is over"));
        }
    }

    /// Starts nodes that ended by themselves, as a supervisor does.
    fn revive(&mut self) {
        for node in 0..self.cluster.nodes.len() {
            let is_ours = self.active.iter().any(
                |one| matches!(one.act, Act::KillNode(n) | Act::TerminateNode(n) if n == node),
            );
            let is_away = self.active.iter().any(|one| one.act.thing() == Thing::MariaDb);
            if !is_ours && !is_away && !self.cluster.nodes[node].is_running() {
                let log = self.cluster.nodes[node].log();
                let why = log.lines().rfind(|line| line.contains("ERROR")).unwrap_or("no reason");
                self.say(&format!("node {} ended by itself: {why}", node + 1));
                self.cluster.nodes[node].restart();
            }
        }
    }

    fn between(&mut self, (from, to): (u64, u64)) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// splitmix64: <https://prng.di.unimi.it/splitmix64.c>.
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}
