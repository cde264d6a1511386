//! What is compared: a workload on a link, as a cell of the table. Knows names and numbers, no
//! transport.

use std::fmt;

/// What is asked of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// 10,000 messages a second of 64 to 512 bytes over 64 flows, open loop.
    Small,
    /// The same at 100 a second: no later datagram soon shows that one is missing.
    Sparse,
    /// 1,000 small messages in the first second, then nothing for half a minute.
    Idle,
    /// 1,000 small ones a second and a message of 1 MiB four times a second, at 200 Mbit/s.
    Mixed,
    /// As much as goes through a bottleneck of so many Mbit/s with a queue of so many ms.
    Bulk {
        /// Rate of the bottleneck.
        mbits: u32,
        /// Length of its queue.
        queue_ms: u32,
    },
    /// As much as goes through 20 Mbit/s with a queue of 100 ms, beside a flow of somebody else.
    Beside(Neighbour),
}

/// A flow that shares a bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Neighbour {
    /// smoltcp with CUBIC.
    Tcp,
    /// quinn with CUBIC.
    Quinn,
}

/// How datagrams are lost, in both directions alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossKind {
    /// Each with this probability in percent.
    Independent(u32),
    /// In bursts, this many percent on average.
    Bursts(u32),
}

/// How delay varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JitterKind {
    /// Not at all.
    Steady,
    /// Each way takes up to 20 % of the RTT longer, in order.
    InOrder,
    /// The same, and datagrams overtake one another.
    Reordered,
}

/// What else goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Nothing.
    Sound,
    /// 1 % of datagrams arrive with a flipped bit.
    Flipped,
    /// 1 % of datagrams arrive twice.
    Doubled,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// What is asked.
    pub workload: Workload,
    /// Bare round trip time, ms.
    pub rtt_ms: u64,
    /// Loss.
    pub loss: LossKind,
    /// Variation of delay.
    pub jitter: JitterKind,
    /// Other defects.
    pub defect: Defect,
}

/// Jitter as a share of the RTT, percent.
const JITTER_PERCENT: u64 = 20;

impl Cell {
    /// Of a steady and sound link.
    pub const fn new(workload: Workload, rtt_ms: u64, loss: LossKind) -> Self {
        let (jitter, defect) = (JitterKind::Steady, Defect::Sound);
        Self { workload, rtt_ms, loss, jitter, defect }
    }

    /// Bare delay of one way, ns.
    pub fn one_way_ns(&self) -> u64 {
        self.rtt_ms * 500_000
    }

    /// Largest additional delay of one way, ns.
    pub fn jitter_ns(&self) -> u64 {
        match self.jitter {
            JitterKind::Steady => 0,
            JitterKind::InOrder | JitterKind::Reordered => self.rtt_ms * 10_000 * JITTER_PERCENT,
        }
    }

    /// Messages have a lower bound and latencies that are judged.
    pub fn is_latency(&self) -> bool {
        !matches!(self.workload, Workload::Bulk { .. } | Workload::Beside(_))
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Workload::Small => write!(out, "small"),
            Workload::Sparse => write!(out, "sparse"),
            Workload::Idle => write!(out, "idle"),
            Workload::Mixed => write!(out, "mixed"),
            Workload::Bulk { mbits, queue_ms } => write!(out, "bulk{mbits}q{queue_ms}"),
            Workload::Beside(Neighbour::Tcp) => write!(out, "beside-tcp"),
            Workload::Beside(Neighbour::Quinn) => write!(out, "beside-quinn"),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}ms/", self.workload, self.rtt_ms)?;
        match self.loss {
            LossKind::Independent(percent) => write!(out, "{percent}%")?,
            LossKind::Bursts(percent) => write!(out, "{percent}%bursts")?,
        }
        match self.jitter {
            JitterKind::Steady => {}
            JitterKind::InOrder => write!(out, "/jitter")?,
            JitterKind::Reordered => write!(out, "/reorder")?,
        }
        match self.defect {
            Defect::Sound => Ok(()),
            Defect::Flipped => write!(out, "/flipped"),
            Defect::Doubled => write!(out, "/doubled"),
        }
    }
}

/// All cells, in the order of the table.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    let losses = [0, 1, 5, 10, 20].map(LossKind::Independent).into_iter();
    let losses: Vec<_> = losses.chain([LossKind::Bursts(5)]).collect();
    for rtt_ms in [1, 10, 30, 100] {
        cells.extend(losses.iter().map(|loss| Cell::new(Workload::Small, rtt_ms, *loss)));
    }
    for jitter in [JitterKind::InOrder, JitterKind::Reordered] {
        for rtt_ms in [1, 10, 30, 100] {
            let cell = |percent| {
                let loss = LossKind::Independent(percent);
                Cell { jitter, ..Cell::new(Workload::Small, rtt_ms, loss) }
            };
            cells.extend([0, 1, 5].map(cell));
        }
    }
    for defect in [Defect::Flipped, Defect::Doubled] {
        let cell = Cell::new(Workload::Small, 10, LossKind::Independent(0));
        cells.push(Cell { defect, ..cell });
    }
    cells.push(Cell::new(Workload::Idle, 10, LossKind::Independent(0)));
    for workload in [Workload::Sparse, Workload::Mixed] {
        let cell = |percent| Cell::new(workload, 30, LossKind::Independent(percent));
        cells.extend([0, 1, 5].map(cell));
    }
    for (mbits, queue_ms) in [(100, 30), (1_000, 30)] {
        let workload = Workload::Bulk { mbits, queue_ms };
        cells.extend([0, 1, 5].map(|one| Cell::new(workload, 30, LossKind::Independent(one))));
    }
    let narrow = Workload::Bulk { mbits: 20, queue_ms: 100 };
    for workload in [narrow, Workload::Beside(Neighbour::Tcp), Workload::Beside(Neighbour::Quinn)] {
        cells.push(Cell::new(workload, 30, LossKind::Independent(0)));
    }
    cells
}

/// Those that answer the main questions in less than a minute.
pub fn quick() -> Vec<Cell> {
    let is_quick = |cell: &Cell| {
        let is_small = cell.workload == Workload::Small && matches!(cell.rtt_ms, 1 | 30);
        let loss = matches!(cell.loss, LossKind::Independent(0 | 1 | 5));
        is_small && loss && cell.jitter != JitterKind::InOrder
            || matches!(cell.workload, Workload::Idle | Workload::Bulk { mbits: 20, .. })
    };
    all().into_iter().filter(is_quick).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{all, quick};

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let names: BTreeSet<_> = all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all().len());
        assert!(names.contains("small/30ms/1%/reorder") && names.contains("bulk20q100/30ms/0%"));
        assert!(quick().len() >= 10 && quick().len() < all().len());
    }
}
