//! What the kernel says of a process: processor time and memory. Knows no protocol.

use anyhow::{Context, Result};

/// Processor time of a process since it started, user plus system, microseconds: all its threads,
/// also those that ended.
pub fn cpu_time_us(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = stat_ticks(&stat).with_context(|| format!("unexpected content of {path}"))?;
    let us_per_tick = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Ok(ticks * us_per_tick)
}

/// utime + stime, fields 14 and 15 of proc_pid_stat(5). The name in field 2 may hold anything, so
/// fields are counted from its closing parenthesis.
fn stat_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Proportional set size of a process, bytes: shared pages count by their share.
pub fn pss_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    rollup_pss(&text).with_context(|| format!("no Pss line in {path}"))
}

fn rollup_pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_cannot_shift_the_fields() {
        let stat = "42 (a) 1 (b) S 1 2 3 4 5 6 7 8 9 10 700 30 0 0 20";
        assert_eq!(stat_ticks(stat), Some(730));
        assert_eq!(stat_ticks("nonsense"), None);
    }

    #[test]
    fn pss_is_read_in_bytes() {
        assert_eq!(rollup_pss("Rss:  9 kB\nPss:     390 kB\nPss_Dirty: 1 kB\n"), Some(390 * 1024));
        assert_eq!(rollup_pss("Rss: 9 kB\n"), None);
    }

    #[test]
    fn our_own_process_can_be_read() {
        let pid = std::process::id();
        assert!(pss_bytes(pid).unwrap() > 0);
        assert!(cpu_time_us(pid).is_ok());
    }
}
