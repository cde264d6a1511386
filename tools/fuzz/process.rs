//! Signs of life of the server's process: whether it is the same one, and what it holds. From /proc, or
//! from its page of metrics. Knows no frame.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use crate::finding::{Kind, Problem};

/// Time for the page of metrics.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// How the process is watched.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Its number on this machine.
    pub pid: Option<u32>,
    /// Its HTTP listener for administrators, `host:port`.
    pub admin: Option<String>,
    /// What it logs to.
    pub log: Option<PathBuf>,
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vitals {
    /// When it started; another value is another process.
    pub started: f64,
    /// Memory of its own.
    pub memory_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Process {
    watch: Watch,
    log_read_bytes: u64,
}

impl Process {
    /// What was logged before does not count.
    pub fn new(watch: Watch) -> Self {
        let len = watch.log.as_ref().and_then(|path| fs::metadata(path).ok()).map(|m| m.len());
        Self { watch, log_read_bytes: len.unwrap_or(0) }
    }

    /// Whether there is a way to see what it holds.
    pub fn is_watched(&self) -> bool {
        self.watch.pid.is_some() || self.watch.admin.is_some()
    }

    /// What it holds now; `None`: it cannot be seen.
    pub fn vitals(&self) -> Option<Vitals> {
        match (self.watch.pid, &self.watch.admin) {
            (Some(pid), _) => of_proc(pid),
            (None, Some(admin)) => of_metrics(admin),
            (None, None) => None,
        }
    }

    /// A panic that was logged since the last look.
    pub fn panic_in_log(&mut self) -> Option<Problem> {
        let path = self.watch.log.as_ref()?;
        let mut file = fs::File::open(path).ok()?;
        file.seek(SeekFrom::Start(self.log_read_bytes)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        // A line that is not complete is read again.
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.log_read_bytes += complete as u64;
        let text = String::from_utf8_lossy(&bytes[..complete]);
        let line = text.lines().find(|line| line.contains("panicked at"))?;
        // The place in the source tells one panic from another.
        let place = line.split("panicked at ").nth(1).unwrap_or(line).trim_end_matches(':');
        Some(Problem::new(Kind::Panicked, place, format!("the log says: {line}")))
    }

    /// The process is another one now, which only the metrics can find.
    pub fn forget_pid(&mut self) {
        self.watch.pid = None;
    }
}

fn of_proc(pid: u32) -> Option<Vitals> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the fields behind it begin with the third.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // Pages of files do not count: whether they are in memory is the kernel's affair.
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let memory_kib: u64 = anonymous.split_whitespace().next()?.parse().ok()?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Vitals {
        started: field(22)? as f64,
        memory_bytes: memory_kib << 10,
        descriptors,
        threads: field(20)?,
    })
}

fn of_metrics(admin: &str) -> Option<Vitals> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(PAGE_MAX)).build().into();
    let mut reply = agent.get(format!("http://{admin}/metrics")).call().ok()?;
    let page = reply.body_mut().read_to_string().ok()?;
    let value = |name: &str| {
        let line = page.lines().find(|line| line.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    Some(Vitals {
        started: value("process_start_time_seconds")?,
        memory_bytes: value("process_resident_memory_bytes")? as u64,
        descriptors: value("process_open_fds")? as u64,
        threads: value("process_threads")? as u64,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn this_process_is_seen() {
        let watch = Watch { pid: Some(std::process::id()), ..Watch::default() };
        let vitals = Process::new(watch).vitals().unwrap();
        assert!(vitals.memory_bytes > 100_000 && vitals.descriptors >= 3 && vitals.threads >= 1);
        let nobody = Watch { pid: Some(u32::MAX), ..Watch::default() };
        assert_eq!(Process::new(nobody).vitals(), None);
    }

    #[test]
    fn only_new_panics_are_told_and_each_once() {
        let path = std::env::temp_dir().join(format!("aldis-fuzz-log-{}", std::process::id()));
        let mut file = fs::File::create(&path).unwrap();
        writeln!(file, "thread 'a' panicked at old.rs:1:1:").unwrap();
        let log = Some(path.clone());
        let mut process = Process::new(Watch { log, ..Watch::default() });
        assert_eq!(process.panic_in_log(), None);
        write!(file, "fine\nthread 'client-0' panicked at src/x.rs:5:9:").unwrap();
        assert_eq!(process.panic_in_log(), None);
        writeln!(file).unwrap();
        assert_eq!(process.panic_in_log().unwrap().about, "src/x.rs:5:9");
        assert_eq!(process.panic_in_log(), None);
        fs::remove_file(path).unwrap();
    }
}
