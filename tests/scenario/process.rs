//! What the kernel says of a process, and the limits of this one. Knows no protocol.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Length of the kernel's accounting ticks, as every Linux has had it for decades: USER_HZ is 100.
const TICK: Duration = Duration::from_millis(10);

/// Memory of a process, bytes, with shared pages counted in part.
pub fn pss_bytes(pid: u32) -> u64 {
    let text = read(&format!("/proc/{pid}/smaps_rollup"));
    let line = text.lines().find(|line| line.starts_with("Pss:")).expect("the kernel sums it up");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}

/// CPU time that a process has used, user and system.
pub fn cpu_time(pid: u32) -> Duration {
    let text = read(&format!("/proc/{pid}/stat"));
    // The name in parentheses may hold spaces; utime and stime are fields 14 and 15.
    let (_, fields) = text.rsplit_once(')').expect("a name in parentheses");
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|f| f.parse::<u32>().expect("ticks"));
    TICK * ticks.sum::<u32>()
}

/// Open descriptors of a process.
pub fn descriptor_count(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("our own child").count()
}

/// Lets this process and those it starts open as many files as the administrator allows; how many.
pub fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit anyone may");
    limit.maximum.map_or(usize::MAX, |max| max as usize)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
