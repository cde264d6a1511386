//! One stack in one cell: sets up the run, repeats it with tapes for its cost, and sums it up.
//! Knows workloads and the figures of the table, no transport in particular.

use std::net::SocketAddr;

use aldis_netsim::Network;

use crate::cell::{Cell, Neighbour, Workload};
use crate::figures::{self, Figures};
use crate::link;
use crate::offer::{Demand, Flood, Pace};
use crate::run::{Contestant, Finished, Run, Schedule};
use crate::stacks::{Setting, Stack};
use crate::tape::TapeEnd;

const S: u64 = 1_000_000_000;
/// Flows of small messages.
const FLOW_COUNT: u32 = 64;
/// Messages that may wait: two seconds of them.
const OUTSTANDING_COUNT_MAX: usize = 20_000;
/// A large message of the mixed workload.
pub const LARGE_BYTES: u64 = 1 << 20;
const FLOOD: Flood = Flood { bytes: 64 << 10, outstanding_bytes_max: 24 << 20, flow: 0 };

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Seed of links, ends and demands.
    pub seed: u64,
    /// Seconds that are judged.
    pub measured_s: u64,
    /// Seconds before.
    pub warm_s: u64,
    /// Runs for CPU time, of which the cheapest counts; none leaves the cost out.
    pub cost_runs: u32,
}

/// Runs a stack in a cell.
pub fn contest(stack: &Stack, cell: &Cell, effort: Effort) -> anyhow::Result<Figures> {
    let mut finished = run(stack, cell, effort)?;
    let mut figures = figures::sum_up(stack, cell, &schedule(cell, effort), &finished);
    let is_single = !matches!(cell.workload, Workload::Beside(_));
    if finished.trouble.is_none() && is_single && effort.cost_runs > 0 {
        let mut replayed = replay(cell, effort, &finished);
        for _ in 1..effort.cost_runs {
            // Both are the same each time but for what else the machine does.
            finished.cpu_ns = finished.cpu_ns.min(run(stack, cell, effort)?.cpu_ns);
            replayed.cpu_ns = replayed.cpu_ns.min(replay(cell, effort, &finished).cpu_ns);
        }
        figures.cost = Some(figures::cost(&finished, &replayed));
    }
    Ok(figures)
}

/// Addresses of the only or first pair, and of the neighbour.
pub fn addresses(pair: u8) -> (SocketAddr, SocketAddr) {
    let host = |side: u8| SocketAddr::from(([10, 0, side, pair + 1], 7_000));
    (host(1), host(2))
}

fn schedule(cell: &Cell, effort: Effort) -> Schedule {
    let (warm_s, measured_s) = match cell.workload {
        Workload::Small | Workload::Mixed => (effort.warm_s, effort.measured_s),
        // Time enough to give back what was only needed under load.
        Workload::Idle => (1, 30),
        // As many messages as are needed for the same quantiles would take long: 1 % does.
        Workload::Sparse => (effort.warm_s, effort.measured_s * 10),
        Workload::Bulk { mbits: 1_000, .. } => (2, 3),
        // A few dozen messages under way at once are several percent of what it carries in 8 s.
        Workload::Bulk { mbits: 20, .. } => (3, 8 * effort.measured_s),
        Workload::Bulk { .. } => (3, effort.measured_s),
        // Neighbours take long to find their balance.
        Workload::Beside(_) => (5, 5 * effort.measured_s),
    };
    Schedule {
        warm_ns: warm_s * S,
        measured_ns: measured_s * S,
        drain_ns: 10 * S,
        outstanding_count_max: OUTSTANDING_COUNT_MAX,
    }
}

fn demand(workload: Workload) -> (Demand, u32) {
    let small = |per_s: u64| Pace { period_ns: S / per_s, bytes: 64..=512, flows: 0..FLOW_COUNT };
    let paced = |paces| Demand { paces, until_ns: u64::MAX, flood: None };
    match workload {
        Workload::Small => (paced(vec![small(10_000)]), FLOW_COUNT),
        Workload::Idle => (Demand { until_ns: S, ..paced(vec![small(1_000)]) }, FLOW_COUNT),
        Workload::Sparse => (paced(vec![small(100)]), FLOW_COUNT),
        Workload::Mixed => {
            let bytes = LARGE_BYTES..=LARGE_BYTES;
            let flows = FLOW_COUNT..FLOW_COUNT + 1;
            let large = Pace { period_ns: S / 4, bytes, flows };
            (paced(vec![small(1_000), large]), FLOW_COUNT + 1)
        }
        Workload::Bulk { .. } | Workload::Beside(_) => {
            (Demand { flood: Some(FLOOD), ..Demand::default() }, 1)
        }
    }
}

/// The same links, whatever runs on them.
fn network(cell: &Cell, effort: Effort) -> Network {
    let pairs = [addresses(0), addresses(1)];
    link::network(cell, effort.seed ^ name_hash(&cell.to_string()), &pairs)
}

fn run(stack: &Stack, cell: &Cell, effort: Effort) -> anyhow::Result<Finished> {
    let mut contestants = vec![contestant(stack, cell, effort, 0)?];
    if let Workload::Beside(neighbour) = cell.workload {
        let name = match neighbour {
            Neighbour::Tcp => "tcp-cubic",
            Neighbour::Quinn => "quinn-cubic-one",
        };
        let neighbour = Stack::named(name).expect("the neighbours are stacks");
        contestants.push(contestant(&neighbour, cell, effort, 1)?);
    }
    let (network, schedule) = (network(cell, effort), schedule(cell, effort));
    Ok(Run::new(network, contestants, schedule, effort.seed, true).run())
}

fn contestant(stack: &Stack, cell: &Cell, effort: Effort, pair: u8) -> anyhow::Result<Contestant> {
    let (demand, flow_count) = demand(cell.workload);
    let addresses = addresses(pair);
    let setting = Setting { addresses, seed: effort.seed + u64::from(pair), flow_count };
    let (client, server) = stack.ends(setting)?;
    Ok(Contestant { addresses, client, server, demand })
}

fn replay(cell: &Cell, effort: Effort, finished: &Finished) -> Finished {
    let (client, server) = (finished.tapes[0].clone(), finished.tapes[1].clone());
    let message_count = finished.ledgers[0].sent().len();
    let (client, server) = TapeEnd::pair(client, server, finished.began_ns, message_count);
    let contestant = Contestant {
        addresses: addresses(0),
        client: Box::new(client),
        server: Box::new(server),
        demand: demand(cell.workload).0,
    };
    let (network, schedule) = (network(cell, effort), schedule(cell, effort));
    Run::new(network, vec![contestant], schedule, effort.seed, true).run()
}

/// FNV-1a: cells have links of their own, the same in each run.
fn name_hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::{Effort, contest};
    use crate::cell::{Cell, JitterKind, LossKind, Workload};
    use crate::figures::Status;
    use crate::ledger::Faults;
    use crate::stacks::STACKS;
    use crate::table;

    const EFFORT: Effort = Effort { seed: 3, measured_s: 1, warm_s: 1, cost_runs: 0 };

    #[test]
    fn every_stack_delivers_everything_once_and_in_order_over_a_link_with_loss() {
        for stack in &STACKS {
            let cell = Cell::new(Workload::Sparse, 10, LossKind::Independent(1));
            let figures = contest(stack, &cell, EFFORT).unwrap();
            assert_eq!(figures.status, Status::Delivered, "{}", stack.name);
            let disordered = if stack.is_ordered() { 0 } else { figures.faults.disordered };
            let faults = Faults { disordered, ..Faults::default() };
            assert_eq!(figures.faults, faults, "{}", stack.name);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_line_and_another_seed_another() {
        let loss = LossKind::Independent(5);
        let cell = Cell { jitter: JitterKind::Reordered, ..Cell::new(Workload::Sparse, 10, loss) };
        for stack in &STACKS {
            let line = |seed| {
                let figures = contest(stack, &cell, Effort { seed, ..EFFORT }).unwrap();
                table::tsv_line(stack, &cell, &figures)
            };
            assert_eq!(line(7), line(7));
            assert_ne!(line(7), line(8));
        }
    }

    #[test]
    fn a_replay_sends_what_the_run_sent() {
        let cell = Cell::new(Workload::Sparse, 10, LossKind::Independent(5));
        for stack in &STACKS {
            let finished = super::run(stack, &cell, EFFORT).unwrap();
            let replayed = super::replay(&cell, EFFORT, &finished);
            let counts = |one: &super::Finished| {
                (one.network.records().len(), one.ledgers[0].delivered_bytes())
            };
            assert_eq!(counts(&finished), counts(&replayed), "{}", stack.name);
        }
    }
}
