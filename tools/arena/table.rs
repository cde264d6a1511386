//! Figures as a table for people and as tab-separated values for programs. Knows layout only.

use std::fmt::Write;

use crate::cell::Cell;
use crate::figures::{Cost, Figures, Latencies, Status};
use crate::quantiles::{SHARE_NAMES, SHARES};
use crate::run::Trouble;
use crate::stacks::Stack;

/// The heading of a cell on the terminal.
pub fn heading(cell: &Cell) -> String {
    if cell.is_latency() {
        let quantiles = SHARE_NAMES.map(|name| format!("{name:>12}"));
        format!(
            "\n{cell}: latency ms and its factor over the lower bound of the stack's own order\n\
             {:20}{} {:>7} {:>6} {:>7} {:>7} {:>8} {:>8}",
            "",
            quantiles.concat(),
            "wire/B",
            "dgrams",
            "cpu us",
            "allocs",
            "heap KiB",
            "at end",
        )
    } else {
        format!(
            "\n{cell}: share of the link\n{:20}{:>9} {:>9} {:>10} {:>9} {:>7}",
            "", "goodput", "Mbit/s", "neighbour", "queue ms", "wire/B",
        )
    }
}

/// The line of a stack on the terminal.
pub fn line(stack: &Stack, cell: &Cell, figures: &Figures) -> String {
    let mut line = format!("{:20}", stack.name);
    if cell.is_latency() {
        latency_columns(&mut line, figures);
    } else {
        let share = |share: Option<f64>| share.map_or("-".into(), |share| format!("{share:.3}"));
        let queue = figures.queue_ms.map_or("-".into(), |ms| format!("{ms:.1}"));
        line += &format!(
            "{:>9} {:>9.1} {:>10} {:>9} {:>7.3}",
            share(figures.goodput_share),
            figures.goodput_mbits,
            share(figures.neighbour_share),
            queue,
            figures.wire_ratio,
        );
    }
    if let Some(large) = figures.large {
        line += &format!("  1 MiB p50 {:.0} p99 {:.0} ms", ms(large[0]), ms(large[2]));
    }
    let faults = figures.faults;
    for (name, count) in [
        ("altered", faults.altered),
        ("doubled", faults.doubled),
        ("disordered", faults.disordered),
    ] {
        // Disorder is what a stack without order promises.
        if count > 0 && (name != "disordered" || stack.is_ordered()) {
            line += &format!("  {count} {name}");
        }
    }
    if figures.status != Status::Delivered {
        line += &format!("  {}", status(&figures.status));
    }
    line
}

fn latency_columns(line: &mut String, figures: &Figures) {
    match &figures.latencies {
        Some(Latencies { measured, own, .. }) => {
            for (measured, own) in measured.iter().zip(own) {
                let factor = *measured as f64 / (*own).max(1) as f64;
                *line += &format!(" {:>6.1} {factor:<4.2}", ms(*measured));
            }
        }
        None => *line += &" ".repeat(12 * SHARES.len()),
    }
    *line += &format!(" {:>7.3} {:>6.2}", figures.wire_ratio, figures.datagrams);
    if let Some(Cost { cpu_us, allocations, heap_kib_max, heap_kib_end }) = figures.cost {
        *line += &format!(" {cpu_us:>7.2} {allocations:>7.2} {heap_kib_max:>8} {heap_kib_end:>8}");
    }
}

/// Names of the columns that are the same whenever the seed is.
pub fn tsv_heading() -> String {
    let mut columns = vec!["cell".to_string(), "stack".into(), "status".into()];
    for kind in ["ms", "bound_unordered_ms", "bound_own_ms"] {
        columns.extend(SHARE_NAMES.map(|name| format!("{name}_{kind}")));
    }
    columns.extend(["large_p50_ms", "large_p99_ms"].map(Into::into));
    columns.extend(["wire_bytes_per_byte", "datagrams_per_message"].map(Into::into));
    columns.extend(["goodput_mbits", "goodput_share", "neighbour_share"].map(Into::into));
    columns.extend(["queue_ms", "altered", "doubled", "disordered"].map(Into::into));
    columns.join("\t")
}

/// One line of them.
pub fn tsv_line(stack: &Stack, cell: &Cell, figures: &Figures) -> String {
    let mut line = format!("{cell}\t{}\t{}", stack.name, status(&figures.status));
    let latencies = figures.latencies;
    let kinds = [
        latencies.map(|latencies| latencies.measured),
        latencies.map(|latencies| latencies.unordered),
        latencies.map(|latencies| latencies.own),
    ];
    for quantiles in kinds {
        for index in 0..SHARES.len() {
            field(&mut line, quantiles.map(|values| ms(values[index])));
        }
    }
    field(&mut line, figures.large.map(|large| ms(large[0])));
    field(&mut line, figures.large.map(|large| ms(large[2])));
    field(&mut line, Some(figures.wire_ratio));
    field(&mut line, Some(figures.datagrams));
    field(&mut line, Some(figures.goodput_mbits));
    field(&mut line, figures.goodput_share);
    field(&mut line, figures.neighbour_share);
    field(&mut line, figures.queue_ms);
    let faults = figures.faults;
    line += &format!("\t{}\t{}\t{}", faults.altered, faults.doubled, faults.disordered);
    line
}

/// Names of the columns that differ from run to run.
pub fn cost_heading() -> &'static str {
    "cell\tstack\tcpu_us_per_message\tallocations_per_message\theap_kib_max\theap_kib_end"
}

/// One line of them, if the cost was measured.
pub fn cost_line(stack: &Stack, cell: &Cell, figures: &Figures) -> Option<String> {
    let cost = figures.cost?;
    Some(format!(
        "{cell}\t{}\t{:.3}\t{:.3}\t{}\t{}",
        stack.name, cost.cpu_us, cost.allocations, cost.heap_kib_max, cost.heap_kib_end
    ))
}

fn field(line: &mut String, value: Option<f64>) {
    let written = match value {
        Some(value) => write!(line, "\t{value:.4}"),
        None => write!(line, "\t"),
    };
    written.expect("a String takes everything");
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn status(status: &Status) -> String {
    match status {
        Status::Delivered => "delivered".into(),
        Status::Undelivered(count) => format!("{count} undelivered"),
        Status::Failed(Trouble::NoConnection) => "no connection".into(),
        Status::Failed(Trouble::Overload) => "overload".into(),
        Status::Failed(Trouble::Dead(reason)) => format!("dead: {reason}"),
    }
}
