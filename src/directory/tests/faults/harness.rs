//! Nodes with a Redis of the test's own, and what their directories log.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use aldis_directory::{Conflict, Directory, NodeAnnouncement, RedisDirectory, RedisOptions};
use aldis_logic::AttemptRules;
use aldis_logic::job::{BootId, DirectoryJob, NodeId, Registration, SessionRecord};
use aldis_wire::{DeviceClass, Epoch, UserId};

/// What takes longer never comes.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub const LIVE: Registration = Registration::Live { replaced: None };

/// A node's directory under a real clock.
pub struct Node {
    pub directory: RedisDirectory,
    pub node: NodeId,
    pub boot: BootId,
    pub conflicts: Vec<Conflict>,
    start: Instant,
}

impl Node {
    /// Not connected yet.
    pub fn new(number: u16, urls: Vec<String>) -> Self {
        Self::with_store_epoch(number, urls, 1)
    }

    pub fn with_store_epoch(number: u16, urls: Vec<String>, store_epoch: u64) -> Self {
        let (node, boot) = (NodeId(number), BootId(u64::from(number) << 32));
        let announcement = NodeAnnouncement::default();
        let attempts = AttemptRules::default();
        let options = RedisOptions { urls, node, boot, store_epoch, announcement, attempts };
        let directory = RedisDirectory::new(options).unwrap();
        Self { directory, node, boot, conflicts: Vec::new(), start: Instant::now() }
    }

    /// Connected and announced.
    pub fn start(number: u16, urls: Vec<String>) -> Self {
        let mut node = Self::new(number, urls);
        node.wait("its own lease", |node| {
            let (now_ms, number) = (node.now_ms(), node.node);
            node.directory.nodes_of(now_ms, &[number]).is_ok_and(|nodes| nodes.len() == 1)
        });
        node
    }

    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// What the directory's thread does when it has no jobs.
    pub fn maintain(&mut self) {
        let now_ms = self.now_ms();
        self.directory.maintain(now_ms);
        while let Some(conflict) = self.directory.poll_conflict() {
            self.conflicts.push(conflict);
        }
    }

    /// Does what is due until something has come to pass.
    pub fn wait(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            self.maintain();
            if is_so(self) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: it never comes");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn record(&self, user: u64, epoch: u64) -> SessionRecord {
        let (class, epoch) = (DeviceClass::Phone, Epoch(epoch));
        SessionRecord { user: UserId(user), class, epoch, node: self.node, boot: self.boot }
    }

    pub fn register(&mut self, user: u64, epoch: u64) -> Registration {
        let record = self.record(user, epoch);
        let now_ms = self.now_ms();
        let results = self.directory.apply(now_ms, &[DirectoryJob::Register(record)]);
        let [Some(registration)] = results.as_slice() else { panic!("{results:?}") };
        *registration
    }

    /// Registers users with epoch 1 at once.
    pub fn register_all(&mut self, users: std::ops::Range<u64>) -> Vec<Registration> {
        let jobs: Vec<_> = users.map(|user| DirectoryJob::Register(self.record(user, 1))).collect();
        let now_ms = self.now_ms();
        self.directory.apply(now_ms, &jobs).into_iter().map(Option::unwrap).collect()
    }

    pub fn unregister(&mut self, user: u64, epoch: u64) {
        let record = self.record(user, epoch);
        let now_ms = self.now_ms();
        let results = self.directory.apply(now_ms, &[DirectoryJob::Unregister(record)]);
        assert_eq!(results, [None]);
    }

    /// Users with a session, and how many are unknown.
    pub fn online(&mut self, users: std::ops::Range<u64>) -> (Vec<u64>, usize) {
        let users: Vec<_> = users.map(UserId).collect();
        let now_ms = self.now_ms();
        let sessions = self.directory.sessions_of(now_ms, &users);
        let online = sessions.found.iter().map(|record| record.user.0).collect();
        (online, sessions.unknown.len())
    }

    /// Waits until exactly these users are online, as this node sees it.
    pub fn wait_online(&mut self, asked: std::ops::Range<u64>, expected: &[u64]) {
        self.wait("these users online", |node| {
            node.online(asked.clone()) == (expected.to_vec(), 0)
        });
    }
}

/// Lines that the directories of this process have logged and that contain a text.
pub fn logged(text: &str) -> Vec<String> {
    let lines = log_lines().lock().unwrap();
    lines.iter().filter(|line| line.contains(text)).cloned().collect()
}

/// Begins to keep what is logged.
pub fn keep_log() {
    log_lines();
}

fn log_lines() -> &'static Mutex<Vec<String>> {
    static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    static KEEPER: Keeper = Keeper;
    LINES.get_or_init(|| {
        log::set_logger(&KEEPER).unwrap();
        log::set_max_level(log::LevelFilter::Info);
        Mutex::default()
    })
}

struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, line: &log::Record<'_>) {
        if line.level() <= log::Level::Info {
            log_lines().lock().unwrap().push(format!("{} {}", line.level(), line.args()));
        }
    }

    fn flush(&self) {}
}
