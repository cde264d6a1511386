//! Short histories for the tests of the invariants, built a line at a time.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{History, Invariant, Verdict, check};

/// An entry: seq, conversation, sender, number of the client_msg_id, conv_seq. Sender 0 makes it
/// the event by which user 1 created the group with user 2.
pub type Entry = (u64, [u64; 2], u64, u64, u64);

/// Lines written so far; each operation takes the next ticks of one clock.
#[derive(Clone)]
pub struct Lines {
    text: String,
    now_ns: u64,
    next_id: u64,
    /// Content of what is sent and read from now on.
    pub hash: u64,
    /// The id of the next session.
    pub next_session: u64,
    /// Added to message ids.
    pub msg_id_offset: u64,
    /// Who records.
    pub process: &'static str,
    /// Flags of the entries that are read from now on.
    pub flags: u32,
    /// Type of the entries that are read from now on.
    pub kind: i64,
    /// Entries say their msg_no: all but the first position are messages.
    pub msg_nos: bool,
}

impl Default for Lines {
    fn default() -> Self {
        let text = String::new();
        Self {
            text,
            now_ns: 0,
            next_id: 0,
            hash: 1,
            next_session: 1,
            msg_id_offset: 0,
            process: "p",
            flags: 0,
            kind: 1,
            msg_nos: false,
        }
    }
}

/// The invariants that a history breaks.
pub fn found(history: &History) -> BTreeSet<Invariant> {
    assert_eq!(history.problems(), []);
    match check(history) {
        Verdict::Invalid { counts, .. } => counts.into_keys().collect(),
        _ => BTreeSet::new(),
    }
}

impl Lines {
    /// What was written.
    pub fn history(&self) -> History {
        History::parse("test", &self.text)
    }

    fn line(&mut self, op: &str, phase: &str, args: &Value, result: &Value) {
        self.now_ns += 10;
        let line = json!({
            "run": "r", "seed": 1, "t_ns": self.now_ns, "process": self.process, "node": "n", "op": op,
            "phase": phase, "id": self.next_id, "args": args, "result": result,
        });
        self.text.push_str(&line.to_string());
        self.text.push('\n');
    }

    fn done(&mut self, op: &str, phase: &str, args: &Value, result: &Value) {
        self.next_id += 1;
        self.line(op, "invoke", args, &Value::Null);
        self.line(op, phase, args, result);
    }

    fn send(&mut self, conv: [u64; 2], sender: u64, no: u64, phase: &str, result: &Value) {
        let args = json!({
            "conv": conv, "sender": sender, "client_msg_id": format!("{no:032x}"), "kind": 1,
            "hash": format!("{:016x}", self.hash),
        });
        self.done("send", phase, &args, result);
    }

    /// A send and its acknowledgement; the sender's seq is its conv_seq.
    pub fn ack(&mut self, conv: [u64; 2], sender: u64, no: u64, conv_seq: u64) {
        let msg_id = self.msg_id(conv, conv_seq);
        let seq = if conv[0] == 0 { 0 } else { conv_seq };
        let result = json!({"msg_id": msg_id, "seq": seq, "conv_seq": conv_seq, "time_ms": 1});
        self.send(conv, sender, no, "ok", &result);
    }

    /// A send that was refused.
    pub fn refused(&mut self, conv: [u64; 2], sender: u64, no: u64) {
        self.send(conv, sender, no, "fail", &json!({"code": "BUSY"}));
    }

    /// A send whose outcome is unknown.
    pub fn unanswered(&mut self, conv: [u64; 2], sender: u64, no: u64) {
        self.send(conv, sender, no, "info", &Value::Null);
    }

    fn msg_id(&self, conv: [u64; 2], conv_seq: u64) -> u64 {
        ((conv[0] << 40) + (conv[1] << 20) + conv_seq).wrapping_add(self.msg_id_offset)
    }

    fn entry(&self, (seq, conv, sender, no, conv_seq): Entry) -> Value {
        let is_event = sender == 0;
        let mut entry = json!({
            "seq": seq, "msg_id": self.msg_id(conv, conv_seq), "conv": conv, "conv_seq": conv_seq,
            "sender": sender, "client_msg_id": format!("{no:032x}"), "kind": self.kind,
            "hash": format!("{:016x}", self.hash), "flags": self.flags,
        });
        if self.msg_nos {
            entry["msg_no"] = (conv_seq - 1).into();
        }
        if is_event {
            entry["sender"] = 1.into();
            entry["client_msg_id"] = "".into();
            entry["kind"] = 100.into();
            entry["group_event"] = json!({"kind": 1, "user_ids": [1, 2]});
        }
        entry
    }

    fn entries(&self, entries: &[Entry]) -> Vec<Value> {
        entries.iter().map(|entry| self.entry(*entry)).collect()
    }

    /// A push with these entries; its head is the last one.
    pub fn push(&mut self, user: u64, entries: &[Entry]) {
        self.next_id += 1;
        let head = entries.last().map_or(0, |entry| entry.0);
        let result = json!({"head": head, "entries": self.entries(entries)});
        self.line("push", "ok", &json!({"user": user, "stream": 0}), &result);
    }

    /// One page.
    pub fn sync(&mut self, user: u64, after: u64, entries: &[Entry], head: u64, more: bool) {
        let args = json!({"user": user, "stream": 0, "after": after, "limit": 0, "final": false});
        let result = json!({"entries": self.entries(entries), "head": head, "more": more});
        self.done("sync", "ok", &args, &result);
    }

    /// A page that was refused.
    pub fn sync_refused(&mut self, user: u64, after: u64, code: &str) {
        let args = json!({"user": user, "stream": 0, "after": after, "limit": 0, "final": false});
        self.done("sync", "fail", &args, &json!({"code": code}));
    }

    /// The user's last word, in one page from the start.
    pub fn final_sync(&mut self, user: u64, entries: &[Entry]) {
        let args = json!({"user": user, "stream": 0, "after": 0, "limit": 0, "final": true});
        let head = entries.last().map_or(0, |entry| entry.0);
        let result = json!({"entries": self.entries(entries), "head": head, "more": false});
        self.done("sync", "ok", &args, &result);
    }

    /// The newest page of a conversation: (sender, number, conv_seq) of each entry.
    pub fn history_read(&mut self, reader: u64, conv: [u64; 2], entries: &[(u64, u64, u64)]) {
        let args = json!({"reader": reader, "conv": conv, "before": 0, "after": 0, "limit": 0});
        let end = entries.last().map_or(0, |entry| entry.2);
        let entries: Vec<Value> = entries
            .iter()
            .map(|(sender, no, conv_seq)| self.entry((0, conv, *sender, *no, *conv_seq)))
            .collect();
        let result = json!({"entries": entries, "more": false, "max_conv_seq": end});
        self.done("history", "ok", &args, &result);
    }

    /// A login and the head it tells.
    pub fn login(&mut self, user: u64, head: u64) {
        let result = json!({
            "user_id": user, "session_id": self.next_session, "head": head, "store_epoch": 1,
        });
        self.next_session += 1;
        self.done("login", "ok", &json!({"user": user, "class": 3, "device": "d"}), &result);
    }

    /// An acknowledged creation.
    pub fn create_group(&mut self, group: u64, owner: u64, members: &[u64]) {
        let request_id = format!("{:032x}", self.next_id);
        let args = json!({
            "user": owner, "name": "g", "member_ids": members, "request_id": request_id,
        });
        self.done("group_create", "ok", &args, &json!({"group_id": group, "seq": 1}));
    }

    /// An acknowledged read mark.
    pub fn mark_read(&mut self, user: u64, conv: [u64; 2], conv_seq: u64) {
        let args = json!({"user": user, "conv": conv, "conv_seq": conv_seq});
        self.done("mark_read", "ok", &args, &json!({}));
    }

    /// An acknowledged recall.
    pub fn recall(&mut self, user: u64, conv: [u64; 2], conv_seq: u64) {
        let args = json!({"user": user, "conv": conv, "conv_seq": conv_seq});
        self.done("recall", "ok", &args, &json!({}));
    }

    /// An edit: the number of its request and the hash of what it says.
    pub fn edit(
        &mut self,
        user: u64,
        conv: [u64; 2],
        conv_seq: u64,
        (request, hash): (u64, u64),
        phase: &str,
    ) {
        let args = json!({
            "user": user, "conv": conv, "conv_seq": conv_seq,
            "request_id": format!("{request:032x}"), "hash": format!("{hash:016x}"),
        });
        self.done("edit", phase, &args, &json!({}));
    }

    /// `block` or `unblock`.
    pub fn block(&mut self, user: u64, peer: u64, op: &str, phase: &str) {
        self.done(op, phase, &json!({"user": user, "peer": peer}), &json!({}));
    }

    /// An acknowledged change of a group.
    pub fn change_group(&mut self, op: &str, user: u64, group: u64, members: &[u64]) {
        let args = json!({"user": user, "group_id": group, "member_ids": members});
        self.done(op, "ok", &args, &json!({"added_ids": members}));
    }

    /// What a user is told of a conversation.
    pub fn unread(&mut self, user: u64, conv: [u64; 2], mark: u64, unread: u64) {
        let result = json!({"mark": mark, "unread": unread});
        self.done("unread", "ok", &json!({"user": user, "conv": conv}), &result);
    }

    /// Rows of the database: (position, msg_no) of each; the first position is no message.
    pub fn stored(&mut self, conv: [u64; 2], rows: &[(u64, u64)]) {
        let row = |(conv_seq, msg_no): &(u64, u64)| {
            let kind = if *conv_seq == 1 { 100 } else { 1 };
            let msg_id = self.msg_id(conv, *conv_seq);
            json!({"conv": conv, "conv_seq": conv_seq, "msg_no": msg_no, "msg_id": msg_id, "kind": kind})
        };
        let result = json!({"entries": rows.iter().map(row).collect::<Vec<_>>()});
        self.next_id += 1;
        self.line("stored", "ok", &Value::Null, &result);
    }
}
