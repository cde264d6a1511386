//! What a seed means: sizes, limits and which faults come how often. Each run turns a random part
//! of the faults on, so that each also runs without the others in its way.

use std::time::Duration;

use aldis_logic::cluster::Bug as HubBug;
use aldis_logic::{CreditLimits, HeadCheckTimes, LinkUse};
use aldis_rudp::ControllerKind;
use aldis_store::memory::Bug;

use crate::conn::IoPlan;
use crate::dice::Dice;
use crate::nemesis::TroubleKind;
use crate::network::NetPlan;

/// Output that closes a connection, bytes: one page of a mailbox must fit above the soft limit.
const OUTPUT_HARD_BYTES: usize = 384 << 10;

/// What may go wrong from outside at a moment of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A connection breaks; both ends learn it soon.
    Cut,
    /// A connection breaks and the server learns it late or never.
    HalfOpen,
    /// A connection breaks before the server hears its LOGIN.
    CutNew,
    /// A client stops reading for a while.
    SlowReader,
    /// The network swallows everything on a connection, the client learns nothing.
    Silence,
    /// The process is killed.
    Crash,
    /// SIGTERM.
    Drain,
}

/// How often batches meet which end, per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchFates {
    /// Fails before its commit.
    pub fail: u64,
    /// Committed, but the answer is lost.
    pub unknown: u64,
    /// The process is killed before the commit.
    pub crash_before: u64,
    /// The process is killed between commit and reply.
    pub crash_after: u64,
    /// The commit takes long.
    pub slow: u64,
}

/// The link between the nodes.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    /// What it is used for.
    pub usage: LinkUse,
    /// Datagrams are encrypted; if not, they have checksums.
    pub is_sealed: bool,
    /// The congestion controller.
    pub controller: ControllerKind,
    /// Repair datagrams are sent.
    pub redundancy: bool,
    /// Silence after which a node is lost.
    pub lost_after: Duration,
    /// Bare time of one way, us.
    pub one_way_us: u64,
    /// All ways are bad from the start until everything heals.
    pub is_bad_from_start: bool,
    /// Of the queue to the link's thread, bytes.
    pub queue_bytes_max: usize,
    /// Reactors of each node.
    pub reactor_count: usize,
    /// Mean pause between two troubles, ms; `None`: none.
    pub trouble_pause_ms: Option<u64>,
    /// Which come.
    pub troubles: Vec<TroubleKind>,
}

impl LinkPlan {
    fn of(dice: &mut Dice, node_count: usize, reactor_count: usize) -> Self {
        let usage = match dice.below(10) {
            _ if node_count == 1 => LinkUse::Off,
            0 => LinkUse::Off,
            1 => LinkUse::Broadcast,
            _ => LinkUse::Routed,
        };
        let troubles: Vec<TroubleKind> =
            TroubleKind::ALL.into_iter().filter(|_| dice.chance(500)).collect();
        let has_troubles = node_count > 1 && !troubles.is_empty();
        let pause_ms = dice.range(150, 2_000);
        Self {
            usage,
            is_sealed: dice.chance(750),
            controller: *dice.pick(&[ControllerKind::Model, ControllerKind::Cubic]),
            redundancy: dice.chance(400),
            lost_after: Duration::from_secs(*dice.pick(&[2, 3, 10])),
            one_way_us: *dice.pick(&[50, 500, 5_000, 40_000]),
            is_bad_from_start: node_count > 1 && dice.chance(250),
            queue_bytes_max: *dice.pick(&[300, 1_500, 64 << 10]),
            reactor_count,
            trouble_pause_ms: has_troubles.then_some(pause_ms),
            troubles,
        }
    }

    /// There is one.
    pub fn is_on(&self) -> bool {
        self.usage != LinkUse::Off
    }
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct Plan {
    /// People.
    pub user_count: usize,
    /// Devices of each.
    pub device_count: usize,
    /// Clients that break rules.
    pub pest_count: usize,
    /// Nodes that share the store and the directory.
    pub node_count: usize,
    /// What else they have.
    pub link: LinkPlan,
    /// Reactors of each node.
    pub reactor_count: usize,
    /// When sessions are compared with the store; several nodes need it.
    pub head_checks: Option<HeadCheckTimes>,
    /// Groups with more members are streams.
    pub fanout_max: usize,
    /// Store readers of each node.
    pub reader_count: usize,
    /// How long things happen, ms.
    pub load_ms: u64,
    /// Longest pause between two deeds of a device's owner, ms.
    pub pause_ms_max: u64,
    /// Sends that a device may have on the wire.
    pub window: usize,
    /// Of each service.
    pub credits: CreditLimits,
    /// Of each reactor.
    pub io: IoPlan,
    /// Of each mailbox's bounded lane, bytes.
    pub delivery_bytes_max: usize,
    /// Of the network.
    pub net: NetPlan,
    /// What LOGIN_RESP asks of clients, ms.
    pub heartbeat_ms: u32,
    /// How long a token holds, ms.
    pub token_ttl_ms: u64,
    /// Mean pause between two faults, ms; `None`: none.
    pub fault_pause_ms: Option<u64>,
    /// Which come.
    pub faults: Vec<FaultKind>,
    /// Of batches while things go wrong.
    pub fates: BatchFates,
    /// Reads that are answered UNAVAILABLE while things go wrong, per mille.
    pub read_fails: u64,
    /// Mail between reactors that does not fit while things go wrong, per mille.
    pub kick_lost: u64,
    /// Jobs of the directory that meet a full queue while things go wrong, per mille.
    pub directory_full: u64,
    /// Jobs of the directory that take long while things go wrong, per mille.
    pub directory_slow: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(dice: &mut Dice) -> Self {
        let latency_us_min = dice.range(20, 2_000);
        let all = [
            FaultKind::Cut,
            FaultKind::HalfOpen,
            FaultKind::CutNew,
            FaultKind::SlowReader,
            FaultKind::Silence,
            FaultKind::Crash,
            FaultKind::Drain,
        ];
        let faults: Vec<FaultKind> = all.into_iter().filter(|_| dice.chance(500)).collect();
        let heartbeat_ms = dice.range(2_000, 8_000) as u32;
        let tight = dice.chance(500);
        let node_count = *dice.pick(&[1, 1, 2, 2, 2, 2, 3, 3, 3, 4]);
        let reactor_count = dice.range(2, 3) as usize;
        let link = LinkPlan::of(dice, node_count, reactor_count);
        Self {
            user_count: dice.range(2, 4) as usize,
            device_count: dice.range(1, 3) as usize,
            pest_count: dice.below(2) as usize,
            node_count,
            link,
            head_checks: (node_count > 1 || dice.chance(300)).then(|| head_checks(dice)),
            reactor_count,
            reader_count: dice.range(1, 2) as usize,
            load_ms: dice.range(3_000, 8_000),
            pause_ms_max: dice.range(200, 1_500),
            window: *dice.pick(&[1, 4, 64]),
            credits: CreditLimits {
                writes: if tight { dice.range(1, 8) as u32 } else { 256 },
                write_bytes: if tight { 2_000 } else { 1 << 20 },
                reads: if tight { dice.range(1, 3) as u32 } else { 300 },
                shed_writes: 256,
                shed_reads: 300,
                hashes: if tight { 1 } else { 8 },
                accounts: if tight { dice.range(1, 2) as u32 } else { 16 },
            },
            io: IoPlan {
                output_soft_bytes: *dice.pick(&[512, 2_048, 16 << 10]),
                output_hard_bytes: OUTPUT_HARD_BYTES,
                read_bytes_per_turn: *dice.pick(&[64, 1_000, 64 << 10]),
                mails_per_turn: *dice.pick(&[1, 4, 1_024]),
                idle_us: u64::from(heartbeat_ms) * 2_500,
            },
            delivery_bytes_max: *dice.pick(&[300, 1_500, 64 << 10]),
            net: NetPlan {
                latency_us_min,
                latency_us_max: latency_us_min + dice.range(0, 30_000),
                chunk_bytes_max: *dice.pick(&[7, 200, 4_096]),
                pipe_bytes_max: *dice.pick(&[600, 4_096, 32 << 10]),
            },
            heartbeat_ms,
            token_ttl_ms: dice.range(5_000, 3_600_000),
            fault_pause_ms: (!faults.is_empty()).then(|| dice.range(200, 2_000)),
            faults,
            fates: BatchFates {
                fail: part(dice, 100),
                unknown: part(dice, 60),
                crash_before: part(dice, 10),
                crash_after: part(dice, 10),
                slow: part(dice, 50),
            },
            read_fails: part(dice, 60),
            kick_lost: part(dice, 300),
            directory_full: part(dice, 200),
            directory_slow: part(dice, 400),
            fanout_max: *dice.pick(&[1, 2, 3, 500]),
        }
    }

    /// What makes a planted bug show within few seeds.
    pub fn aggravate(&mut self, bug: Bug) {
        self.fates.fail = self.fates.fail.max(150);
        if bug == Bug::NoEpochCheck {
            self.node_count = 2;
            self.link.usage = LinkUse::Off;
            self.head_checks = Some(HeadCheckTimes { interval_ms: 1_000, after_login_ms: 500 });
        }
    }

    /// The same for a bug of the hubs.
    pub fn aggravate_hub(&mut self, _bug: HubBug) {
        self.node_count = 3;
        self.link.usage = LinkUse::Routed;
        self.head_checks
            .get_or_insert(HeadCheckTimes { interval_ms: 3_000, after_login_ms: 1_500 });
    }
}

/// Shorter than those of a server, as the heartbeats and runs are.
fn head_checks(dice: &mut Dice) -> HeadCheckTimes {
    HeadCheckTimes { interval_ms: dice.range(300, 4_000), after_login_ms: dice.range(50, 1_500) }
}

/// Off for half of the seeds.
fn part(dice: &mut Dice, most: u64) -> u64 {
    if dice.chance(500) { dice.range(1, most) } else { 0 }
}
