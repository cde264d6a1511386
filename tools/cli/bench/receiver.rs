//! One receiver's side of a stream of messages: each exactly once and in order, pushed or, where
//! pushes were dropped, fetched by MSG_SYNC. Knows no socket; the caller moves its frames.

use super::codec::{EntryView, Fields, RunTag, Stamp, Value, entry, read_stamp};
use super::tally::Tally;

/// Number of `MsgType::Text`.
const KIND_TEXT: u64 = 1;

/// What is the same for all receivers of a run.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// The run.
    pub tag: RunTag,
    /// Length of every content.
    pub payload_len: usize,
}

/// One receiver of one stream.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Index of the stream.
    pub stream: usize,
    sender_id: u64,
    /// Number of the next message.
    expected: u64,
    /// Up to here in the mailbox everything of the sender arrived.
    position: u64,
    /// Highest mailbox entry that was mentioned.
    head_seen: u64,
    sync_in_flight: bool,
    has_synced: bool,
}

impl Receiver {
    /// Waits for messages of `sender_id` above `head` in its mailbox.
    pub fn new(stream: usize, sender_id: u64, head: u64) -> Self {
        Self {
            stream,
            sender_id,
            expected: 1,
            position: head,
            head_seen: head,
            sync_in_flight: false,
            has_synced: false,
        }
    }

    /// A MSG_PUSH_NOTIFY; `deliver` gets what is in order. Afterwards `poll_sync` says whether to
    /// ask.
    pub fn handle_push(
        &mut self,
        body: &[u8],
        expect: &Expect,
        tally: &mut Tally,
        mut deliver: impl FnMut(Stamp, &mut Tally),
    ) {
        let mut head = 0;
        let mut entries = 0;
        let mut fields = Fields::of(body);
        for field in fields.by_ref() {
            match field {
                (1, Value::Varint(stream)) if stream != 0 => {
                    tally.faults.add("pushes of another stream", || format!("stream {stream}"));
                }
                (2, Value::Varint(value)) => head = value,
                (3, Value::Bytes(bytes)) => {
                    entries += 1;
                    match entry(bytes) {
                        Some(view) => self.handle_pushed(view, expect, tally, &mut deliver),
                        None => tally.faults.add("undecodable entries", String::new),
                    }
                }
                _ => {}
            }
        }
        if fields.is_broken() {
            tally.faults.add("undecodable pushes", || format!("{} bytes", body.len()));
        }
        if entries == 0 {
            tally.hints += 1;
            self.head_seen = self.head_seen.max(head);
        }
    }

    fn handle_pushed(
        &mut self,
        view: EntryView<'_>,
        expect: &Expect,
        tally: &mut Tally,
        deliver: &mut impl FnMut(Stamp, &mut Tally),
    ) {
        if self.sync_in_flight {
            self.head_seen = self.head_seen.max(view.seq);
            return;
        }
        let Some(stamp) = self.stamp(view, expect, tally) else { return };
        if stamp.no > self.expected {
            tally.gaps += 1;
            self.head_seen = self.head_seen.max(view.seq);
        } else if stamp.no == self.expected {
            self.expected += 1;
            self.position = view.seq;
            deliver(stamp, tally);
        } else if view.seq > self.position {
            tally.faults.add("messages stored twice", || self.describe(view, stamp));
        } else if !self.has_synced {
            tally.faults.add("messages pushed twice", || self.describe(view, stamp));
        }
    }

    /// The stamp, if this is a message of our sender.
    fn stamp(&self, view: EntryView<'_>, expect: &Expect, tally: &mut Tally) -> Option<Stamp> {
        if view.sender != self.sender_id || view.kind != KIND_TEXT {
            return None;
        }
        let stamp = read_stamp(view.content, expect.tag, expect.payload_len);
        if stamp.is_none() {
            tally.faults.add("contents that changed", || {
                format!("seq {} from user {}, {} bytes", view.seq, view.sender, view.content.len())
            });
        }
        stamp
    }

    fn describe(&self, view: EntryView<'_>, stamp: Stamp) -> String {
        format!(
            "message {} of user {} at seq {} while {} was expected after seq {}",
            stamp.no, self.sender_id, view.seq, self.expected, self.position
        )
    }

    /// The head as a heartbeat tells it.
    pub fn handle_head(&mut self, head: u64) {
        self.head_seen = self.head_seen.max(head);
    }

    /// After which entry to ask, if something is missing and no question is open.
    pub fn poll_sync(&mut self) -> Option<u64> {
        if self.sync_in_flight || self.head_seen <= self.position {
            return None;
        }
        self.sync_in_flight = true;
        self.has_synced = true;
        Some(self.position)
    }

    /// A page of the mailbox.
    pub fn handle_sync_page(
        &mut self,
        body: &[u8],
        expect: &Expect,
        tally: &mut Tally,
        mut deliver: impl FnMut(Stamp, &mut Tally),
    ) {
        if !std::mem::take(&mut self.sync_in_flight) {
            return tally.faults.add("answers to no question", || "MSG_SYNC_RESP".to_owned());
        }
        let start = self.position;
        let mut more = false;
        for field in Fields::of(body) {
            match field {
                (2, Value::Bytes(bytes)) => match entry(bytes) {
                    Some(view) => self.handle_synced(view, expect, tally, &mut deliver),
                    None => tally.faults.add("undecodable entries", String::new),
                },
                (3, Value::Varint(head)) => self.head_seen = self.head_seen.max(head),
                (4, Value::Varint(value)) => more = value != 0,
                _ => {}
            }
        }
        if self.position == start && (more || self.head_seen > start) {
            tally.faults.add("syncs that stop below the head", || {
                format!("nothing after {start}, the head is {}", self.head_seen)
            });
            self.head_seen = start;
        }
    }

    fn handle_synced(
        &mut self,
        view: EntryView<'_>,
        expect: &Expect,
        tally: &mut Tally,
        deliver: &mut impl FnMut(Stamp, &mut Tally),
    ) {
        if view.seq != self.position + 1 {
            let after = self.position;
            tally.faults.add("holes in a sync", || format!("seq {} after {after}", view.seq));
        }
        let stamp = self.stamp(view, expect, tally);
        let Some(stamp) = stamp else {
            self.position = view.seq;
            return;
        };
        if stamp.no < self.expected {
            tally.faults.add("messages stored twice", || self.describe(view, stamp));
        } else {
            let missing = stamp.no - self.expected;
            tally
                .faults
                .add_many("messages missing in a sync", missing, || self.describe(view, stamp));
            self.expected = stamp.no + 1;
            deliver(stamp, tally);
        }
        self.position = view.seq;
    }

    /// The question was refused; the next hint, gap or heartbeat asks again.
    pub fn handle_sync_failed(&mut self) {
        self.sync_in_flight = false;
        self.head_seen = self.position;
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
