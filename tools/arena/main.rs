//! The arena: runs reliable transports on the same simulated links under the same demands, and
//! prints what became of messages, wire and processor. Owns the command line and the order of runs.

mod bars;
mod bound;
mod cell;
mod content;
mod contest;
mod cost;
mod end;
mod figures;
mod ledger;
mod link;
mod markdown;
mod offer;
mod pair;
mod quantiles;
mod run;
mod stacks;
mod table;
mod tape;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;

use cell::Cell;
use contest::{Effort, contest};
use stacks::{STACKS, Stack};

/// What `--quick` compares.
const QUICK_STACKS: [&str; 8] = [
    "rudp-plain",
    "rudp-sealed",
    "rudp-sealed-flow",
    "rudp-sealed+",
    "quinn-bbr-message",
    "kcp-flow",
    "enet",
    "tcp-cubic",
];

/// How CPU and memory are measured, for readers.
const COST_EXPLANATION: &str = "\
How cost is computed

CPU time is that of the thread (CLOCK_THREAD_CPUTIME_ID) over the whole run, both ends, simulated
links and application; no system call is in it. The same run is then repeated with ends that do
nothing but send datagrams of the recorded sizes and deliver the recorded messages at the recorded
times, on the same links with the same seed, and its CPU time is taken off. The remainder, divided
by the number of messages, is the column; of several runs (--cost-runs) the cheapest counts. It
holds the stack, its adapter (cutting streams into messages, moving bytes in and out), and the
counting allocator, which adds a few ns to each allocation of every stack alike.
Allocations and heap are taken from that allocator and differ by the replay in the same way.
";

#[derive(Parser)]
#[command(about = "Reliable transports compared on the same simulated links")]
struct Args {
    /// A selection of cells and stacks that takes less than a minute.
    #[arg(long)]
    quick: bool,
    /// Stacks by name, separated by commas; a name that ends with * means all that begin so.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Cells whose name contains one of these, separated by commas.
    #[arg(long, value_delimiter = ',')]
    cell: Vec<String>,
    /// Seed of links, stacks and demands.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds of virtual time that are judged in a cell.
    #[arg(long)]
    seconds: Option<u64>,
    /// Runs for the cost, of which the cheapest counts; 0 leaves the cost out.
    #[arg(long, default_value_t = 3)]
    cost_runs: u32,
    /// Folder for arena.tsv, the same to the byte for a seed, arena-cost.tsv, which is not, and
    /// arena.md, both as tables for people.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Names of cells and stacks.
    #[arg(long)]
    list: bool,
    /// How the lower bound and the cost are computed.
    #[arg(long)]
    explain: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.explain {
        println!("{}\n{COST_EXPLANATION}", bound::EXPLANATION);
        return Ok(());
    }
    if args.list {
        cell::all().iter().for_each(|cell| println!("cell {cell}"));
        STACKS.iter().for_each(|stack| println!("stack {}", stack.name));
        return Ok(());
    }
    let (cells, stacks) = (cells(&args), stacks(&args)?);
    let effort = Effort {
        seed: args.seed,
        measured_s: args.seconds.unwrap_or(if args.quick { 1 } else { 8 }),
        warm_s: if args.quick { 1 } else { 2 },
        cost_runs: args.cost_runs,
    };
    let mut files = args.out.as_ref().map(Files::create).transpose()?;
    content::prepare();
    let mut out = std::io::stdout();
    let (began, mut missed, mut all) = (Instant::now(), Vec::new(), Vec::new());
    for cell in &cells {
        writeln!(out, "{}", table::heading(cell))?;
        let mut rows = Vec::new();
        for stack in &stacks {
            let figures = contest(stack, cell, effort)?;
            writeln!(out, "{}", table::line(stack, cell, &figures))?;
            if let Some(files) = &mut files {
                files.write(stack, cell, &figures)?;
            }
            rows.push((*stack, figures));
        }
        for stack in &stacks {
            let misses = bars::misses(stack, cell, &rows);
            missed.extend(misses.into_iter().map(|miss| format!("{cell} {}: {miss}", stack.name)));
        }
        all.push((*cell, rows));
    }
    if stacks.iter().any(Stack::is_subject) {
        writeln!(out, "\n{} bars missed", missed.len())?;
        for miss in missed {
            writeln!(out, "  {miss}")?;
        }
    }
    if let Some(folder) = &args.out {
        let text = format!("{}\n\n{}", markdown::legend(), markdown::tables(&all));
        fs::write(folder.join("arena.md"), text)?;
    }
    writeln!(out, "\n{} cells in {:.0} s", cells.len(), began.elapsed().as_secs_f64())?;
    Ok(())
}

fn cells(args: &Args) -> Vec<Cell> {
    let cells = if args.quick { cell::quick() } else { cell::all() };
    let is_asked_for = |cell: &Cell| {
        let name = cell.to_string();
        args.cell.is_empty() || args.cell.iter().any(|part| name.contains(part.as_str()))
    };
    cells.into_iter().filter(is_asked_for).collect()
}

fn stacks(args: &Args) -> anyhow::Result<Vec<Stack>> {
    if args.only.is_empty() && args.quick {
        return Ok(QUICK_STACKS.iter().filter_map(|name| Stack::named(name)).collect());
    }
    for name in &args.only {
        let is_known = STACKS.iter().any(|stack| is_meant(name, stack));
        anyhow::ensure!(is_known, "no stack {name}; --list names them");
    }
    let is_asked_for =
        |stack: &Stack| args.only.is_empty() || args.only.iter().any(|name| is_meant(name, stack));
    Ok(STACKS.into_iter().filter(is_asked_for).collect())
}

fn is_meant(name: &str, stack: &Stack) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => stack.name.starts_with(beginning),
        None => stack.name == name,
    }
}

/// The tab-separated tables.
struct Files {
    figures: File,
    cost: File,
}

impl Files {
    fn create(folder: &PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let mut figures = File::create(folder.join("arena.tsv"))?;
        let mut cost = File::create(folder.join("arena-cost.tsv"))?;
        writeln!(figures, "{}", table::tsv_heading())?;
        writeln!(cost, "{}", table::cost_heading())?;
        Ok(Self { figures, cost })
    }

    fn write(
        &mut self,
        stack: &Stack,
        cell: &Cell,
        figures: &figures::Figures,
    ) -> anyhow::Result<()> {
        writeln!(self.figures, "{}", table::tsv_line(stack, cell, figures))?;
        if let Some(line) = table::cost_line(stack, cell, figures) {
            writeln!(self.cost, "{line}")?;
        }
        Ok(())
    }
}
