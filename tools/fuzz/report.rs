//! What a run leaves behind: a page for people, JSON lines and JUnit XML for programs, and a file for
//! each finding that plays it again. Decides nothing.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::corpus::Corpus;
use crate::coverage::{Answer, Coverage, describe};
use crate::finding::{Finding, Kind};
use crate::means::Means;
use crate::pair;
use crate::process::Vitals;

/// Cells that are named one by one; more of them are only counted.
const CELLS_SHOWN_MAX: usize = 60;
/// Oracles, for JUnit: each is a test case.
const KINDS: [Kind; 16] = [
    Kind::Died,
    Kind::Panicked,
    Kind::Unresponsive,
    Kind::NoAnswer,
    Kind::WrongCode,
    Kind::Internal,
    Kind::BadReply,
    Kind::Disclosed,
    Kind::Unauthenticated,
    Kind::AfterEnd,
    Kind::ClosedWithoutReason,
    Kind::PairDisturbed,
    Kind::Memory,
    Kind::Descriptors,
    Kind::Threads,
    Kind::Amplified,
];

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found.
    Clean,
    /// See the findings.
    Found,
    /// The server could not be reached to begin with.
    Unreachable(String),
    /// Why nothing can be said.
    Inconclusive(String),
}

/// See the file's first line.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// Repeats the run.
    pub seed: u64,
    /// What was abused.
    pub target: String,
    /// Cases that were played.
    pub cases: u64,
    /// Datagrams that were sent, and bytes of their answers.
    pub datagrams: (u64, u64),
    /// How long cases were played, s.
    pub seconds: f64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What people should know.
    pub notes: Vec<String>,
    /// The pair that behaved well.
    pub pair: pair::Report,
    /// What the process held at rest, at the beginning and at the end.
    pub vitals: Option<(Vitals, Vitals)>,
    pub(crate) coverage: Coverage,
    pub(crate) corpus: Corpus,
    pub(crate) means: Means,
}

impl Report {
    /// One page.
    pub fn summary(&self) -> String {
        let verdict = match &self.verdict {
            Verdict::Clean => "clean".to_owned(),
            Verdict::Found => format!("{} findings", self.findings.len()),
            Verdict::Unreachable(why) => format!("unreachable: {why}"),
            Verdict::Inconclusive(why) => format!("inconclusive: {why}"),
        };
        let rate = self.cases as f64 / self.seconds.max(0.001);
        let mut text = format!(
            "{}: {verdict}\nseed {}, {} cases in {:.0} s ({rate:.0}/s), {} kept\n",
            self.target,
            self.seed,
            self.cases,
            self.seconds,
            self.corpus.len(),
        );
        if self.datagrams.0 > 0 {
            text +=
                &format!("{} datagrams, {} bytes answered\n", self.datagrams.0, self.datagrams.1);
        }
        if self.pair.rounds > 0 {
            let (rounds, slowest) = (self.pair.rounds, self.pair.slowest);
            text +=
                &format!("the pair: {rounds} messages arrived, the slowest after {slowest:.0?}\n");
        }
        if let Some((before, after)) = &self.vitals {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            text += &format!(
                "at rest: {:.1} MiB, {} descriptors, {} threads; at the beginning {:.1}, {}, {}\n",
                mib(after.memory_bytes),
                after.descriptors,
                after.threads,
                mib(before.memory_bytes),
                before.descriptors,
                before.threads,
            );
        }
        for finding in &self.findings {
            let how = if finding.is_confirmed { "plays again" } else { "seen" };
            text += &format!(
                "\nFOUND {} {}: {}\n  case {}, after {:.1} s, {} times; {how}\n",
                finding.kind.name(),
                finding.about,
                finding.what,
                finding.number,
                finding.at_s,
                finding.count,
            );
        }
        for note in &self.notes {
            text += &format!("note: {note}\n");
        }
        if !self.coverage.is_empty() {
            text += &self.cells();
        }
        text
    }

    fn cells(&self) -> String {
        let (reached, all) = self.coverage.reached();
        let mut text =
            format!("{reached} of {all} documented (state, command, answer) were seen; not:\n");
        let (mut shown, mut by_code) = (0, std::collections::BTreeMap::new());
        for cell in self.coverage.missing() {
            let why = match cell.answer {
                Answer::Code(code) => self.means.why_out_of_reach(cell.command, code),
                Answer::Closed => None,
            };
            if let Some(why) = why {
                by_code.entry(why).or_insert_with(Vec::new).push(describe(&cell));
                continue;
            }
            shown += 1;
            if shown <= CELLS_SHOWN_MAX {
                text += &format!("  {}\n", describe(&cell));
            }
        }
        if shown > CELLS_SHOWN_MAX {
            text += &format!("  and {} more\n", shown - CELLS_SHOWN_MAX);
        }
        for (why, cells) in by_code {
            let names = cells.join(", ");
            let names = if cells.len() > 3 { format!("{} cells", cells.len()) } else { names };
            text += &format!("  out of reach, {names}: {why}\n");
        }
        text
    }

    /// The matrix of states, commands and answers.
    pub fn matrix(&self) -> String {
        self.coverage.matrix()
    }

    /// Writes all files into a directory, which is made if it is not there.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("summary.txt"), self.summary())?;
        fs::write(dir.join("matrix.txt"), self.matrix())?;
        fs::write(dir.join("junit.xml"), self.junit())?;
        let mut lines = fs::File::create(dir.join("report.jsonl"))?;
        writeln!(lines, "{}", self.run_line())?;
        for (index, finding) in self.findings.iter().enumerate() {
            writeln!(lines, "{}", json!({ "finding": finding }))?;
            let text = serde_json::to_string_pretty(finding).map_err(io::Error::other)?;
            fs::write(dir.join(format!("finding-{}.json", index + 1)), text + "\n")?;
        }
        let mut lines = fs::File::create(dir.join("corpus.jsonl"))?;
        self.corpus.write(&mut lines)
    }

    fn run_line(&self) -> serde_json::Value {
        let (reached, documented) = self.coverage.reached();
        json!({ "run": {
            "seed": self.seed,
            "target": self.target,
            "cases": self.cases,
            "datagrams": self.datagrams.0,
            "seconds": self.seconds,
            "findings": self.findings.len(),
            "verdict": format!("{:?}", self.verdict),
            "cells_seen": self.coverage.len(),
            "documented_cells_seen": reached,
            "documented_cells": documented,
            "pair_messages": self.pair.rounds,
            "pair_slowest_ms": self.pair.slowest.as_millis() as u64,
        } })
    }

    /// Each oracle is a test.
    fn junit(&self) -> String {
        let failures = self.findings.len();
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"aldis fuzz\" \
             tests=\"{}\" failures=\"{failures}\" time=\"{:.3}\">\n",
            KINDS.len(),
            self.seconds,
        );
        for kind in KINDS {
            text += &format!("  <testcase classname=\"fuzz\" name=\"{}\">\n", kind.name());
            for finding in self.findings.iter().filter(|finding| finding.kind == kind) {
                let about = format!("case {}: {}", finding.number, finding.what);
                text += &format!("    <failure message=\"{}\"/>\n", escape(&about));
            }
            text += "  </testcase>\n";
        }
        text + "</testsuite>\n"
    }
}

/// As XML wants attributes; what it cannot hold becomes a question mark.
fn escape(text: &str) -> String {
    let escaped = text.chars().map(|letter| match letter {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        letter if letter.is_control() => "?".to_owned(),
        letter => letter.to_string(),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_holds_whatever_a_server_said() {
        assert_eq!(escape("a<b> & \"c\"\0"), "a&lt;b&gt; &amp; &quot;c&quot;?");
    }
}
