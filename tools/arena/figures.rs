//! The figures of one stack in one cell, from the ledgers and the records of a run. Knows how they
//! are computed, not how they are printed or judged.

use aldis_netsim::{Fate, Record};

use crate::bound::{Ideal, Trip, Wire, in_order};
use crate::cell::{Cell, JitterKind};
use crate::contest::{LARGE_BYTES, addresses};
use crate::ledger::{Faults, Ledger};
use crate::link;
use crate::quantiles::{Neighbours, Quantiles, quantiles, with_neighbours};
use crate::run::{Finished, Schedule, Trouble};
use crate::stacks::{Keeps, Stack};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything was delivered.
    Delivered,
    /// So many messages were not delivered in time.
    Undelivered(usize),
    /// It could not go on.
    Failed(Trouble),
}

/// Latencies of small messages.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    /// Of the run, ns.
    pub measured: Quantiles,
    /// The lower bound without any order, ns.
    pub unordered: Quantiles,
    /// The lower bound of the stack's own order, ns.
    pub own: Quantiles,
    /// Neighbours of each of its quantiles.
    pub own_beside: Neighbours,
}

/// What a stack costs, both ends, the simulation's own part taken off.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// CPU time for each message, us.
    pub cpu_us: f64,
    /// Allocations for each message.
    pub allocations: f64,
    /// Most heap of both ends together, KiB.
    pub heap_kib_max: i64,
    /// Heap of both ends together when all is delivered, KiB.
    pub heap_kib_end: i64,
}

/// Everything about one stack in one cell.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The end.
    pub status: Status,
    /// Of small messages, if they were delivered.
    pub latencies: Option<Latencies>,
    /// Of messages of 1 MiB, ns.
    pub large: Option<Quantiles>,
    /// Bytes on the wire, both ways, for each byte of messages.
    pub wire_ratio: f64,
    /// Datagrams, both ways, for each message.
    pub datagrams: f64,
    /// Messages delivered, Mbit/s.
    pub goodput_mbits: f64,
    /// Of the bottleneck's rate.
    pub goodput_share: Option<f64>,
    /// Of the neighbour, of the bottleneck's rate.
    pub neighbour_share: Option<f64>,
    /// Mean time that datagrams waited in the queue, ms.
    pub queue_ms: Option<f64>,
    /// Wrong deliveries.
    pub faults: Faults,
    /// What it costs.
    pub cost: Option<Cost>,
}

/// From the end of a run.
pub fn sum_up(stack: &Stack, cell: &Cell, schedule: &Schedule, finished: &Finished) -> Figures {
    let ledger = &finished.ledgers[0];
    let from_ns = finished.began_ns + schedule.warm_ns;
    let until_ns = from_ns + schedule.measured_ns;
    let status = match (&finished.trouble, ledger.outstanding_count()) {
        (Some(trouble), _) => Status::Failed(trouble.clone()),
        (None, count) if count > 0 && cell.is_latency() => Status::Undelivered(count),
        (None, _) => Status::Delivered,
    };
    let is_failed = matches!(status, Status::Failed(_));
    let (client, _) = addresses(0);
    let (_, server) = addresses(0);
    let is_own = |record: &&Record| {
        let is_between = |one, other| record.from == one && record.to == other;
        !record.is_copy && (is_between(client, server) || is_between(server, client))
    };
    let records = || {
        let in_time = |record: &&Record| (from_ns..until_ns).contains(&record.sent_ns);
        finished.network.records().iter().filter(is_own).filter(in_time)
    };
    let sent = ledger.sent().iter().filter(|sent| (from_ns..until_ns).contains(&sent.at_ns));
    let (mut payload_bytes, mut message_count) = (0, 0);
    sent.for_each(|sent| {
        payload_bytes += u64::from(sent.bytes);
        message_count += 1;
    });
    if !cell.is_latency() {
        payload_bytes = finished.goodput_bytes[0];
        message_count = payload_bytes / 1_200;
    }
    let wire_bytes: u64 = records().map(|record| u64::from(record.wire_bytes)).sum();
    let goodput = |bytes: u64| bytes as f64 * 8_000.0 / schedule.measured_ns as f64;
    let share = |bytes: u64| {
        let (bits_per_s, _) = link::bottleneck(cell.workload).filter(|_| !cell.is_latency())?;
        Some(goodput(bytes) * 1e6 / bits_per_s as f64)
    };
    Figures {
        latencies: if is_failed { None } else { latencies(stack, cell, schedule, finished) },
        large: if is_failed { None } else { large(ledger, from_ns) },
        status,
        wire_ratio: wire_bytes as f64 / payload_bytes.max(1) as f64,
        datagrams: records().count() as f64 / message_count.max(1) as f64,
        goodput_mbits: goodput(finished.goodput_bytes[0]),
        goodput_share: share(finished.goodput_bytes[0]),
        neighbour_share: finished.goodput_bytes.get(1).and_then(|bytes| share(*bytes)),
        queue_ms: share(0).and(queue_ms(records().filter(|record| record.from == client))),
        faults: ledger.faults(),
        cost: None,
    }
}

/// What remains of the cost of a run when that of its replay is taken off.
pub fn cost(finished: &Finished, replayed: &Finished) -> Cost {
    let messages = finished.ledgers[0].sent().len().max(1) as f64;
    let less = |one: u64, other: u64| one as f64 - other as f64;
    let heap = |finished: &Finished, replayed: &Finished| {
        let pairs = finished.heap_samples.iter().zip(&replayed.heap_samples);
        pairs.map(|(run, replay)| run - replay).max().unwrap_or_default()
    };
    let last = |finished: &Finished| finished.heap_samples.last().copied().unwrap_or_default();
    Cost {
        cpu_us: less(finished.cpu_ns, replayed.cpu_ns) / 1_000.0 / messages,
        allocations: less(finished.allocation_count, replayed.allocation_count) / messages,
        heap_kib_max: heap(finished, replayed) / 1_024,
        heap_kib_end: (last(finished) - last(replayed)) / 1_024,
    }
}

fn queue_ms<'a>(records: impl Iterator<Item = &'a Record>) -> Option<f64> {
    let arrived = |record: &&Record| matches!(record.fate, Fate::Arrived { .. });
    let (sum_ns, count) = records
        .filter(arrived)
        .fold((0_u64, 0_u64), |(sum, count), record| (sum + record.queued_ns, count + 1));
    (count > 0).then(|| sum_ns as f64 / count as f64 / 1e6)
}

fn large(ledger: &Ledger, from_ns: u64) -> Option<Quantiles> {
    let is_large = |bytes: u32| u64::from(bytes) == LARGE_BYTES;
    let sent = ledger.sent().iter().filter(|sent| is_large(sent.bytes) && sent.at_ns >= from_ns);
    quantiles(sent.filter_map(|sent| sent.latency_ns()).collect())
}

fn latencies(
    stack: &Stack,
    cell: &Cell,
    schedule: &Schedule,
    finished: &Finished,
) -> Option<Latencies> {
    if !cell.is_latency() {
        return None;
    }
    let from_ns = finished.began_ns + schedule.warm_ns;
    let (client, server) = addresses(0);
    let is_trip =
        |record: &&Record| !record.is_copy && record.from == client && record.to == server;
    let trip = |record: &Record| Trip {
        sent_ns: record.sent_ns,
        under_way_ns: match record.fate {
            // What arrives altered is as good as lost.
            Fate::Arrived { at_ns } if !record.is_altered => {
                Some(at_ns - record.sent_ns - record.queued_ns)
            }
            _ => None,
        },
    };
    let trips = finished.network.records().iter().filter(is_trip).map(trip).collect();
    let wire = Wire {
        one_way_ns: cell.one_way_ns(),
        jitter_ns: cell.jitter_ns(),
        is_reordering: cell.jitter == JitterKind::Reordered,
    };
    let ideal = Ideal::new(trips, wire);
    let small = || {
        let sent = finished.ledgers[0].sent().iter();
        sent.filter(|sent| u64::from(sent.bytes) < LARGE_BYTES)
    };
    let arrivals: Vec<_> = small()
        .map(|sent| {
            let order = if stack.keeps == Keeps::Total { 0 } else { sent.flow };
            (order, sent.at_ns, ideal.arrival_ns(sent.at_ns))
        })
        .collect();
    let judged = |delivered: Vec<u64>| {
        let offered = arrivals.iter().map(|(_, at_ns, _)| *at_ns);
        let late = offered.zip(delivered).filter(|(at_ns, _)| *at_ns >= from_ns);
        with_neighbours(late.map(|(at_ns, delivered_ns)| delivered_ns - at_ns).collect())
    };
    let unordered = judged(arrivals.iter().map(|(_, _, arrived_ns)| *arrived_ns).collect())?;
    let own = match stack.keeps {
        Keeps::Nothing => unordered,
        Keeps::Flow | Keeps::Total => judged(in_order(&arrivals))?,
    };
    let ((unordered, _), (own, own_beside)) = (unordered, own);
    // What was never delivered is later than everything that was.
    let never_ns = schedule.drain_ns + schedule.measured_ns;
    let measured = small()
        .filter(|sent| sent.at_ns >= from_ns)
        .map(|sent| sent.latency_ns().unwrap_or(never_ns))
        .collect();
    Some(Latencies { measured: quantiles(measured)?, unordered, own, own_beside })
}
