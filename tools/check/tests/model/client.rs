//! The model's clients: pipeline sends, lose connections, send again in order.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::server::{Key, Message, Server, client_msg_id};
use super::{Recorder, Rng, USERS};

/// Unanswered sends of a client.
const WINDOW: usize = 5;

/// A request under way.
pub enum Pending {
    Send { id: u64, key: Key, message: Message },
    Group { id: u64, op: &'static str, args: Value },
    Other { id: u64, op: &'static str, args: Value },
}

/// What the server said and the client has not seen yet.
pub enum Reply {
    Acked { id: u64, key: Key, result: Value },
    Refused { id: u64, key: Key, code: &'static str },
    Done { id: u64, op: &'static str, args: Value, result: Value },
    Push(Value),
}

/// A message without an outcome, oldest first in its client.
struct Unacked {
    key: Key,
    message: Message,
    /// The invocation that is open; none: it must be sent again.
    open: Option<u64>,
}

/// One device of a user.
pub struct Client {
    pub user: u64,
    pub process: String,
    pub online: bool,
    pub requests: VecDeque<Pending>,
    pub replies: VecDeque<Reply>,
    /// The server's: the refused send that each conversation waits for.
    pub blocked: HashMap<[u64; 2], Key>,
    unacked: VecDeque<Unacked>,
    /// Other operations that are open: id, name, arguments.
    open: Vec<(u64, &'static str, Value)>,
    next_id: u64,
    next_number: u64,
    device: u64,
}

impl Client {
    pub fn new(user: u64, device: u64) -> Self {
        Self {
            user,
            process: format!("u{user}-{device}"),
            online: true,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            blocked: HashMap::new(),
            unacked: VecDeque::new(),
            open: Vec::new(),
            next_id: 1,
            next_number: (user * 10 + device) << 32,
            device,
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.online && self.unacked.is_empty() && self.open.is_empty()
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn act(&mut self, rng: &mut Rng, server: &Server, recorder: &mut Recorder) {
        if !self.online || self.unacked.iter().any(|unacked| unacked.open.is_none()) {
            return self.continue_after_fault(recorder);
        }
        match rng.below(100) {
            0..92 if self.unacked.len() < WINDOW => self.send_new(rng, server, recorder),
            92..95 => self.change_group(rng, server, recorder),
            _ => self.read(rng, server, recorder),
        }
    }

    /// Logs in where the connection was lost; sends again what was refused or lost, when nothing
    /// is under way.
    pub fn continue_after_fault(&mut self, recorder: &mut Recorder) {
        if !self.online {
            self.online = true;
            let args = json!({"user": self.user, "class": 3 + self.device, "device": "d"});
            self.ask("login", args, recorder);
        }
        if self.unacked.iter().any(|unacked| unacked.open.is_some()) {
            return;
        }
        for index in 0..self.unacked.len() {
            let (key, message) = (self.unacked[index].key, self.unacked[index].message.clone());
            let id = self.send(key, message, recorder);
            self.unacked[index].open = Some(id);
        }
    }

    fn send_new(&mut self, rng: &mut Rng, server: &Server, recorder: &mut Recorder) {
        let groups = server.groups_of(self.user);
        let conv = if !groups.is_empty() && rng.percent(30) {
            [0, groups[rng.below(groups.len() as u64) as usize]]
        } else {
            let peer = if rng.percent(50) { self.user % USERS + 1 } else { rng.below(USERS) + 1 };
            [self.user.min(peer), self.user.max(peer)]
        };
        self.next_number += 1;
        let key = (conv, self.user, self.next_number);
        let message = Message::new(conv, self.user, self.next_number);
        let id = self.send(key, message.clone(), recorder);
        self.unacked.push_back(Unacked { key, message, open: Some(id) });
    }

    fn send(&mut self, key: Key, message: Message, recorder: &mut Recorder) -> u64 {
        let id = self.take_id();
        recorder.line(&self.process, "send", "invoke", id, &send_args(&message), Value::Null);
        self.requests.push_back(Pending::Send { id, key, message });
        id
    }

    fn invoke(&mut self, op: &'static str, args: &Value, recorder: &mut Recorder) -> u64 {
        let id = self.take_id();
        recorder.line(&self.process, op, "invoke", id, args, Value::Null);
        self.open.push((id, op, args.clone()));
        id
    }

    pub fn create_group(&mut self, members: &[u64], recorder: &mut Recorder) {
        let request_id = client_msg_id(self.take_id());
        let args = json!({
            "user": self.user, "name": "g", "member_ids": members, "request_id": request_id,
        });
        self.group_request("group_create", args, recorder);
    }

    fn group_request(&mut self, op: &'static str, args: Value, recorder: &mut Recorder) {
        let id = self.invoke(op, &args, recorder);
        self.requests.push_back(Pending::Group { id, op, args });
    }

    fn change_group(&mut self, rng: &mut Rng, server: &Server, recorder: &mut Recorder) {
        let groups = server.groups_of(self.user);
        let Some(group) = groups.first().copied() else {
            let others = [self.user % USERS + 1, (self.user + 2) % USERS + 1];
            return self.create_group(&others, recorder);
        };
        if rng.percent(30) && self.user != 1 {
            let args = json!({"user": self.user, "group_id": group});
            return self.group_request("group_leave", args, recorder);
        }
        let whom = [rng.below(USERS) + 1];
        let args = json!({"user": self.user, "group_id": group, "member_ids": whom});
        let op = match rng.below(100) {
            0..20 => "group_remove",
            20..35 => "group_dissolve",
            _ => "group_invite",
        };
        self.group_request(op, args, recorder);
    }

    pub fn read(&mut self, rng: &mut Rng, server: &Server, recorder: &mut Recorder) {
        if !self.online {
            return;
        }
        let limit = 1 + rng.below(20);
        if rng.percent(20) {
            return self.mark_or_change(rng, server, recorder);
        }
        if rng.percent(60) {
            let after = rng.below(server.head(self.user) + 1);
            return self.ask_sync(after, limit, false, recorder);
        }
        let peer = self.user % USERS + 1;
        let conv = match server.groups_of(self.user).first() {
            Some(group) if rng.percent(50) => [0, *group],
            _ => [self.user.min(peer), self.user.max(peer)],
        };
        let (before, after) = match rng.below(3) {
            0 => (0, 0),
            1 => (1 + rng.below(30), 0),
            _ => (0, 1 + rng.below(30)),
        };
        let args = json!({
            "reader": self.user, "conv": conv, "before": before, "after": after, "limit": limit,
        });
        self.ask("history", args, recorder);
    }

    /// Marks a direct conversation as read, asks what is unread there, changes an own message, blocks
    /// its other one or ends that.
    fn mark_or_change(&mut self, rng: &mut Rng, server: &Server, recorder: &mut Recorder) {
        let peer = self.user % USERS + 1;
        let conv = [self.user.min(peer), self.user.max(peer)];
        match rng.below(100) {
            0..35 => {
                let args = json!({"user": self.user, "conv": conv, "conv_seq": rng.below(40)});
                self.ask("mark_read", args, recorder);
            }
            35..60 => self.ask("unread", json!({"user": self.user, "conv": conv}), recorder),
            60..90 => {
                let Some((conv, conv_seq)) = server.some_message(self.user, rng) else { return };
                let op = if rng.percent(70) { "edit" } else { "recall" };
                let request_id = client_msg_id(rng.next());
                let args = json!({
                    "user": self.user, "conv": conv, "conv_seq": conv_seq,
                    "request_id": request_id, "hash": format!("{:016x}", rng.next()),
                });
                self.ask(op, args, recorder);
            }
            _ => {
                let op = if server.is_blocking(self.user, peer) { "unblock" } else { "block" };
                self.ask(op, json!({"user": self.user, "peer": peer}), recorder);
            }
        }
    }

    fn ask(&mut self, op: &'static str, args: Value, recorder: &mut Recorder) {
        let id = self.invoke(op, &args, recorder);
        self.requests.push_back(Pending::Other { id, op, args });
    }

    fn ask_sync(&mut self, after: u64, limit: u64, is_final: bool, recorder: &mut Recorder) {
        let args = json!({
            "user": self.user, "stream": 0, "after": after, "limit": limit, "final": is_final,
        });
        self.ask("sync", args, recorder);
    }

    pub fn ask_final_sync(&mut self, after: u64, limit: u64, recorder: &mut Recorder) {
        self.ask_sync(after, limit, true, recorder);
    }

    pub fn receive(&mut self, recorder: &mut Recorder) {
        match self.replies.pop_front() {
            None => {}
            Some(Reply::Push(result)) => {
                let id = self.take_id();
                let args = json!({"user": self.user, "stream": 0});
                recorder.line(&self.process, "push", "ok", id, &args, result);
            }
            Some(Reply::Done { id, op, args, result }) => {
                self.open.retain(|open| open.0 != id);
                let phase = if result.get("code").is_some() { "fail" } else { "ok" };
                recorder.line(&self.process, op, phase, id, &args, result);
            }
            Some(Reply::Acked { id, key, result }) => {
                let args = self.settle(key);
                let phase = if result.get("code").is_some() { "fail" } else { "ok" };
                recorder.line(&self.process, "send", phase, id, &args, result);
            }
            Some(Reply::Refused { id, key, code: "BUSY" }) => {
                let unacked = self.unacked.iter_mut().find(|unacked| unacked.key == key);
                let unacked = unacked.expect("what is refused was unanswered");
                unacked.open = None;
                let args = send_args(&unacked.message);
                recorder.line(&self.process, "send", "fail", id, &args, json!({"code": "BUSY"}));
            }
            Some(Reply::Refused { id, key, code }) => {
                let args = self.settle(key);
                recorder.line(&self.process, "send", "fail", id, &args, json!({"code": code}));
            }
        }
    }

    fn settle(&mut self, key: Key) -> Value {
        let index = self.unacked.iter().position(|unacked| unacked.key == key);
        let unacked = self.unacked.remove(index.expect("what is answered was unanswered"));
        send_args(&unacked.expect("it was found").message)
    }

    /// The connection is gone. Some outcomes are written as unknown, some never.
    pub fn disconnect(&mut self, recorder: &mut Recorder) -> u64 {
        self.online = false;
        self.requests.clear();
        self.replies.clear();
        self.blocked.clear();
        let mut lost = 0;
        for unacked in &mut self.unacked {
            let Some(id) = unacked.open.take() else { continue };
            lost += 1;
            if id % 2 == 0 {
                let args = send_args(&unacked.message);
                recorder.line(&self.process, "send", "info", id, &args, Value::Null);
            }
        }
        for (id, op, args) in self.open.drain(..).filter(|open| open.0 % 2 == 0) {
            recorder.line(&self.process, op, "info", id, &args, Value::Null);
        }
        lost
    }
}

fn send_args(message: &Message) -> Value {
    json!({
        "conv": message.conv, "sender": message.sender,
        "client_msg_id": client_msg_id(message.number), "kind": 1,
        "hash": format!("{:016x}", message.hash),
    })
}
