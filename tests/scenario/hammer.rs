//! A load that records what it does and sees, against one or several nodes: writers that pipeline
//! and send again, readers that sync all the time, members that come and go; and at the end fresh
//! devices that read everything, and the checker's verdict. Knows no server's inside.

mod answers;
mod churn;
mod crowd;
mod dice;
mod feud;
mod link;
mod reader;
mod shared;
mod stored;
mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_check::{History, Verdict, check};
use aldis_services::MariaDb;
use aldis_wire::Code;
use tempfile::TempDir;

pub use answers::{Answers, Moment};
pub use crowd::Crowd;

use shared::Shared;
use writer::Refusals;

/// Name of the run in the histories.
const RUN: &str = "hammer";
/// Threads that read everything at the end: more than that wait for each other on two cores.
const REREADERS: usize = 4;
/// Violations that are printed of a history that is not valid.
const VIOLATIONS_SHOWN: usize = 12;

/// What a hammer does.
#[derive(Clone, Debug)]
pub struct HammerOptions {
    /// Of all nodes; one node may be named twice.
    pub addresses: Vec<SocketAddr>,
    /// `http://host:port` of nodes that say where to connect; links ask there after they were at each
    /// node.
    pub gateways: Vec<String>,
    /// The first users of the crowd: all traffic that is not of groups is among them, and all of
    /// them are in all groups.
    pub hot_users: usize,
    /// How many groups.
    pub groups: usize,
    /// Members of each, as far as the crowd has so many.
    pub group_members: usize,
    /// The first hot users, who write.
    pub writers: usize,
    /// Further hot users who send everything from two devices at once, through two nodes.
    pub twins: usize,
    /// How many read at the same time.
    pub readers: usize,
    /// Members that leave a group each and are invited again, all the time; at most `groups`.
    pub churners: usize,
    /// Pairs of further members of the crowd: one writes, edits, recalls, blocks, puts the other out of a
    /// group of theirs and dissolves it, all the time, and the other writes and reads all the same.
    pub feuds: usize,
    /// Unanswered messages of each writer.
    pub window: usize,
    /// Share of the messages that go to groups.
    pub group_percent: usize,
    /// Messages per second, of all writers and twins in equal shares. Everything is read several
    /// times and written to disk.
    pub sends_per_s_max: u32,
    /// Messages in all.
    pub sends_max: usize,
    /// A login whose sender gave up may take effect late, and end the session that the same device
    /// got elsewhere meanwhile: a node or the database stands still.
    pub has_late_logins: bool,
    /// Of the dice.
    pub seed: u64,
}

impl HammerOptions {
    /// What the design asks for: 8 writers on the same 50 users and 10 groups of 200.
    pub fn new(addresses: Vec<SocketAddr>, seed: u64) -> Self {
        Self {
            addresses,
            gateways: Vec::new(),
            hot_users: 50,
            groups: 10,
            group_members: 200,
            writers: 8,
            twins: 1,
            readers: 4,
            churners: 2,
            feuds: 1,
            window: 24,
            group_percent: 2,
            sends_per_s_max: 1_000,
            sends_max: 100_000,
            has_late_logins: false,
            seed,
        }
    }

    /// Users that the crowd must have for groups to have all their members.
    pub fn users(&self) -> usize {
        let members = if self.groups == 0 { 0 } else { self.group_members };
        members.max(self.hot_users + self.churners + 2 * self.feuds)
    }
}

/// See the file's head. Dropping it ends the load without waiting for anything.
pub struct Hammer {
    shared: Arc<Shared>,
    dir: TempDir,
    writers: Vec<JoinHandle<Refusals>>,
    others: Vec<JoinHandle<()>>,
    refusals: Refusals,
    rounds: usize,
}

impl Hammer {
    /// Founds the groups and begins. Returns when everybody is at work.
    pub fn start(options: HammerOptions, crowd: &Crowd) -> Self {
        assert!(options.writers + options.twins <= options.hot_users, "each writer is a hot user");
        assert!(options.churners <= options.groups, "a group has one who comes and goes");
        assert!(options.hot_users >= 2 && crowd.len() >= options.users(), "the crowd is too small");
        let is_room = options.hot_users + options.churners <= options.group_members;
        assert!(options.churners == 0 || is_room, "those who come and go are not hot");
        let others = options.hot_users + options.churners + 2 * options.feuds;
        assert!(others <= crowd.len(), "those who are at feud are nobody else");
        let dir = TempDir::with_prefix("aldis-hammer-").expect("a temporary directory");
        let mut shared = Shared::new(options, crowd, dir.path().to_owned());
        shared.groups = (0..shared.options.groups).map(|g| churn::found(&shared, g)).collect();
        let shared = Arc::new(shared);
        let options = &shared.options;
        let mut writers = Vec::new();
        let mut others = Vec::new();
        for number in 0..options.writers {
            let shared = shared.clone();
            writers.push(std::thread::spawn(move || writer::write(&shared, number)));
        }
        for number in 0..options.twins {
            let shared = shared.clone();
            writers.push(std::thread::spawn(move || writer::write_twice(&shared, number)));
        }
        for number in 0..options.readers {
            let shared = shared.clone();
            others.push(std::thread::spawn(move || reader::read(&shared, number)));
        }
        for number in 0..options.churners {
            let (leaving, inviting) = (shared.clone(), shared.clone());
            others.push(std::thread::spawn(move || churn::leave(&leaving, number)));
            others.push(std::thread::spawn(move || churn::invite(&inviting, number)));
        }
        for number in 0..options.feuds {
            let (ruling, suffering) = (shared.clone(), shared.clone());
            others.push(std::thread::spawn(move || feud::rule(&ruling, number)));
            others.push(std::thread::spawn(move || feud::suffer(&suffering, number)));
        }
        Self { shared, dir, writers, others, refusals: Refusals::new(), rounds: 0 }
    }

    /// Acknowledgements so far.
    pub fn acks(&self) -> usize {
        self.shared.acks()
    }

    /// Messages that were sent from two devices at once so far.
    pub fn twins(&self) -> usize {
        self.shared.twins()
    }

    /// Waits for so many acknowledgements more. Panics when somebody gave up, or it takes too long.
    pub fn wait_for_acks(&self, count: usize) {
        let goal = self.acks() + count;
        self.wait_until("acknowledgements", || self.acks() >= goal);
    }

    /// Waits until so many messages were sent from two devices at once: those log in twice, and others may
    /// have begun long before. Panics like `wait_for_acks`.
    pub fn wait_for_twins(&self, count: usize) {
        self.wait_until("twins", || self.twins() >= count);
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + link::PATIENCE;
        while !is_so() {
            self.watch();
            assert!(Instant::now() < deadline, "too few {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until all of `sends_max` were sent and answered, but for this time at most.
    pub fn wait_for_all(&self, wait_max: Duration) {
        let deadline = Instant::now() + wait_max;
        while self.shared.sent() < self.shared.options.sends_max && Instant::now() < deadline {
            self.watch();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it go on for a while.
    pub fn run_for(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.watch();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn watch(&self) {
        let is_gone = self.writers.iter().any(JoinHandle::is_finished)
            || self.others.iter().any(JoinHandle::is_finished);
        assert!(!is_gone, "somebody gave up: see its panic above");
    }

    /// Ends the load and waits until everything under way was answered: all nodes must be well.
    pub fn stop(&mut self) {
        self.shared.end();
        for thread in self.writers.drain(..) {
            for (code, count) in thread.join().expect("a writer") {
                *self.refusals.entry(code).or_default() += count;
            }
        }
        self.others.drain(..).for_each(|thread| thread.join().expect("a reader or a member"));
    }

    /// Messages of the writers that were refused for good; those of members that come and go are
    /// not among them.
    pub fn refusals(&self) -> impl Iterator<Item = (Code, usize)> {
        self.refusals.iter().map(|(code, count)| (*code, *count))
    }

    /// Everybody reads everything again, on fresh devices, through these nodes.
    pub fn final_syncs(&mut self, addresses: &[SocketAddr]) {
        self.rounds += 1;
        let round = self.rounds;
        let shared = Arc::get_mut(&mut self.shared).expect("the load was stopped");
        shared.options.addresses = addresses.to_vec();
        shared.options.gateways.clear();
        let next = AtomicUsize::new(0);
        let reread = |number: usize| {
            let file = self.shared.history(&format!("final-{round}-{number}"));
            loop {
                let user = next.fetch_add(1, Ordering::Relaxed);
                if user >= self.shared.crowd.len() {
                    return;
                }
                reader::reread(&self.shared, &file, user, round);
            }
        };
        std::thread::scope(|scope| {
            (0..REREADERS).for_each(|number| drop(scope.spawn(move || reread(number))));
        });
    }

    /// Adds what the database holds to the history, so that msg_no is judged too.
    pub fn record_stored(&self, mariadb: &MariaDb, database_url: &str) {
        let path = self.dir.path().join("stored.jsonl");
        stored::write(&path, self.shared.options.seed, mariadb, database_url);
        self.shared.add_path(path);
    }

    /// The files of the history so far.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.shared.paths()
    }

    /// What was answered how fast to what was asked in this time.
    pub fn answers(&self, from: Moment, until: Moment) -> Answers {
        Answers::of(&self.paths(), from, until)
    }

    /// What the checker makes of it.
    pub fn check(&self) -> Verdict {
        check(&self.history())
    }

    fn history(&self) -> History {
        History::read_files(&self.paths()).expect("a readable history")
    }

    /// Panics if the history is not valid, and keeps the files.
    pub fn expect_valid(&mut self) {
        let history = self.history();
        println!("{:?}, not judged: {:?}", history.summary(), history.not_judged());
        let verdict = check(&history);
        if verdict == Verdict::Valid {
            return;
        }
        self.dir.disable_cleanup(true);
        println!("the history is kept in {}", self.dir.path().display());
        if let Verdict::Invalid { violations, counts } = &verdict {
            for violation in violations.iter().take(VIOLATIONS_SHOWN) {
                let lines: Vec<_> =
                    violation.lines.iter().map(|line| history.locate(*line)).collect();
                println!("{}: {} ({})", violation.invariant, violation.what, lines.join(", "));
            }
            panic!("the history is not valid: {counts:?}");
        }
        panic!("the history cannot be judged: {verdict:?}");
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}
