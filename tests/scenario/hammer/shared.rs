//! What the parts of a hammer share: options, users, groups, counters, files. Knows no traffic.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use aldis_client::recorder::HistoryFile;
use aldis_wire::GroupId;

use super::{Crowd, HammerOptions};

/// A group and its founder, an index of the crowd.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub id: GroupId,
    pub founder: usize,
}

/// See the file's head.
pub(super) struct Shared {
    pub options: HammerOptions,
    pub crowd: Crowd,
    pub groups: Vec<Group>,
    dir: PathBuf,
    paths: Mutex<Vec<PathBuf>>,
    began_at: Instant,
    /// By part: writers, then twins.
    sent: Vec<AtomicUsize>,
    acks: AtomicUsize,
    twins: AtomicUsize,
    /// By feud: the group of the two; 0: there is none.
    feud_groups: Vec<AtomicU64>,
    is_over: AtomicBool,
    is_abandoned: AtomicBool,
}

impl Shared {
    pub fn new(options: HammerOptions, crowd: &Crowd, dir: PathBuf) -> Self {
        let parts = options.writers + options.twins;
        let feud_groups = (0..options.feuds).map(|_| AtomicU64::new(0)).collect();
        Self {
            options,
            crowd: crowd.clone(),
            groups: Vec::new(),
            dir,
            paths: Mutex::new(Vec::new()),
            began_at: Instant::now(),
            sent: (0..parts).map(|_| AtomicUsize::new(0)).collect(),
            acks: AtomicUsize::new(0),
            twins: AtomicUsize::new(0),
            feud_groups,
            is_over: AtomicBool::new(false),
            is_abandoned: AtomicBool::new(false),
        }
    }

    /// A file of its own for one of the processes.
    pub fn history(&self, process: &str) -> HistoryFile {
        let path = self.dir.join(format!("{process}.jsonl"));
        let file = HistoryFile::create(&path, super::RUN, self.options.seed);
        self.add_path(path);
        file.expect("a writable directory")
    }

    /// Another file of the history.
    pub fn add_path(&self, path: PathBuf) {
        self.paths.lock().expect("nobody panics with it").push(path);
    }

    /// All files so far.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.paths.lock().expect("nobody panics with it").clone()
    }

    /// Whether another message of this part fits into its share of what the options allow; it is
    /// taken as sent.
    pub fn may_send(&self, part: usize) -> bool {
        let seconds = self.began_at.elapsed().as_secs_f64();
        let by_now = (seconds * f64::from(self.options.sends_per_s_max)) as usize;
        let parts = self.sent.len();
        // Each part's share, so that the first ones take what does not divide evenly.
        let allowed = (by_now.min(self.options.sends_max) + parts - 1 - part) / parts;
        let take = |sent| (sent < allowed).then_some(sent + 1);
        let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
        !self.is_over() && self.sent[part].fetch_update(set, read, take).is_ok()
    }

    pub fn note_ack(&self) {
        self.acks.fetch_add(1, Ordering::Relaxed);
    }

    pub fn acks(&self) -> usize {
        self.acks.load(Ordering::Relaxed)
    }

    pub fn note_twin(&self) {
        self.twins.fetch_add(1, Ordering::Relaxed);
    }

    pub fn twins(&self) -> usize {
        self.twins.load(Ordering::Relaxed)
    }

    pub fn sent(&self) -> usize {
        self.sent.iter().map(|sent| sent.load(Ordering::Relaxed)).sum()
    }

    /// The two of this feud have another group.
    pub fn set_feud_group(&self, number: usize, group: GroupId) {
        self.feud_groups[number].store(group.0, Ordering::Relaxed);
    }

    /// The group of the two.
    pub fn feud_group(&self, number: usize) -> Option<GroupId> {
        let group = self.feud_groups[number].load(Ordering::Relaxed);
        (group != 0).then_some(GroupId(group))
    }

    /// No new traffic; what is under way is waited for.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The test is gone: nothing is waited for.
    pub fn abandon(&self) {
        self.end();
        self.is_abandoned.store(true, Ordering::Relaxed);
    }

    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Relaxed)
    }
}
