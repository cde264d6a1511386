//! What aldis-rudp has to reach in each cell, and where it does not. Knows the bars and the figures
//! of all stacks in a cell.

use crate::cell::{Cell, Defect, JitterKind, LossKind, Workload};
use crate::figures::{Figures, Latencies, Status};
use crate::quantiles::SHARE_NAMES;
use crate::stacks::Stack;

/// Latency over the lower bound, at an RTT of 10 ms and more, and below.
const FACTOR_MAX: f64 = 1.10;
const FACTOR_MAX_SHORT: f64 = 1.15;
/// Wire bytes for each payload byte: without loss, with reordering, with redundancy.
const WIRE_MAX: f64 = 1.20;
const WIRE_MAX_REORDERED: f64 = 1.30;
const WIRE_MAX_REDUNDANT: f64 = 1.60;
/// CPU for each message, both ends, us.
const CPU_US_MAX_PLAIN: f64 = 0.6;
const CPU_US_MAX_SEALED: f64 = 1.0;
/// Heap of an end that has one idle peer, KiB.
const IDLE_KIB_MAX: i64 = 16;
/// p99 without loss over the way's own, ns.
const EXTRA_NS_MAX: u64 = 100_000;
/// Least share of a bottleneck beside somebody else.
const SHARE_MIN: f64 = 1.0 / 3.0;
/// Longest mean queue in the narrow bottleneck, ms.
const QUEUE_MS_MAX: f64 = 30.0;

/// The bars that a stack misses in a cell, in words. Rivals miss none.
pub fn misses(stack: &Stack, cell: &Cell, rows: &[(Stack, Figures)]) -> Vec<String> {
    let own = rows.iter().find(|(other, _)| other.name == stack.name);
    let Some((_, figures)) = own.filter(|_| stack.is_subject()) else {
        return Vec::new();
    };
    let mut misses = Vec::new();
    let faults = figures.faults;
    if faults.altered + faults.doubled > 0 || stack.is_ordered() && faults.disordered > 0 {
        misses.push(format!("delivers wrongly: {faults:?}"));
    }
    if stack.is_loss_based() {
        return misses;
    }
    if figures.status != Status::Delivered {
        misses.push(format!("ends as {:?}", figures.status));
    }
    if let Some(latencies) = &figures.latencies {
        judge_latencies(stack, cell, latencies, &mut misses);
    }
    match cell.workload {
        Workload::Small if cell.defect == Defect::Sound => {
            judge_price(stack, cell, figures, &mut misses);
            judge_redundancy(stack, cell, rows, figures, &mut misses);
        }
        Workload::Idle => {
            let heap_kib = figures.cost.map_or(0, |cost| cost.heap_kib_end) / 2;
            if heap_kib > IDLE_KIB_MAX {
                misses.push(format!("{heap_kib} KiB of an end with an idle peer"));
            }
        }
        Workload::Small | Workload::Sparse | Workload::Mixed => {}
        Workload::Bulk { .. } | Workload::Beside(_) => judge_bulk(cell, figures, &mut misses),
    }
    misses
}

/// Quantiles that do not sit on a step of the bound, as indices of `SHARES`.
fn judged(cell: &Cell) -> &'static [usize] {
    match cell.loss {
        _ if cell.defect == Defect::Flipped => &[0, 1, 3, 4],
        LossKind::Independent(1) => &[0, 1, 3, 4],
        LossKind::Independent(10) => &[0, 1, 3],
        LossKind::Independent(_) => &[0, 2, 4],
        // The bars are about independent loss; bursts are shown only.
        LossKind::Bursts(_) => &[],
    }
}

fn judge_latencies(stack: &Stack, cell: &Cell, latencies: &Latencies, misses: &mut Vec<String>) {
    if stack.is_redundant() {
        return;
    }
    let most = if cell.rtt_ms >= 10 { FACTOR_MAX } else { FACTOR_MAX_SHORT };
    for index in judged(cell) {
        let (measured, bound) = (latencies.measured[*index], latencies.own[*index]);
        let factor = measured as f64 / bound as f64;
        if factor > most {
            let name = SHARE_NAMES[*index];
            let (measured, bound) = (measured as f64 / 1e6, bound as f64 / 1e6);
            let beside = latencies.own_beside[*index];
            let (lower, upper) = (beside.0 as f64 / 1e6, beside.1 as f64 / 1e6);
            misses.push(format!(
                "{name} {measured:.2} ms is {factor:.2} of {bound:.2} ms (neighbours in the bound: \
                 {lower:.2} and {upper:.2} ms)"
            ));
        }
    }
    let is_clean = cell.loss == LossKind::Independent(0)
        && cell.jitter == JitterKind::Steady
        && cell.defect == Defect::Sound;
    let extra_ns = latencies.measured[2].saturating_sub(cell.one_way_ns());
    if is_clean && cell.workload == Workload::Small && extra_ns > EXTRA_NS_MAX {
        misses.push(format!("p99 is {:.2} ms over the one-way delay", extra_ns as f64 / 1e6));
    }
}

fn judge_price(stack: &Stack, cell: &Cell, figures: &Figures, misses: &mut Vec<String>) {
    let is_lossless = cell.loss == LossKind::Independent(0);
    let is_light = is_lossless || cell.loss == LossKind::Independent(1);
    let most = match cell.jitter {
        JitterKind::Reordered | JitterKind::InOrder if is_light => Some(WIRE_MAX_REORDERED),
        JitterKind::Steady if is_lossless => Some(WIRE_MAX),
        _ => None,
    };
    if most.is_some_and(|most| figures.wire_ratio > most) && !stack.is_redundant() {
        misses.push(format!("{:.3} wire bytes per byte", figures.wire_ratio));
    }
    let most = if stack.is_sealed() { CPU_US_MAX_SEALED } else { CPU_US_MAX_PLAIN };
    let is_clean = is_lossless && cell.jitter == JitterKind::Steady;
    if let Some(cost) = figures.cost.filter(|cost| is_clean && cost.cpu_us > most) {
        misses.push(format!("{:.2} us of CPU per message", cost.cpu_us));
    }
}

fn judge_redundancy(
    stack: &Stack,
    cell: &Cell,
    rows: &[(Stack, Figures)],
    figures: &Figures,
    misses: &mut Vec<String>,
) {
    let (Some(latencies), true) = (&figures.latencies, stack.is_redundant()) else {
        return;
    };
    let is_steady = cell.jitter == JitterKind::Steady;
    if cell.loss == LossKind::Independent(5) && is_steady && cell.rtt_ms >= 10 {
        let most_ns = 2_000_000 + cell.one_way_ns() * 11 / 10;
        let p99_ns = latencies.measured[2];
        if p99_ns > most_ns {
            let (p99, most) = (p99_ns as f64 / 1e6, most_ns as f64 / 1e6);
            misses.push(format!("p99 {p99:.2} ms with redundancy is over {most:.2} ms"));
        }
        if figures.wire_ratio > WIRE_MAX_REDUNDANT {
            misses.push(format!("{:.3} wire bytes per byte with redundancy", figures.wire_ratio));
        }
    }
    if cell.loss == LossKind::Independent(0) {
        let most = if is_steady { WIRE_MAX } else { WIRE_MAX_REORDERED };
        if figures.wire_ratio > most {
            misses.push(format!("{:.3} wire bytes per byte without loss", figures.wire_ratio));
        }
        return;
    }
    for (rival, theirs) in rows.iter().filter(|(rival, _)| !rival.is_subject()) {
        let p999 = |latencies: &Latencies| latencies.measured[4];
        if theirs.latencies.as_ref().is_some_and(|theirs| p999(theirs) < p999(latencies)) {
            misses.push(format!("p99.9 is behind {}", rival.name));
        }
    }
}

fn judge_bulk(cell: &Cell, figures: &Figures, misses: &mut Vec<String>) {
    let share = figures.goodput_share.unwrap_or_default();
    let least = match (cell.workload, cell.loss) {
        (Workload::Bulk { mbits: 20, .. }, _) => 0.95,
        (Workload::Bulk { mbits: 100, .. }, LossKind::Independent(5)) => 0.88,
        (Workload::Bulk { mbits: 1_000, .. }, LossKind::Independent(5)) => 0.75,
        (Workload::Beside(_), _) => SHARE_MIN,
        _ => 0.0,
    };
    if share < least {
        misses.push(format!("{share:.3} of the link, not {least:.2}"));
    }
    let queue_ms = figures.queue_ms.unwrap_or_default();
    if matches!(cell.workload, Workload::Bulk { mbits: 20, .. }) && queue_ms > QUEUE_MS_MAX {
        misses.push(format!("{queue_ms:.1} ms of queue on average"));
    }
    if figures.neighbour_share.is_some_and(|share| share < SHARE_MIN) {
        let share = figures.neighbour_share.unwrap_or_default();
        misses.push(format!("leaves {share:.3} of the link to its neighbour"));
    }
}
