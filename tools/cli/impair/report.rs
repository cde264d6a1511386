//! What a relay says on standard output: lines for people, or JSON lines. Decides nothing.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::settings::Way;
use super::ways::Ways;

/// See the file's first line.
pub struct Report {
    /// JSON lines instead of lines for people.
    pub is_json: bool,
}

impl Report {
    /// The relay listens; `sockets` names its addresses.
    pub fn start(&self, kind: &str, seed: u64, sockets: &[(&str, String)]) -> io::Result<()> {
        let named = sockets.iter().map(|(name, address)| format!("{name} {address}"));
        let named: Vec<_> = named.collect();
        let sentence = format!("relays {kind}: {} (--seed {seed})", named.join(", "));
        let mut line = json!({ "event": "start", "kind": kind, "seed": seed });
        for (name, address) in sockets {
            line[*name] = json!(address);
        }
        self.say(0, &sentence, line)
    }

    /// Settings have changed.
    pub fn set(&self, now_ns: u64, words: &str) -> io::Result<()> {
        self.say(now_ns, words, json!({ "event": "set", "settings": words }))
    }

    /// A line of standard input was not understood, and changed nothing.
    pub fn refuse(&self, now_ns: u64, reason: &str) -> io::Result<()> {
        let line = json!({ "event": "refused", "reason": reason });
        self.say(now_ns, &format!("refused: {reason}"), line)
    }

    /// How it stands.
    pub fn counts(&self, now_ns: u64, ways: &mut Ways) -> io::Result<()> {
        self.say_counts(now_ns, "so far", json!({ "event": "counts" }), ways)
    }

    /// The relay ends.
    pub fn end(&self, now_ns: u64, reason: &str, ways: &mut Ways) -> io::Result<()> {
        let line = json!({ "event": "end", "reason": reason });
        self.say_counts(now_ns, &format!("end ({reason})"), line, ways)
    }

    fn say_counts(
        &self,
        now_ns: u64,
        what: &str,
        mut line: Value,
        ways: &mut Ways,
    ) -> io::Result<()> {
        let (up, down) = (ways.tally(Way::Up).sentence(), ways.tally(Way::Down).sentence());
        line["up"] = ways.tally(Way::Up).json();
        line["down"] = ways.tally(Way::Down).json();
        self.say(now_ns, &format!("{what}; up: {up}; down: {down}"), line)
    }

    fn say(&self, now_ns: u64, sentence: &str, mut line: Value) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let at_ms = now_ns / 1_000_000;
        if self.is_json {
            line["at_ms"] = json!(at_ms);
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{:>8.3} s  {sentence}", at_ms as f64 / 1_000.0)?;
        }
        // Whoever waits for a line gets it although the output is no terminal.
        out.flush()
    }
}
