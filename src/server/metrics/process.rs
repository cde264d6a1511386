//! What the kernel says of this process, under the names that Prometheus' own libraries use. A
//! value that cannot be read is left out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One number.
pub struct Reading {
    /// Of the metric.
    pub name: &'static str,
    /// Of the metric.
    pub help: &'static str,
    /// Whether it only grows.
    pub is_counter: bool,
    /// Now.
    pub value: f64,
}

/// All that can be read.
pub fn readings() -> Vec<Reading> {
    let mut readings = Vec::new();
    let mut add = |name, help, is_counter, value: Option<f64>| {
        readings.extend(value.map(|value| Reading { name, help, is_counter, value }));
    };
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    // The name in parentheses may hold spaces; the fields behind it begin with the third.
    let fields: Option<Vec<&str>> = stat
        .as_deref()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.split(' ').skip(1).collect()));
    let field = |number: usize| {
        let fields = fields.as_ref()?;
        fields.get(number - 3)?.parse::<f64>().ok()
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks);
    add("process_cpu_seconds_total", "CPU time used, user and system.", true, cpu);
    let resident = field(24).map(|pages| pages * rustix::param::page_size() as f64);
    add("process_resident_memory_bytes", "Memory in use, shared pages included.", false, resident);
    add("process_virtual_memory_bytes", "Memory mapped.", false, field(23));
    add("process_threads", "Threads.", false, field(20));
    add("process_start_time_seconds", "Start of the process, Unix time.", false, {
        field(22).zip(booted_at()).map(|(since, boot)| boot.as_secs_f64() + since / ticks)
    });
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    add("process_open_fds", "Open file descriptors.", false, open);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    add("process_max_fds", "File descriptors that may be open.", false, {
        limit.map(|limit| limit as f64)
    });
    readings
}

/// When the machine was started, since 1970.
fn booted_at() -> Option<Duration> {
    // Not from /proc/uptime, which a hardened service does not see.
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::new(uptime.tv_sec.try_into().ok()?, uptime.tv_nsec.try_into().ok()?);
    SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(uptime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        let readings = readings();
        let value = |name: &str| readings.iter().find(|one| one.name == name).unwrap().value;
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0 && value("process_threads") >= 1.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..3_600.0).contains(&age), "{age}");
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
