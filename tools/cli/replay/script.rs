//! The input file: dialogues as JSON lines, checked as a whole before anything is sent. Knows the
//! protocol's limits, not the server.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use aldis_wire::limits::{GROUP_FANOUT_MAX, GROUPS_PER_USER_MAX, TEXT_BYTES_MAX};
use bytes::Bytes;
use serde::Deserialize;

use crate::terminal::preview;

/// Bytes of a line of the file: the longest text with every byte escaped as `\u00xx`, and labels.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a label: it names, it does not tell.
const LABEL_BYTES_MAX: usize = 1_024;
/// Broken lines that are named; more do not help.
const ERRORS_MAX: usize = 20;

#[derive(Deserialize)]
struct RawLine {
    conversation: String,
    from: String,
    text: String,
}

/// One line of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Line of the file, from 1.
    pub number: usize,
    /// Index of the lane.
    pub lane: usize,
    /// Index of the person who says it.
    pub person: usize,
    /// What is said.
    pub text: Bytes,
}

/// The lines under one label, to be sent in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// As in the file.
    pub label: String,
    /// Index of the room.
    pub room: usize,
    /// Indexes of its lines.
    pub lines: Vec<usize>,
}

/// A conversation on the server: the pair of two people, which several labels may share, or the
/// group of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Indexes of its people, ascending; one who only talks to himself is alone.
    pub people: Vec<usize>,
    /// Index of the person who speaks first, and creates it if it is a group.
    pub owner: usize,
    /// Name of the group: its label.
    pub name: String,
    /// Indexes of its lanes, in order.
    pub lanes: Vec<usize>,
    /// Number of its lines.
    pub line_count: usize,
}

impl Room {
    /// Whether more than two talk in it.
    pub fn is_group(&self) -> bool {
        self.people.len() > 2
    }
}

/// The whole file. Indexes of one list point into another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Labels of the people, in order of appearance.
    pub people: Vec<String>,
    /// All lines, in order.
    pub lines: Vec<Line>,
    /// All labels, in order of appearance.
    pub lanes: Vec<Lane>,
    /// All conversations on the server.
    pub rooms: Vec<Room>,
}

/// What is wrong with a file, line by line.
#[derive(Debug, Default, thiserror::Error)]
#[error("{}", self.describe())]
pub struct ScriptError {
    errors: Vec<(usize, String)>,
    count: usize,
}

impl ScriptError {
    fn add(&mut self, number: usize, what: impl Into<String>) {
        self.count += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push((number, what.into()));
        }
    }

    fn describe(&self) -> String {
        let mut text =
            format!("the file breaks the rules in {} places, nothing was sent", self.count);
        for (number, what) in &self.errors {
            text.push_str(&format!("\n  line {number}: {what}"));
        }
        if self.count > self.errors.len() {
            text.push_str(&format!("\n  and {} more", self.count - self.errors.len()));
        }
        text
    }
}

/// Reads and checks a file.
pub fn read(mut input: impl BufRead) -> anyhow::Result<Script> {
    let mut builder = Builder::default();
    let mut errors = ScriptError::default();
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        if input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        number += 1;
        if bytes.len() as u64 > LINE_BYTES_MAX {
            errors.add(number, format!("longer than {LINE_BYTES_MAX} bytes"));
            skip_line(&mut input)?;
            continue;
        }
        // A byte order mark is no part of the first line.
        let line = bytes.strip_prefix(b"\xEF\xBB\xBF").filter(|_| number == 1).unwrap_or(&bytes);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse_line(line) {
            Ok(raw) => builder.add(number, raw),
            Err(what) => errors.add(number, what),
        }
    }
    let script = builder.finish(&mut errors);
    if errors.count > 0 {
        return Err(errors.into());
    }
    Ok(script)
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let available = input.fill_buf()?;
        let (used, is_end) = match available.iter().position(|byte| *byte == b'\n') {
            Some(index) => (index + 1, true),
            None => (available.len(), available.is_empty()),
        };
        input.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

fn parse_line(bytes: &[u8]) -> Result<RawLine, String> {
    let raw: RawLine = serde_json::from_slice(bytes).map_err(|error| {
        // The position within the line is the column; serde's line is always 1.
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("{} (column {})", preview(what, 200), error.column())
    })?;
    for (field, label) in [("conversation", &raw.conversation), ("from", &raw.from)] {
        if label.is_empty() {
            return Err(format!("`{field}` is empty"));
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(format!("`{field}` is longer than {LABEL_BYTES_MAX} bytes"));
        }
    }
    match raw.text.len() {
        0 => Err("`text` is empty; the protocol has no empty texts".to_owned()),
        len if len > TEXT_BYTES_MAX => {
            Err(format!("`text` has {len} bytes; a text has at most {TEXT_BYTES_MAX}"))
        }
        _ => Ok(raw),
    }
}

#[derive(Default)]
struct Builder {
    script: Script,
    people: HashMap<String, usize>,
    lanes: HashMap<String, usize>,
}

impl Builder {
    fn add(&mut self, number: usize, raw: RawLine) {
        let script = &mut self.script;
        let person = *self.people.entry(raw.from).or_insert_with_key(|label| {
            script.people.push(label.clone());
            script.people.len() - 1
        });
        let lane = *self.lanes.entry(raw.conversation).or_insert_with_key(|label| {
            script.lanes.push(Lane { label: label.clone(), room: 0, lines: Vec::new() });
            script.lanes.len() - 1
        });
        if let Some(lane) = script.lanes.get_mut(lane) {
            lane.lines.push(script.lines.len());
        }
        script.lines.push(Line { number, lane, person, text: Bytes::from(raw.text) });
    }

    /// Finds the rooms, now that all who talk are known.
    fn finish(self, errors: &mut ScriptError) -> Script {
        let mut script = self.script;
        let mut pairs: HashMap<Vec<usize>, usize> = HashMap::new();
        let mut group_counts = vec![0_usize; script.people.len()];
        for (lane_index, lane) in script.lanes.iter_mut().enumerate() {
            let speakers = lane.lines.iter().filter_map(|line| script.lines.get(*line));
            let mut people: Vec<usize> = speakers.clone().map(|line| line.person).collect();
            let owner = people.first().copied().unwrap_or_default();
            let number = speakers.clone().map(|line| line.number).next().unwrap_or_default();
            people.sort_unstable();
            people.dedup();
            if people.len() > GROUP_FANOUT_MAX {
                let what = format!(
                    "{} people talk in {}; a group has at most {GROUP_FANOUT_MAX}",
                    people.len(),
                    preview(&lane.label, 40)
                );
                errors.add(number, what);
            }
            let is_group = people.len() > 2;
            if is_group {
                for person in &people {
                    group_counts[*person] += 1;
                }
            }
            let index = script.rooms.len();
            lane.room =
                if is_group { index } else { *pairs.entry(people.clone()).or_insert(index) };
            if lane.room == index {
                let name = lane.label.clone();
                script.rooms.push(Room { people, owner, name, lanes: Vec::new(), line_count: 0 });
            }
            if let Some(room) = script.rooms.get_mut(lane.room) {
                room.lanes.push(lane_index);
                room.line_count += lane.lines.len();
            }
        }
        for (label, count) in script.people.iter().zip(group_counts) {
            if count > GROUPS_PER_USER_MAX {
                let who = preview(label, 40);
                let what = format!("{who} talks in {count} groups, at most {GROUPS_PER_USER_MAX}");
                errors.add(0, what);
            }
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(conversation: &str, from: &str, text: &str) -> String {
        serde_json::json!({"conversation": conversation, "from": from, "text": text}).to_string()
    }

    fn error_of(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn pairs_share_a_room_and_groups_have_their_own() {
        let text = [
            line("d1", "Ada", "1"),
            line("d2", "Bo b!", "2"),
            line("d1", "Bo b!", "3"),
            line("d2", "Ada", "4"),
            line("g", "Ada", "5"),
            line("g", "Bo b!", "6"),
            line("g", "小明", "7"),
            line("me", "Ada", "8"),
        ]
        .join("\n");
        let script = read(text.as_bytes()).unwrap();
        assert_eq!(script.people, ["Ada", "Bo b!", "小明"]);
        let rooms: Vec<_> = script.lanes.iter().map(|lane| lane.room).collect();
        assert_eq!(rooms, [0, 0, 1, 2]);
        assert_eq!(script.rooms[0].people, [0, 1]);
        assert_eq!(script.rooms[0].line_count, 4);
        assert!(script.rooms[1].is_group());
        assert_eq!(script.rooms[2].people, [0]);
        assert_eq!(script.lanes[1].lines, [1, 3]);
    }

    #[test]
    fn broken_lines_are_named_by_number() {
        let good = line("c", "a", "x");
        let text = format!("{good}\n{{\"conversation\": \"c\"}}\n\nnot json\n{good}\n");
        let error = error_of(&text);
        assert!(error.contains("line 2: missing field"), "{error}");
        assert!(error.contains("line 4: "), "{error}");
        assert!(!error.contains("line 1:") && !error.contains("line 5:"), "{error}");
        assert!(error_of(&line("c", "", "x")).contains("`from` is empty"));
        assert!(error_of(&line("c", "a", "")).contains("`text` is empty"));
        assert!(
            error_of("{\"conversation\":\"c\",\"from\":\"a\",\"text\":\"\\ud800\"}")
                .contains("line 1")
        );
        assert!(error_of("{\"conversation\":1,\"from\":\"a\",\"text\":\"x\"}").contains("line 1"));
    }

    #[test]
    fn texts_at_the_limit_pass_and_one_byte_more_does_not() {
        assert!(read(line("c", "a", &"x".repeat(TEXT_BYTES_MAX)).as_bytes()).is_ok());
        let error = error_of(&line("c", "a", &"x".repeat(TEXT_BYTES_MAX + 1)));
        assert!(error.contains("line 1: `text` has 65537 bytes"), "{error}");
    }

    #[test]
    fn an_endless_line_is_refused_and_the_next_one_read() {
        let text = format!("{}\n{}\n", "x".repeat(3 << 20), "{}");
        let error = error_of(&text);
        assert!(error.contains("line 1: longer"), "{error}");
        assert!(error.contains("line 2: missing field"), "{error}");
    }

    #[test]
    fn control_characters_and_a_byte_order_mark_are_no_trouble() {
        let text = format!("\u{feff}{}", line("c", "a", "\u{0}\r\n\u{1b}"));
        let script = read(text.as_bytes()).unwrap();
        assert_eq!(&script.lines[0].text[..], b"\0\r\n\x1b");
    }
}
