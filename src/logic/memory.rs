//! Whether the process has memory left, as whoever watches it says. Reads nothing itself.

use std::sync::atomic::{AtomicU8, Ordering};

/// How much of its budget a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryLevel {
    /// Little enough.
    #[default]
    Plenty,
    /// What matters less is refused: logins, lists, what is told and not stored.
    Short,
    /// No new connections are taken either.
    Spent,
}

/// The level, for all services of a node.
#[derive(Debug, Default)]
pub struct Memory {
    level: AtomicU8,
}

impl Memory {
    /// Somebody has looked.
    pub fn set(&self, level: MemoryLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// What was seen last.
    pub fn level(&self) -> MemoryLevel {
        match self.level.load(Ordering::Relaxed) {
            0 => MemoryLevel::Plenty,
            1 => MemoryLevel::Short,
            _ => MemoryLevel::Spent,
        }
    }
}
