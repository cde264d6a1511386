//! Which process this is, and whether another one of this machine still exists. Knows /proc.

use std::io;

use super::claim::Claimant;

/// Longest text of each kind that im_node holds.
const TEXT_BYTES_MAX: usize = 64;
/// Fields of /proc/PID/stat after the process's name: its state, and its start time in clock
/// ticks since the machine started (proc_pid_stat(5), fields 3 and 22).
const STATE_FIELD: usize = 0;
const START_FIELD: usize = 19;

/// This process.
pub(super) fn this_process() -> io::Result<Claimant> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    // In another namespace the same process id is another process.
    let namespace = std::fs::read_link("/proc/self/ns/pid")?;
    let namespace: String =
        namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    let pid = std::process::id();
    let Some(start) = start_of(pid)? else {
        return Err(io::Error::other("/proc does not show this process"));
    };
    Ok(Claimant {
        host: short(host.trim()),
        machine: short(&format!("{}/{namespace}", kernel.trim())),
        process: format!("{pid}/{start}"),
    })
}

/// Whether a process of this machine, as [`this_process`] named it there, has ended.
pub(super) fn is_gone(process: &str) -> bool {
    let Some((pid, start)) = process.split_once('/') else { return false };
    let Ok(pid) = pid.parse() else { return false };
    match start_of(pid) {
        Ok(Some(now)) => now != start,
        Ok(None) => true,
        Err(_) => false,
    }
}

/// When the process started; `None`: there is none, or it has ended and only waits for its parent.
fn start_of(pid: u32) -> io::Result<Option<String>> {
    let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name stands in parentheses and may contain anything.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    match (fields.get(STATE_FIELD), fields.get(START_FIELD)) {
        (Some(&("Z" | "X")), _) => Ok(None),
        (Some(_), Some(start)) => Ok(Some((*start).to_owned())),
        _ => Err(io::Error::other("/proc/PID/stat has another format")),
    }
}

fn short(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(TEXT_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_id_and_start() {
        let this = this_process().unwrap();
        assert_eq!(this, this_process().unwrap());
        assert!(!is_gone(&this.process));
        let (pid, start) = this.process.split_once('/').unwrap();
        let reused: u64 = start.parse::<u64>().unwrap() + 1;
        assert!(is_gone(&format!("{pid}/{reused}")), "the same id, but another process");
        assert!(!is_gone("nonsense"), "in doubt it may be alive");
        assert!(this.machine.len() <= TEXT_BYTES_MAX && this.process.len() <= TEXT_BYTES_MAX);
    }

    #[test]
    fn a_killed_process_is_gone_even_before_it_is_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let process = format!("{}/{}", child.id(), start_of(child.id()).unwrap().unwrap());
        assert!(!is_gone(&process));
        child.kill().unwrap();
        while !is_gone(&process) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(&process));
    }
}
