//! A recorded history: the rows that the invariants are checked on. Knows no invariant.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::findings::Invariant;
use crate::model::{
    Attempt, BeyondHead, Block, ContentId, Edit, GroupOp, HistoryRead, Login, MarkRead, Push,
    Recall, Seen, Stored, Sync, Unread, Value, ValueId,
};
use crate::reader::Reader;

/// Where a line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineRef {
    /// Index of the file, in the order they were read.
    pub file: u32,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for LineRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Something that keeps the history from being judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it has a place.
    pub line: Option<LineRef>,
    /// What.
    pub what: String,
}

/// How much a history holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tries to send.
    pub sends: usize,
    /// Those that were acknowledged.
    pub acknowledged: usize,
    /// Those that were refused.
    pub refused: usize,
    /// Pushes.
    pub pushes: usize,
    /// Pages of mailboxes.
    pub syncs: usize,
    /// Pages of conversations.
    pub histories: usize,
    /// Logins.
    pub logins: usize,
    /// Changes of groups.
    pub group_changes: usize,
    /// Recalls and edits.
    pub message_changes: usize,
    /// Blocks and their ends.
    pub blocks: usize,
    /// Different entries that anyone saw.
    pub entries: usize,
}

/// A run's history: all its files, read.
#[derive(Debug, Default)]
pub struct History {
    pub(crate) files: Vec<String>,
    pub(crate) values: Vec<Value>,
    /// Hashes of the contents that entries were seen with.
    pub(crate) contents: Vec<u64>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) pushes: Vec<Push>,
    pub(crate) syncs: Vec<Sync>,
    pub(crate) beyond_heads: Vec<BeyondHead>,
    pub(crate) histories: Vec<HistoryRead>,
    pub(crate) logins: Vec<Login>,
    pub(crate) group_ops: Vec<GroupOp>,
    pub(crate) marks: Vec<MarkRead>,
    pub(crate) unreads: Vec<Unread>,
    pub(crate) recalls: Vec<Recall>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) stored: Vec<Stored>,
    pub(crate) problems: Vec<Problem>,
}

impl History {
    /// Reads the files of one run. Lines that cannot be used become problems, not errors; an error
    /// is that a file cannot be read.
    pub fn read_files<P: AsRef<Path>>(paths: &[P]) -> io::Result<History> {
        let mut reader = Reader::default();
        for path in paths {
            let path = path.as_ref();
            let file = BufReader::new(File::open(path)?);
            read_lines(&mut reader, &path.display().to_string(), file)?;
        }
        Ok(reader.finish())
    }

    /// Reads one history from text, for tests and for histories that were never written to a file.
    pub fn parse(name: &str, text: &str) -> History {
        let mut reader = Reader::default();
        reader.begin_file(name);
        text.lines().for_each(|line| reader.line(line));
        reader.finish()
    }

    /// How much there is.
    pub fn summary(&self) -> Summary {
        use crate::model::Outcome;
        let count = |wanted: fn(&Attempt) -> bool| {
            self.attempts.iter().filter(|attempt| wanted(attempt)).count()
        };
        Summary {
            sends: self.attempts.len(),
            acknowledged: count(|attempt| matches!(attempt.outcome, Outcome::Ok(_))),
            refused: count(|attempt| attempt.outcome == Outcome::Fail),
            pushes: self.pushes.len(),
            syncs: self.syncs.len(),
            histories: self.histories.len(),
            logins: self.logins.len(),
            group_changes: self.group_ops.len(),
            message_changes: self.recalls.len() + self.edits.len(),
            blocks: self.blocks.len(),
            entries: self.values.len(),
        }
    }

    /// Promises that the history says nothing of: a verdict does not cover them.
    pub fn not_judged(&self) -> Vec<Invariant> {
        let shows = |entries: &[Seen]| entries.iter().any(|seen| seen.msg_no.number().is_some());
        let is_told = !self.stored.is_empty()
            || !self.unreads.is_empty()
            || self.pushes.iter().any(|push| shows(&push.entries))
            || self.syncs.iter().any(|sync| shows(&sync.entries))
            || self.histories.iter().any(|read| shows(&read.entries));
        if is_told { vec![] } else { vec![Invariant::I10] }
    }

    /// What could not be used.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// `file:line` as people read it.
    pub fn locate(&self, line: LineRef) -> String {
        let file = self.files.get(line.file as usize).map_or("?", String::as_str);
        format!("{file}:{}", line.line)
    }

    pub(crate) fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// Of what was said.
    pub(crate) fn content_hash(&self, id: ContentId) -> u64 {
        self.contents[id.0 as usize]
    }
}

/// A line at a time, so that a history of any length needs no more than its rows. Bytes that are
/// no UTF-8 make a line unusable, not the file.
fn read_lines(reader: &mut Reader, name: &str, mut file: impl BufRead) -> io::Result<()> {
    reader.begin_file(name);
    let mut bytes = Vec::new();
    while file.read_until(b'\n', &mut bytes)? > 0 {
        reader.line(&String::from_utf8_lossy(&bytes));
        bytes.clear();
    }
    Ok(())
}
