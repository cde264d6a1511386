//! What a directory in Redis can do: registrations and look-ups per second, one by one and in
//! batches, and the processor time that each costs on either side. No server, no queue.

use std::time::{Duration, Instant};

use aldis_directory::{Directory, NodeAnnouncement, RedisDirectory, RedisOptions};
use aldis_logic::AttemptRules;
use aldis_logic::job::{BootId, DirectoryJob, NodeId, Registration, SessionRecord};
use aldis_services::{Redis, RedisCluster};
use aldis_wire::{DeviceClass, Epoch, UserId};

const USAGE: &str = "directory [--seconds N] [--users N] [--cluster]";

/// Ticks of /proc/PID/stat per second, on every Linux that matters.
const TICKS_PER_SECOND: f64 = 100.0;

struct Bench {
    directory: RedisDirectory,
    pids: Vec<u32>,
    users: u64,
    time: Duration,
    start: Instant,
    epoch: u64,
    next_user: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut seconds, mut users, mut is_cluster) = (3, 100_000, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--cluster" {
            is_cluster = true;
            continue;
        }
        let value = args.next().ok_or(USAGE)?.parse()?;
        match arg.as_str() {
            "--seconds" => seconds = value,
            "--users" => users = value,
            _ => return Err(USAGE.into()),
        }
    }
    if is_cluster {
        let cluster = RedisCluster::start();
        let pids = cluster.nodes.iter().map(Redis::pid).collect();
        run(cluster.urls(), pids, users, Duration::from_secs(seconds))
    } else {
        let redis = Redis::start();
        run(vec![redis.url()], vec![redis.pid()], users, Duration::from_secs(seconds))
    }
}

fn run(
    urls: Vec<String>,
    pids: Vec<u32>,
    users: u64,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let directory = RedisDirectory::new(RedisOptions {
        urls,
        node: NodeId(1),
        boot: BootId(1),
        store_epoch: 1,
        announcement: NodeAnnouncement::default(),
        attempts: AttemptRules::default(),
    })?;
    let (start, epoch, next_user) = (Instant::now(), 1, 0);
    let mut bench = Bench { directory, pids, users, time, start, epoch, next_user };
    while bench.directory.nodes_of(bench.now_ms(), &[NodeId(1)]).is_err() {
        bench.directory.maintain(bench.now_ms());
    }
    println!("{:<34}{:>12}{:>14}{:>16}", "", "per second", "us here each", "us Redis each");
    for batch in [256, 64, 16, 1] {
        bench.measure(&format!("registrations, {batch} at once"), batch, Bench::register);
    }
    for batch in [256, 64, 16, 1] {
        bench.measure(&format!("look-ups, {batch} at once"), batch, Bench::look);
    }
    bench.measure("logins and logouts, 64 at once", 64, Bench::log_in_and_out);
    bench.reassert();
    Ok(())
}

impl Bench {
    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn measure(&mut self, name: &str, batch: u64, mut act: impl FnMut(&mut Self, u64)) {
        let (here, there, start) = (self.cpu_here(), self.cpu_there(), Instant::now());
        let mut count = 0;
        while start.elapsed() < self.time {
            act(self, batch);
            count += batch;
        }
        self.report(name, count, start.elapsed(), here, there);
    }

    fn report(&self, name: &str, count: u64, took: Duration, here: f64, there: f64) {
        let each = |before: f64, after: f64| (after - before) * 1e6 / count as f64;
        println!(
            "{name:<34}{:>12.0}{:>14.2}{:>16.2}",
            count as f64 / took.as_secs_f64(),
            each(here, self.cpu_here()),
            each(there, self.cpu_there()),
        );
    }

    fn users(&mut self, batch: u64) -> Vec<UserId> {
        let first = self.next_user;
        if first + batch > self.users {
            self.epoch += 1;
            self.next_user = 0;
            return self.users(batch);
        }
        self.next_user += batch;
        (first..first + batch).map(|user| UserId(10_001 + user)).collect()
    }

    fn record(&self, user: UserId) -> SessionRecord {
        let (class, epoch) = (DeviceClass::Phone, Epoch(self.epoch));
        SessionRecord { user, class, epoch, node: NodeId(1), boot: BootId(1) }
    }

    fn register(&mut self, batch: u64) {
        let users = self.users(batch);
        let jobs: Vec<_> =
            users.into_iter().map(|user| DirectoryJob::Register(self.record(user))).collect();
        let results = self.directory.apply(self.now_ms(), &jobs);
        let is_live = |result: &Option<_>| matches!(result, Some(Registration::Live { .. }));
        assert!(results.iter().all(is_live), "{results:?}");
        self.directory.maintain(self.now_ms());
    }

    fn look(&mut self, batch: u64) {
        let users = self.users(batch);
        let sessions = self.directory.sessions_of(self.now_ms(), &users);
        assert_eq!(sessions.unknown, []);
        self.directory.maintain(self.now_ms());
    }

    fn log_in_and_out(&mut self, batch: u64) {
        let users = self.users(batch / 2);
        let records: Vec<_> = users.into_iter().map(|user| self.record(user)).collect();
        let begin = records.iter().copied().map(DirectoryJob::Register);
        let end = records.iter().copied().map(DirectoryJob::Unregister);
        let jobs: Vec<_> = begin.chain(end).collect();
        self.directory.apply(self.now_ms(), &jobs);
        self.directory.maintain(self.now_ms());
    }

    /// As after a flush: all sessions are due, and paced.
    fn reassert(&mut self) {
        self.next_user = 0;
        self.epoch += 1;
        for _ in 0..self.users / 250 {
            self.register(250);
        }
        let later_ms = self.now_ms() + 600_000;
        let (here, there, start) = (self.cpu_here(), self.cpu_there(), Instant::now());
        let now_ms = || later_ms + start.elapsed().as_millis() as u64;
        let mut busy = Duration::ZERO;
        loop {
            let (before, due_ms) = (Instant::now(), self.directory.poll_timeout());
            self.directory.maintain(now_ms());
            busy += before.elapsed();
            if due_ms > now_ms() + 100 {
                break;
            }
            std::thread::sleep(Duration::from_millis(due_ms.saturating_sub(now_ms()).max(1)));
        }
        self.report("sessions announced again, paced", self.users, start.elapsed(), here, there);
        println!(
            "of that time busy: {:.0} %",
            100.0 * busy.as_secs_f64() / start.elapsed().as_secs_f64()
        );
    }

    fn cpu_here(&self) -> f64 {
        cpu_seconds(std::process::id())
    }

    fn cpu_there(&self) -> f64 {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }
}

/// Processor time that a process has used so far.
fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may contain anything, the fields count from the third.
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}
