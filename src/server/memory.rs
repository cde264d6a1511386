//! Watches how much memory the process uses, and says so before the kernel ends it: what the budget is,
//! and at which level it is used. What is refused then is the services' affair.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aldis_logic::{MemoryLevel, Node};
use crossbeam::channel::{Receiver, RecvTimeoutError};

use crate::config::MemoryTable;
use crate::sys;

/// How often the process is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks from one return of free memory to the next while there is little: it locks the allocator.
const TRIM_LOOKS: u32 = 10;
/// A level ends when what is used has sunk this far below where it began, percent of the budget: or it
/// would come and go with every login.
const MARGIN_PERCENT: u64 = 5;
/// Where control groups are, if anywhere.
const CGROUPS: &str = "/sys/fs/cgroup";

/// How much memory the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    bytes: u64,
    soft_bytes: u64,
}

impl MemoryBudget {
    /// As configured; `None`: there is no budget.
    pub fn of(table: &MemoryTable) -> Option<Self> {
        let share = |bytes: u64, percent: u32| bytes / 100 * u64::from(percent);
        let bytes = match (*table.budget_mib.get_ref(), *table.budget_percent.get_ref()) {
            (0, 0) => return None,
            (0, percent) => share(memory_there_is(), percent),
            (mib, _) => u64::from(mib) << 20,
        };
        Some(Self { bytes, soft_bytes: share(bytes, *table.soft_percent.get_ref()) })
    }

    /// The level of a process that uses so many bytes, and was at another level before.
    fn level(self, used: u64, before: MemoryLevel) -> MemoryLevel {
        let margin = self.bytes / 100 * MARGIN_PERCENT;
        let is_above = |bytes: u64, level| {
            let begins = if before >= level { bytes.saturating_sub(margin) } else { bytes };
            used > begins
        };
        if is_above(self.bytes, MemoryLevel::Spent) {
            MemoryLevel::Spent
        } else if is_above(self.soft_bytes, MemoryLevel::Short) {
            MemoryLevel::Short
        } else {
            MemoryLevel::Plenty
        }
    }
}

/// Watches until the other end of `stop` is gone.
pub fn watch(budget: MemoryBudget, node: &Arc<Node>, stop: &Receiver<()>) {
    let mut level = MemoryLevel::Plenty;
    let mut looks = 0_u32;
    log::info!("the memory budget is {} MiB", budget.bytes >> 20);
    while stop.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let used = match resident_bytes() {
            Ok(used) => used,
            Err(error) => {
                log::error!("cannot see how much memory is used, there is no budget: {error}");
                node.memory.set(MemoryLevel::Plenty);
                return;
            }
        };
        let before = level;
        level = budget.level(used, before);
        looks = if before == level { looks.wrapping_add(1) } else { 0 };
        if level > MemoryLevel::Plenty && looks.is_multiple_of(TRIM_LOOKS) {
            node.drop_caches();
            sys::trim_heap();
        }
        if before != level {
            node.memory.set(level);
            tell(before, level, used, budget);
        }
    }
}

fn tell(before: MemoryLevel, level: MemoryLevel, used: u64, budget: MemoryBudget) {
    let (used, budget) = (used >> 20, budget.bytes >> 20);
    match level {
        MemoryLevel::Plenty => log::info!("memory is there again: {used} MiB of {budget}"),
        MemoryLevel::Short if before == MemoryLevel::Spent => {
            log::info!("connections are taken again: {used} MiB of {budget} are used");
        }
        MemoryLevel::Short => {
            log::warn!("memory is short, logins and lists are refused: {used} MiB of {budget}");
        }
        MemoryLevel::Spent => {
            log::warn!("memory is spent, connections are refused: {used} MiB of {budget}");
        }
    }
}

/// Memory of the process that is in use now, shared pages included.
fn resident_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// What the process may have: by its control groups, or else what the machine has.
fn memory_there_is() -> u64 {
    // Not from /proc/meminfo, which a hardened service does not see.
    let info = rustix::system::sysinfo();
    let machine = info.totalram as u64 * u64::from(info.mem_unit.max(1));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_files(&groups, Path::new(CGROUPS))
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok())
        .fold(machine, u64::min)
}

/// Where the limits of a process stand that is in these control groups (`/proc/self/cgroup`), of either
/// version, and those of the groups around it. In a container they may be shown as if they were
/// outermost, so the outermost ones are always among them.
fn limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (base, file) = if kinds.is_empty() {
            (root.to_owned(), "memory.max")
        } else if kinds.split(',').any(|kind| kind == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        let inner = Path::new(path.trim_start_matches('/'));
        files.extend(inner.ancestors().map(|group| base.join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_begins_at_its_limit_and_ends_well_below_it() {
        let budget = MemoryBudget { bytes: 1_000, soft_bytes: 800 };
        let mut level = MemoryLevel::Plenty;
        let steps = [
            (800, MemoryLevel::Plenty),
            (801, MemoryLevel::Short),
            (751, MemoryLevel::Short),
            (1_000, MemoryLevel::Short),
            (1_001, MemoryLevel::Spent),
            (951, MemoryLevel::Spent),
            (950, MemoryLevel::Short),
            (750, MemoryLevel::Plenty),
            (790, MemoryLevel::Plenty),
            (2_000, MemoryLevel::Spent),
            (0, MemoryLevel::Plenty),
        ];
        for (used, expected) in steps {
            level = budget.level(used, level);
            assert_eq!(level, expected, "at {used}");
        }
    }

    #[test]
    fn the_budget_is_a_share_of_what_there_is_or_a_number_or_none() {
        let table = |text: &str| toml::from_str::<MemoryTable>(text).unwrap();
        let budget = MemoryBudget::of(&table("budget_mib = 100\nsoft_percent = 50")).unwrap();
        assert_eq!((budget.bytes, budget.soft_bytes), (100 << 20, (100 << 20) / 100 * 50));
        assert_eq!(MemoryBudget::of(&table("budget_percent = 0")), None);
        let whole = MemoryBudget::of(&table("budget_percent = 100")).unwrap();
        assert!(whole.bytes > resident_bytes().unwrap() && resident_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn limits_of_both_versions_of_control_groups_are_found() {
        let files = limit_files("4:memory:/a/b\n3:cpuset:/\n", Path::new("/c"));
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        assert_eq!(
            names,
            ["a/b/", "a/", ""].map(|group| format!("/c/memory/{group}memory.limit_in_bytes"))
        );
        let files = limit_files("0::/system.slice/aldisd.service\n", Path::new("/c"));
        assert_eq!(files[0], Path::new("/c/system.slice/aldisd.service/memory.max"));
        assert_eq!(files.len(), 3);
        assert_eq!(limit_files("nonsense\n\n:", Path::new("/c")), Vec::<PathBuf>::new());
    }
}
