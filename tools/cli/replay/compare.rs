//! Whether what was read is what was said: byte for byte, in order, once. Asks nobody.
//!
//! A line is recognised by its client_msg_id. Its place in the conversation (conv_seq) and its
//! msg_id must be the same wherever it is read and in the acknowledgement; along a lane, places
//! rise in the file's order; along each way of reading, places in a conversation rise, so nothing
//! comes twice; and the number of lines read is the number expected, so nothing is missing.

use std::collections::HashMap;

use aldis_wire::{ClientMsgId, pb};

use super::script::Script;

/// Differences that are described; all are counted.
const EXAMPLES_MAX: usize = 20;

/// A way of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Live, on the connection that also sent.
    Push,
    /// On a new device, from the beginning of the mailbox.
    Sync,
    /// Conversation by conversation.
    History,
}

impl Way {
    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Way::Push => "push",
            Way::Sync => "sync",
            Way::History => "history",
        }
    }
}

/// What is known of a line besides the file.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    msg_id: u64,
    conv_seq: u64,
    is_acked: bool,
}

/// Who is who on the server, as far as comparing needs it.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// User ids by person.
    pub user_ids: Vec<u64>,
    /// Group ids by room; 0 where the room is no group or not made yet.
    pub group_ids: Vec<u64>,
}

/// One reader on one way: what came so far.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    last_seq: u64,
    /// By room: the last place read.
    last_conv_seq: HashMap<usize, u64>,
    line_count: usize,
    event_count: usize,
}

impl Reading {
    /// A reading of a mailbox from above `seq`.
    pub fn from_seq(seq: u64) -> Self {
        Self { last_seq: seq, ..Self::default() }
    }
}

/// Differences found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many.
    pub count: usize,
    /// The first of them, for people.
    pub examples: Vec<String>,
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, what: String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(what);
        }
    }
}

/// See the file's first lines.
#[derive(Debug)]
pub struct Comparison<'a> {
    script: &'a Script,
    by_id: HashMap<ClientMsgId, usize>,
    places: Vec<Place>,
    /// Lines compared, by way.
    pub compared: HashMap<Way, usize>,
    /// What differs.
    pub findings: Findings,
}

impl<'a> Comparison<'a> {
    /// Nothing was sent yet.
    pub fn new(script: &'a Script) -> Self {
        Self {
            script,
            by_id: HashMap::with_capacity(script.lines.len()),
            places: vec![Place::default(); script.lines.len()],
            compared: HashMap::new(),
            findings: Findings::default(),
        }
    }

    /// A line goes out under this id.
    pub fn handle_sent(&mut self, line: usize, id: ClientMsgId) {
        if self.by_id.insert(id, line).is_some() {
            self.findings.add(format!("two lines were sent under the id of {}", self.name(line)));
        }
    }

    /// The line of an id.
    pub fn line_of(&self, id: ClientMsgId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// A line was acknowledged.
    pub fn handle_acked(&mut self, line: usize, ack: &pb::MsgSendResp) {
        self.check_place(line, ack.msg_id, ack.conv_seq, "acknowledgement");
        let Some(place) = self.places.get_mut(line) else { return };
        if std::mem::replace(&mut place.is_acked, true) {
            self.findings.add(format!("{} was acknowledged twice", self.name(line)));
        }
    }

    /// Somebody read an entry of the mailbox.
    pub fn handle_mailbox_entry(
        &mut self,
        directory: &Directory,
        reading: &mut Reading,
        way: Way,
        person: usize,
        entry: &pb::MessageData,
    ) {
        if entry.seq != reading.last_seq + 1 {
            let (got, last) = (entry.seq, reading.last_seq);
            self.findings.add(format!(
                "{} {}: seq {got} after {last}",
                self.who(person),
                way.name()
            ));
        }
        reading.last_seq = entry.seq;
        self.handle_entry(directory, reading, way, person, entry);
    }

    /// Somebody read an entry, in whatever way.
    pub fn handle_entry(
        &mut self,
        directory: &Directory,
        reading: &mut Reading,
        way: Way,
        person: usize,
        entry: &pb::MessageData,
    ) {
        if entry.r#type == pb::MsgType::SystemGroup as i32 {
            reading.event_count += 1;
            return;
        }
        let id = <[u8; 16]>::try_from(&entry.client_msg_id[..]).ok().map(ClientMsgId);
        let Some(line) = id.and_then(|id| self.line_of(id)) else {
            let what = format!("message {} that nobody said here", entry.msg_id);
            self.findings.add(format!("{} {}: {what}", self.who(person), way.name()));
            return;
        };
        reading.line_count += 1;
        *self.compared.entry(way).or_default() += 1;
        self.check_place(line, entry.msg_id, entry.conv_seq, way.name());
        self.check_content(directory, way, person, line, entry);
        let Some(room) = self.room_of(line) else { return };
        let last = reading.last_conv_seq.insert(room, entry.conv_seq).unwrap_or(0);
        if entry.conv_seq <= last {
            let what = format!("place {} after {last}, {}", entry.conv_seq, self.name(line));
            self.findings.add(format!("{} {}: {what}", self.who(person), way.name()));
        }
    }

    fn check_content(
        &mut self,
        directory: &Directory,
        way: Way,
        person: usize,
        line_index: usize,
        entry: &pb::MessageData,
    ) {
        let Some(line) = self.script.lines.get(line_index) else { return };
        let Some(room_index) = self.room_of(line_index) else { return };
        let Some(room) = self.script.rooms.get(room_index) else { return };
        let group_id = directory.group_ids.get(room_index).copied().unwrap_or(0);
        let mut wrong = Vec::new();
        if entry.content != line.text {
            wrong.push("text");
        }
        if Some(&entry.sender_id) != directory.user_ids.get(line.person) {
            wrong.push("sender");
        }
        if entry.r#type != pb::MsgType::Text as i32 || !entry.extra.is_empty() || entry.flags != 0 {
            wrong.push("kind");
        }
        if entry.group_id != group_id || !room.people.contains(&person) {
            wrong.push("conversation");
        }
        if !wrong.is_empty() {
            let what = format!("other {} of {}", wrong.join(", "), self.name(line_index));
            self.findings.add(format!("{} {}: {what}", self.who(person), way.name()));
        }
    }

    /// The first who names a line's place is believed; all others must say the same.
    fn check_place(&mut self, line: usize, msg_id: u64, conv_seq: u64, way: &str) {
        let Some(place) = self.places.get_mut(line) else { return };
        if place.conv_seq == 0 {
            place.msg_id = msg_id;
            place.conv_seq = conv_seq;
        } else if (place.msg_id, place.conv_seq) != (msg_id, conv_seq) {
            let what = format!("{way}: another place or id than before, {}", self.name(line));
            self.findings.add(what);
        }
    }

    /// A reader has read all there was: is it all there should be?
    pub fn finish_reading(&mut self, reading: &Reading, way: Way, person: usize, rooms: &[usize]) {
        let rooms = rooms.iter().filter_map(|room| self.script.rooms.get(*room));
        let lines: usize = rooms.clone().map(|room| room.line_count).sum();
        let events = rooms.filter(|room| room.is_group()).count();
        if reading.line_count != lines {
            let what = format!("{} lines of {lines}", reading.line_count);
            self.findings.add(format!("{} {}: {what}", self.who(person), way.name()));
        }
        if reading.event_count != events {
            let what = format!("{} group events of {events}", reading.event_count);
            self.findings.add(format!("{} {}: {what}", self.who(person), way.name()));
        }
    }

    /// All is sent and read: is every line acknowledged, and every lane in the file's order?
    pub fn finish(&mut self) {
        for lane in &self.script.lanes {
            let mut last = 0;
            for line in &lane.lines {
                let Some(place) = self.places.get(*line).copied() else { continue };
                if !place.is_acked {
                    self.findings.add(format!("{} was not acknowledged", self.name(*line)));
                } else if place.conv_seq <= last {
                    self.findings.add(format!("{} is not in the file's order", self.name(*line)));
                }
                last = last.max(place.conv_seq);
            }
        }
    }

    /// Lines acknowledged.
    pub fn acked_count(&self) -> usize {
        self.places.iter().filter(|place| place.is_acked).count()
    }

    fn room_of(&self, line: usize) -> Option<usize> {
        let lane = self.script.lines.get(line)?.lane;
        self.script.lanes.get(lane).map(|lane| lane.room)
    }

    fn name(&self, line: usize) -> String {
        self.script.lines.get(line).map_or_else(String::new, |l| format!("line {}", l.number))
    }

    fn who(&self, person: usize) -> String {
        let label = self.script.people.get(person).map_or("?", String::as_str);
        crate::terminal::preview(label, 40)
    }
}
