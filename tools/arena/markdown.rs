//! The figures of all cells as the tables of the crate's README. Knows layout only.

use crate::cell::{Cell, Workload};
use crate::figures::{Figures, Latencies, Status};
use crate::quantiles::SHARE_NAMES;
use crate::stacks::Stack;

/// The stacks of the tables, as columns.
const COLUMNS: [&str; 8] = [
    "rudp-sealed",
    "rudp-sealed-flow",
    "rudp-sealed+",
    "quinn-bbr-message",
    "quinn-cubic-message",
    "kcp-flow",
    "enet",
    "tcp-cubic",
];
/// The quantiles that are shown, as indices of `SHARES`.
const SHOWN: [usize; 2] = [2, 4];

/// All figures of a cell.
pub type Row = (Cell, Vec<(Stack, Figures)>);

/// The tables.
pub fn tables(rows: &[Row]) -> String {
    let is_latency = |row: &&Row| row.0.is_latency() && row.0.workload != Workload::Idle;
    let mut text = heading(&["cell", "lower bound"]);
    for (cell, stacks) in rows.iter().filter(is_latency) {
        let bound = stacks.iter().find_map(|(_, figures)| figures.latencies);
        let bound = bound.map_or("-".into(), |latencies| quantiles(&latencies.unordered));
        line(&mut text, &format!("{cell} | {bound}"), stacks, latency_field);
    }
    text += "\n";
    text += &heading(&["cell"]);
    for (cell, stacks) in rows.iter().filter(|(cell, _)| !cell.is_latency()) {
        line(&mut text, &cell.to_string(), stacks, share_field);
    }
    text
}

/// What the columns of the first table hold, for readers.
pub fn legend() -> String {
    let names = SHOWN.map(|index| SHARE_NAMES[index]).join(" / ");
    format!("{names} in ms, wire bytes for each payload byte, CPU us for each message if measured")
}

fn heading(first: &[&str]) -> String {
    let columns: Vec<_> = first.iter().chain(&COLUMNS).copied().collect();
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

fn line(
    text: &mut String,
    first: &str,
    stacks: &[(Stack, Figures)],
    field: impl Fn(&Figures) -> String,
) {
    let fields = COLUMNS.map(|name| {
        let figures = stacks.iter().find(|(stack, _)| stack.name == name);
        figures.map_or("-".into(), |(_, figures)| field(figures))
    });
    *text += &format!("| {first} | {} |\n", fields.join(" | "));
}

fn quantiles(values: &[u64]) -> String {
    SHOWN.map(|index| format!("{:.1}", values[index] as f64 / 1e6)).join(" / ")
}

fn latency_field(figures: &Figures) -> String {
    let end = match &figures.status {
        Status::Delivered => String::new(),
        Status::Undelivered(count) => format!(", {count} undelivered"),
        Status::Failed(_) => return "overload".into(),
    };
    let Some(Latencies { measured, .. }) = &figures.latencies else { return "-".into() };
    let cpu = figures.cost.map_or(String::new(), |cost| format!(", {:.2}", cost.cpu_us));
    let altered = figures.faults.altered + figures.faults.doubled;
    let wrong = if altered > 0 { format!(", {altered} wrong") } else { String::new() };
    format!("{}, {:.2}{cpu}{wrong}{end}", quantiles(measured), figures.wire_ratio)
}

fn share_field(figures: &Figures) -> String {
    let share = |share: Option<f64>| share.map_or("-".into(), |share| format!("{share:.2}"));
    let mut text = share(figures.goodput_share);
    if let Some(neighbour) = figures.neighbour_share {
        text += &format!(" beside {neighbour:.2}");
    }
    if let Some(queue_ms) = figures.queue_ms {
        text += &format!(", {queue_ms:.0} ms");
    }
    text
}
