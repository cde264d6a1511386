//! The model's server: conversations, mailboxes, groups, one atomic change at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Rng, USERS};

/// FNV-1a of nothing.
pub const EMPTY_HASH: u64 = 0xcbf2_9ce4_8422_2325;
/// Bits of an entry's flags.
const RECALLED: u32 = 1;
const EDITED: u32 = 2;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bug {
    /// None: the server is correct.
    #[default]
    None,
    /// The last messages before a crash were acknowledged but not stored.
    AckBeforeCommit,
    /// A resend is a new message.
    NoDedupe,
}

/// (conversation, sender, number of the client_msg_id).
pub type Key = ([u64; 2], u64, u64);

/// A message, or an event of a group.
#[derive(Clone, Debug)]
pub struct Message {
    pub conv: [u64; 2],
    pub conv_seq: u64,
    pub msg_no: u64,
    pub msg_id: u64,
    pub sender: u64,
    /// 0 for events.
    pub number: u64,
    pub hash: u64,
    /// What became of it.
    pub flags: u32,
    pub event: Option<Value>,
    owners: Vec<u64>,
}

/// Everything that is stored.
pub struct Server {
    bug: Bug,
    conversations: HashMap<[u64; 2], Vec<Message>>,
    mailboxes: BTreeMap<u64, Vec<(u64, Message)>>,
    groups: BTreeMap<u64, Vec<u64>>,
    stays: Vec<(u64, u64, u64, u64)>,
    dedupe: HashMap<Key, Value>,
    sessions: HashMap<u64, u64>,
    marks: HashMap<(u64, [u64; 2]), u64>,
    /// Who blocks whom.
    blocks: BTreeSet<(u64, u64)>,
    next_msg_id: u64,
    /// With a bug: what is acknowledged and not stored yet.
    unstored: Vec<(Key, u64)>,
}

impl Server {
    pub fn new(bug: Bug) -> Self {
        Self {
            bug,
            conversations: HashMap::new(),
            mailboxes: (1..=USERS).map(|user| (user, Vec::new())).collect(),
            groups: BTreeMap::new(),
            stays: Vec::new(),
            dedupe: HashMap::new(),
            sessions: HashMap::new(),
            marks: HashMap::new(),
            blocks: BTreeSet::new(),
            next_msg_id: 1_000,
            unstored: Vec::new(),
        }
    }

    pub fn head(&self, user: u64) -> u64 {
        self.mailboxes[&user].last().map_or(0, |(seq, _)| *seq)
    }

    /// Groups that the user is in now.
    pub fn groups_of(&self, user: u64) -> Vec<u64> {
        let of = self.groups.iter().filter(|(_, members)| members.contains(&user));
        of.map(|(group, _)| *group).collect()
    }

    pub fn is_outside(&self, group: u64, user: u64) -> bool {
        self.groups.get(&group).is_some_and(|members| !members.contains(&user))
    }

    pub fn append(&mut self, key: Key, message: Message, rng: &mut Rng) -> (Value, Vec<Message>) {
        if self.bug != Bug::NoDedupe
            && let Some(first) = self.dedupe.get(&key)
        {
            return (first.clone(), vec![]);
        }
        let owners = match message.conv {
            [0, group] => self.groups[&group].clone(),
            [lo, hi] if lo == hi => vec![lo],
            [lo, hi] => vec![lo, hi],
        };
        let [lo, hi] = message.conv;
        if self.is_blocking(lo, hi) || self.is_blocking(hi, lo) {
            return (json!({"code": "FORBIDDEN"}), vec![]);
        }
        if !owners.contains(&message.sender) {
            // A member that left meanwhile: nothing is stored.
            return (json!({"code": "NOT_FOUND"}), vec![]);
        }
        let message = self.store(Message { owners, ..message });
        let seq = self.seq_of(message.sender, &message).unwrap_or(0);
        // 0: it comes by push.
        let seq = if rng.percent(5) { 0 } else { seq };
        let result = json!({
            "msg_id": message.msg_id, "seq": seq, "conv_seq": message.conv_seq, "time_ms": 1,
        });
        self.dedupe.insert(key, result.clone());
        self.unstored.push((key, message.msg_id));
        (result, vec![message])
    }

    fn store(&mut self, mut message: Message) -> Message {
        let conversation = self.conversations.entry(message.conv).or_default();
        let (last_seq, last_no) = conversation.last().map_or((0, 0), |m| (m.conv_seq, m.msg_no));
        message.conv_seq = last_seq + 1;
        message.msg_no = last_no + u64::from(message.event.is_none());
        message.msg_id = self.next_msg_id;
        self.next_msg_id += 1;
        conversation.push(message.clone());
        for owner in &message.owners {
            let mailbox = self.mailboxes.get_mut(owner).expect("users exist");
            let seq = mailbox.last().map_or(0, |(seq, _)| *seq) + 1;
            mailbox.push((seq, message.clone()));
        }
        message
    }

    /// Commits survive; with a bug, the last ones were none.
    pub fn crash(&mut self) {
        let unstored = std::mem::take(&mut self.unstored);
        if self.bug != Bug::AckBeforeCommit {
            return;
        }
        for (key, msg_id) in unstored.into_iter().rev().take(12) {
            self.dedupe.remove(&key);
            for mailbox in self.mailboxes.values_mut() {
                mailbox.retain(|(_, message)| message.msg_id != msg_id);
                (1..).zip(mailbox).for_each(|(seq, entry)| entry.0 = seq);
            }
            if let Some(conversation) = self.conversations.get_mut(&key.0) {
                conversation.retain(|message| message.msg_id != msg_id);
            }
        }
    }

    /// From now on everything is stored at once.
    pub fn heal(&mut self) {
        self.unstored.clear();
    }

    pub fn change_group(&mut self, user: u64, op: &str, args: &Value) -> (Value, Vec<Message>) {
        let ids = |value: &Value| -> Vec<u64> {
            value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
        };
        if op == "group_create" {
            let group = self.groups.len() as u64 + 1;
            let members = [vec![user], ids(&args["member_ids"])].concat();
            self.groups.insert(group, members.clone());
            let event = self.event(user, group, 1, &members, members.clone());
            return (json!({"group_id": group, "seq": 0}), vec![event]);
        }
        let group = args["group_id"].as_u64().expect("the model wrote it");
        if self.is_outside(group, user) {
            return (json!({"code": "NOT_FOUND"}), vec![]);
        }
        let members = self.groups.get_mut(&group).expect("the model knows its groups");
        if op == "group_leave" {
            let owners = members.clone();
            members.retain(|member| *member != user);
            let event = self.event(user, group, 3, &[user], owners);
            return (json!({"seq": 0}), vec![event]);
        }
        let mut added = ids(&args["member_ids"]);
        if op == "group_remove" {
            if added.contains(&user) {
                return (json!({"code": "FORBIDDEN"}), vec![]);
            }
            added.retain(|id| members.contains(id));
            if added.is_empty() {
                return (json!({"seq": 0}), vec![]);
            }
            let owners = members.clone();
            members.retain(|member| !added.contains(member));
            let event = self.event(user, group, 4, &added, owners);
            return (json!({"seq": 0}), vec![event]);
        }
        if op == "group_dissolve" {
            let owners = std::mem::take(members);
            let event = self.event(user, group, 11, &[], owners);
            return (json!({"seq": 0}), vec![event]);
        }
        added.retain(|id| !members.contains(id));
        if added.is_empty() {
            return (json!({"added_ids": [], "seq": 0}), vec![]);
        }
        members.extend(&added);
        let owners = members.clone();
        let event = self.event(user, group, 2, &added, owners);
        (json!({"added_ids": added, "seq": 0}), vec![event])
    }

    fn event(
        &mut self,
        actor: u64,
        group: u64,
        kind: u64,
        users: &[u64],
        owners: Vec<u64>,
    ) -> Message {
        let message = self.store(Message {
            conv: [0, group],
            conv_seq: 0,
            msg_no: 0,
            msg_id: 0,
            sender: actor,
            number: 0,
            hash: 0,
            flags: 0,
            event: Some(json!({"kind": kind, "user_ids": users})),
            owners,
        });
        for stay in self.stays.iter_mut().filter(|stay| kind == 11 && stay.0 == group) {
            stay.3 = stay.3.min(message.conv_seq);
        }
        for user in users {
            if kind == 3 || kind == 4 {
                let stay =
                    self.stays.iter_mut().rev().find(|stay| (stay.0, stay.1) == (group, *user));
                stay.expect("who leaves was in").3 = message.conv_seq;
            } else {
                self.stays.push((group, *user, message.conv_seq, u64::MAX));
            }
        }
        message
    }

    pub fn login(&mut self, user: u64) -> Value {
        let session = self.sessions.entry(user).or_default();
        *session += 1;
        let session_id = *session;
        json!({
            "user_id": user, "session_id": session_id, "head": self.head(user), "store_epoch": 7,
        })
    }

    pub fn sync(&self, user: u64, args: &Value) -> Value {
        let after = args["after"].as_u64().expect("the model wrote it");
        let limit = args["limit"].as_u64().expect("the model wrote it") as usize;
        let mailbox = &self.mailboxes[&user];
        let above = mailbox.iter().filter(|(seq, _)| *seq > after);
        let entries: Vec<Value> =
            above.clone().take(limit).map(|(seq, message)| render(*seq, message)).collect();
        let more = above.count() > entries.len();
        json!({"entries": entries, "head": self.head(user), "more": more})
    }

    pub fn history(&self, user: u64, args: &Value) -> Value {
        let conv = conv_of(args);
        let number = |name: &str| args[name].as_u64().expect("the model wrote it");
        let (before, after, limit) = (number("before"), number("after"), number("limit") as usize);
        let may_see = |message: &&Message| {
            conv[0] != 0
                || self.stays.iter().any(|(group, member, from, to)| {
                    (*group, *member) == (conv[1], user)
                        && (*from..=*to).contains(&message.conv_seq)
                })
        };
        let visible: Vec<&Message> =
            self.conversations.get(&conv).into_iter().flatten().filter(may_see).collect();
        let max_conv_seq = visible.last().map_or(0, |message| message.conv_seq);
        let asked: Vec<&&Message> = visible
            .iter()
            .filter(|message| message.conv_seq > after)
            .filter(|message| before == 0 || message.conv_seq < before)
            .collect();
        let more = asked.len() > limit;
        let page = if after > 0 {
            &asked[..asked.len().min(limit)]
        } else {
            &asked[asked.len().saturating_sub(limit)..]
        };
        let entries: Vec<Value> = page.iter().map(|message| render(0, message)).collect();
        json!({"entries": entries, "more": more, "max_conv_seq": max_conv_seq})
    }

    /// A mark never goes back.
    pub fn mark_read(&mut self, user: u64, args: &Value) -> Value {
        let conv_seq = args["conv_seq"].as_u64().expect("the model wrote it");
        let mark = self.marks.entry((user, conv_of(args))).or_default();
        *mark = conv_seq.max(*mark);
        json!({})
    }

    pub fn unread(&self, user: u64, args: &Value) -> Value {
        let conv = conv_of(args);
        let mark = self.marks.get(&(user, conv)).copied().unwrap_or(0);
        let messages = self.conversations.get(&conv).map_or(&[][..], Vec::as_slice);
        let count = messages.last().map_or(0, |last| last.msg_no);
        let is_read = |message: &&Message| {
            message.conv_seq <= mark || message.sender == user && message.event.is_none()
        };
        let read = messages.iter().rev().find(is_read);
        json!({"mark": mark, "unread": count - read.map_or(0, |message| message.msg_no)})
    }

    pub fn is_blocking(&self, user: u64, peer: u64) -> bool {
        self.blocks.contains(&(user, peer))
    }

    pub fn block(&mut self, user: u64, op: &str, args: &Value) -> Value {
        let peer = args["peer"].as_u64().expect("the model wrote it");
        if op == "block" {
            self.blocks.insert((user, peer));
        } else {
            self.blocks.remove(&(user, peer));
        }
        json!({"seq": 0})
    }

    /// Where some message of the user's is.
    pub fn some_message(&self, user: u64, rng: &mut Rng) -> Option<([u64; 2], u64)> {
        let entries = self.mailboxes[&user].iter().map(|(_, message)| message);
        let own: Vec<&Message> =
            entries.filter(|message| message.sender == user && message.event.is_none()).collect();
        let last = own.len().min(8) as u64;
        let message = own.get(own.len() - rng.below(last.max(1)).min(own.len() as u64) as usize);
        message.or(own.last()).map(|message| (message.conv, message.conv_seq))
    }

    /// `edit` and `recall`: the same message, wherever it is kept, says something else or nothing.
    pub fn change_message(&mut self, user: u64, op: &str, args: &Value) -> Value {
        let (conv, conv_seq) = (conv_of(args), args["conv_seq"].as_u64());
        let is_meant = |message: &&mut Message| {
            message.conv == conv && Some(message.conv_seq) == conv_seq && message.sender == user
        };
        let stored = self.conversations.entry(conv).or_default().iter_mut();
        let kept = self.mailboxes.values_mut().flatten().map(|(_, message)| message);
        let mut result = json!({"code": "NOT_FOUND"});
        for message in stored.chain(kept).filter(is_meant) {
            if message.flags & RECALLED != 0 {
                continue;
            }
            result = json!({"seq": 0});
            (message.hash, message.flags) = match op {
                "recall" => (EMPTY_HASH, message.flags | RECALLED),
                _ => {
                    let hash = args["hash"].as_str().expect("the model wrote it");
                    let hash = u64::from_str_radix(hash, 16).expect("the model wrote it");
                    (hash, message.flags | EDITED)
                }
            };
        }
        result
    }

    pub fn seq_of(&self, user: u64, message: &Message) -> Option<u64> {
        let mailbox = self.mailboxes.get(&user)?;
        mailbox.iter().rev().find(|(_, other)| other.msg_id == message.msg_id).map(|(seq, _)| *seq)
    }

    pub fn entry(&self, user: u64, message: &Message) -> Value {
        render(self.seq_of(user, message).expect("the caller looked"), message)
    }
}

fn render(seq: u64, message: &Message) -> Value {
    let mut entry = json!({
        "seq": seq, "msg_id": message.msg_id, "conv": message.conv,
        "conv_seq": message.conv_seq, "msg_no": message.msg_no, "sender": message.sender,
        "client_msg_id": client_msg_id(message.number), "kind": 1,
        "hash": format!("{:016x}", message.hash), "flags": message.flags,
    });
    if let Some(event) = &message.event {
        entry["client_msg_id"] = "".into();
        entry["kind"] = 100.into();
        entry["group_event"] = event.clone();
    }
    entry
}

fn conv_of(args: &Value) -> [u64; 2] {
    [0, 1].map(|index| args["conv"][index].as_u64().expect("the model wrote it"))
}

pub fn client_msg_id(number: u64) -> String {
    format!("{number:032x}")
}

impl Message {
    /// A message that is not stored yet.
    pub fn new(conv: [u64; 2], sender: u64, number: u64) -> Self {
        let hash = number.wrapping_mul(0x9E37_79B9);
        let (conv_seq, msg_no, msg_id) = (0, 0, 0);
        let (flags, event, owners) = (0, None, vec![]);
        Self { conv, conv_seq, msg_no, msg_id, sender, number, hash, flags, event, owners }
    }
}
