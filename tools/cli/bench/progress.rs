//! What a person sees while the generator runs: a bar on a terminal, nothing elsewhere.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Counters that workers add to, about once per turn.
#[derive(Default)]
pub struct Progress {
    sessions: AtomicUsize,
    messages: AtomicU64,
}

impl Progress {
    /// So many more sessions are logged in.
    pub fn add_sessions(&self, count: usize) {
        self.sessions.fetch_add(count, Ordering::Relaxed);
    }

    /// So many more messages (or answers) arrived.
    pub fn add_messages(&self, count: u64) {
        self.messages.fetch_add(count, Ordering::Relaxed);
    }

    /// Sessions logged in so far.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

/// The bar; `indicatif` draws it on standard error and only if that is a terminal.
pub struct Bar {
    bar: ProgressBar,
    last: u64,
}

impl Bar {
    /// Counts sessions up to `sessions`.
    pub fn logging_in(sessions: usize) -> Self {
        let bar = ProgressBar::new(sessions as u64);
        bar.set_style(style("{bar:30} {pos}/{len} sessions logged in"));
        Self { bar, last: 0 }
    }

    /// From now on it counts time.
    pub fn running(&mut self, length: Duration) {
        self.bar.set_style(style("{bar:30} {msg}"));
        self.bar.set_length(length.as_millis() as u64);
        self.bar.set_position(0);
    }

    /// Shows how many are logged in.
    pub fn show_sessions(&self, progress: &Progress) {
        self.bar.set_position(progress.sessions() as u64);
    }

    /// Shows time and rate; `step` is the time since the last call.
    pub fn show_rate(&mut self, progress: &Progress, elapsed: Duration, step: Duration) {
        let messages = progress.messages();
        let per_s = (messages - self.last) as f64 / step.as_secs_f64().max(1e-3);
        self.last = messages;
        self.bar.set_position(elapsed.as_millis() as u64);
        self.bar.set_message(format!("{:.0} s, {per_s:.0}/s", elapsed.as_secs_f64()));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant that parses")
}
