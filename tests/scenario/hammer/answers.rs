//! What was answered how fast, counted in the recorded histories. Knows lines, no invariants.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use aldis_check::record::{Line, Phase};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// A moment on the clock of the histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        Self(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    pub(super) fn ns(self) -> u64 {
        self.0
    }
}

/// Answers to what was asked within some time.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// How many, by operation and code; `LOST` is a connection that ended before the answer.
    pub counts: BTreeMap<(String, String), usize>,
    /// The longest wait for an answer, by operation.
    pub longest: BTreeMap<String, Duration>,
    /// All waits for an answer, in the order of the files.
    pub waits: Vec<Duration>,
    /// The longest wait that ended with the connection, by operation.
    pub longest_lost: BTreeMap<String, Duration>,
}

impl Answers {
    /// Of these files, as far as the question was asked from the first moment on and before the
    /// second.
    pub fn of(paths: &[PathBuf], from: Moment, until: Moment) -> Self {
        let mut answers = Self::default();
        for path in paths {
            let file = File::open(path).expect("a history");
            answers.add(BufReader::new(file), from, until);
        }
        answers
    }

    fn add(&mut self, lines: impl BufRead, from: Moment, until: Moment) {
        let mut asked: HashMap<(String, u64), u64> = HashMap::new();
        for line in lines.lines() {
            let line = line.expect("a readable history");
            // The last line of a file that is still written may be torn.
            let Ok(line) = serde_json::from_str::<Line<'_>>(&line) else { continue };
            let key = (line.process.to_string(), line.id);
            if line.phase == Phase::Invoke {
                asked.insert(key, line.t_ns);
                continue;
            }
            let Some(asked_ns) = asked.remove(&key) else { continue };
            if asked_ns < from.0 || asked_ns >= until.0 {
                continue;
            }
            let wait = Duration::from_nanos(line.t_ns.saturating_sub(asked_ns));
            self.note(&line, wait);
        }
    }

    fn note(&mut self, line: &Line<'_>, wait: Duration) {
        let code = match (line.phase, line.result) {
            (Phase::Ok, _) => "OK".to_owned(),
            (_, Some(result)) => {
                let result: Value = serde_json::from_str(result.get()).unwrap_or(Value::Null);
                result["code"].as_str().unwrap_or("LOST").to_owned()
            }
            (_, None) => "LOST".to_owned(),
        };
        let op = line.op.to_string();
        let longest = if code == "LOST" {
            &mut self.longest_lost
        } else {
            self.waits.push(wait);
            &mut self.longest
        };
        let longest = longest.entry(op.clone()).or_default();
        *longest = (*longest).max(wait);
        *self.counts.entry((op, code)).or_default() += 1;
    }

    /// How often an operation was answered with this code.
    pub fn count(&self, op: &str, code: &str) -> usize {
        self.counts.get(&(op.to_owned(), code.to_owned())).copied().unwrap_or(0)
    }

    /// The wait that 99 of 100 answers did not take: a machine that others use stops now and then.
    pub fn p99(&self) -> Duration {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits.get(waits.len() * 99 / 100).copied().unwrap_or_default()
    }

    /// The longest wait for any answer.
    pub fn longest(&self) -> Duration {
        self.longest.values().max().copied().unwrap_or_default()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((op, code), count) in &self.counts {
            write!(f, "{op} {code} {count}, ")?;
        }
        let ms = |wait: &Duration| wait.as_millis();
        let longest: Vec<_> =
            self.longest.iter().map(|(op, at)| format!("{op} {} ms", ms(at))).collect();
        write!(f, "longest wait: {}", longest.join(", "))
    }
}
