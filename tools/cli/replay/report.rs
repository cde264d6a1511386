//! What a replay found, for people and for scripts. Judges nothing.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::compare::Way;
use super::stage::Replay;

/// Counts of one replay.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether everything everybody read is what was said.
    pub equal: bool,
    /// Tag of the accounts.
    pub run: String,
    /// People.
    pub people: usize,
    /// Labels of conversations.
    pub conversations: usize,
    /// 1:1 chats on the server.
    pub direct_chats: usize,
    /// Groups on the server.
    pub groups: usize,
    /// Lines of the file.
    pub lines: usize,
    /// Bytes of their texts.
    pub text_bytes: usize,
    /// Lines acknowledged.
    pub acknowledged: usize,
    /// Lines that should be read on each way, over all readers.
    pub expected_reads: usize,
    /// Lines read and compared as they were pushed or acknowledged.
    pub push: usize,
    /// Of these, entries that came by a sync because a push was left out.
    pub repaired_by_sync: usize,
    /// Lines read and compared by sync from zero on a new device.
    pub sync: usize,
    /// Lines read and compared by history.
    pub history: usize,
    /// Everything that was not as it should be.
    pub differences: usize,
    /// The first of them.
    pub examples: Vec<String>,
    /// Seconds in which lines were sent.
    pub play_seconds: f64,
    /// Lines acknowledged per second of these.
    pub lines_per_second: f64,
    /// Seconds of the whole.
    pub seconds: f64,
}

impl Report {
    /// Of a finished replay.
    pub fn new(replay: &Replay<'_>, tag: String, play_time: Duration, time: Duration) -> Self {
        let script = replay.script;
        let comparison = &replay.comparison;
        let compared = |way: Way| comparison.compared.get(&way).copied().unwrap_or(0);
        let acknowledged = comparison.acked_count();
        let play_seconds = play_time.as_secs_f64();
        Self {
            equal: comparison.findings.count == 0,
            run: tag,
            people: script.people.len(),
            conversations: script.lanes.len(),
            direct_chats: script.rooms.iter().filter(|room| !room.is_group()).count(),
            groups: script.rooms.iter().filter(|room| room.is_group()).count(),
            lines: script.lines.len(),
            text_bytes: script.lines.iter().map(|line| line.text.len()).sum(),
            acknowledged,
            expected_reads: script.rooms.iter().map(|r| r.line_count * r.people.len()).sum(),
            push: compared(Way::Push),
            repaired_by_sync: replay.repaired_count,
            sync: compared(Way::Sync),
            history: compared(Way::History),
            differences: comparison.findings.count,
            examples: comparison.findings.examples.clone(),
            play_seconds,
            lines_per_second: acknowledged as f64 / play_seconds.max(0.001),
            seconds: time.as_secs_f64(),
        }
    }

    /// Whether all is as it should be.
    pub fn is_equal(&self) -> bool {
        self.equal
    }

    /// A short table.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let rows = [
            ("people", self.people.to_string()),
            (
                "conversations",
                format!(
                    "{} labels: {} 1:1 chats, {} groups",
                    self.conversations, self.direct_chats, self.groups
                ),
            ),
            ("lines", format!("{} ({} bytes of text)", self.lines, self.text_bytes)),
            (
                "acknowledged",
                format!(
                    "{} in {:.1} s, {:.0} per second",
                    self.acknowledged, self.play_seconds, self.lines_per_second
                ),
            ),
            (
                "by push",
                format!(
                    "{} of {} ({} entries by a sync in between)",
                    self.push, self.expected_reads, self.repaired_by_sync
                ),
            ),
            ("by sync", format!("{} of {}", self.sync, self.expected_reads)),
            ("by history", format!("{} of {}", self.history, self.expected_reads)),
            ("differences", self.differences.to_string()),
            ("run", format!("{} in {:.1} s", self.run, self.seconds)),
        ];
        for (name, value) in rows {
            let _ = writeln!(out, "{name:>14}  {value}"); // a String takes everything
        }
        for example in &self.examples {
            let _ = writeln!(out, "  {example}");
        }
        let verdict = if self.equal { "all equal" } else { "NOT EQUAL" };
        let _ = writeln!(out, "{verdict}");
        out
    }
}
