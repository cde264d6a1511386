//! The history of a run in the format of aldis-check, with virtual time. Knows what clients saw,
//! nothing of the server.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aldis_client::core::{Observation, Outgoing, Request, RequestError, RequestNo, Response};
use aldis_client::recorder::{content_hash, conversation_of};
use aldis_wire::{ClientMsgId, Code, ConversationKey, GroupId, Message as _, UserId, pb};

use crate::ledger;

/// The lines of a run.
#[derive(Debug, Default)]
pub struct Lines {
    /// JSON, one object a line.
    pub text: String,
    seed: u64,
    last_ns: u64,
}

impl Lines {
    /// Of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}

/// What is kept of an invocation until its completion.
#[derive(Debug)]
struct Open {
    id: u64,
    op: &'static str,
    args: String,
}

/// Turns the observations of one process into lines.
#[derive(Debug)]
pub struct Recorder {
    process: String,
    class: i64,
    user: u64,
    next_id: u64,
    login: Option<Open>,
    sends: BTreeMap<ClientMsgId, Open>,
    requests: BTreeMap<RequestNo, Open>,
    /// Syncs from now on are the last word on what the mailbox holds.
    pub final_sync: bool,
}

impl Recorder {
    /// `process` is unique in the run.
    pub fn new(process: String, class: i64, user: u64) -> Self {
        Self {
            process,
            class,
            user,
            next_id: 1,
            login: None,
            sends: BTreeMap::new(),
            requests: BTreeMap::new(),
            final_sync: false,
        }
    }

    /// Writes the lines of one observation at this time, us.
    pub fn record(&mut self, lines: &mut Lines, now_us: u64, observation: &Observation) {
        lines.last_ns = (lines.last_ns + 1).max(now_us * 1_000);
        match observation {
            Observation::LoginSent { user } => {
                let args = format!(r#"{{"user":"{user}","class":{}}}"#, self.class);
                self.login = Some(self.invoke(lines, "login", args));
            }
            Observation::LoginDone(result) => {
                let Some(open) = self.login.take() else { return };
                match result {
                    Ok(resp) => {
                        self.user = resp.user_id;
                        let head = resp.heads.iter().find(|head| head.stream == 0);
                        let result = format!(
                            r#"{{"user_id":{},"session_id":{},"head":{},"store_epoch":{}}}"#,
                            resp.user_id,
                            resp.session_id,
                            head.map_or(0, |head| head.head),
                            resp.store_epoch
                        );
                        self.complete(lines, &open, "ok", &result);
                    }
                    Err(code) => self.complete(lines, &open, phase_of(*code, false), "null"),
                }
            }
            Observation::LoginLost => {
                let Some(open) = self.login.take() else { return };
                self.complete(lines, &open, "info", "null");
            }
            Observation::SendSent(message) => {
                let args = self.send_args(message);
                let open = self.invoke(lines, "send", args);
                self.sends.insert(message.client_msg_id, open);
            }
            // `record_repeat` writes the further tries, which the simulation knows of by itself.
            Observation::SendAgain(_)
            | Observation::SendRefused { .. }
            | Observation::SendLost(_) => {}
            Observation::SendDone { client_msg_id, result } => {
                let Some(open) = self.sends.remove(client_msg_id) else { return };
                match result {
                    Ok(ack) => {
                        let result = format!(
                            r#"{{"msg_id":{},"seq":{},"conv_seq":{}}}"#,
                            ack.msg_id, ack.seq, ack.conv_seq
                        );
                        self.complete(lines, &open, "ok", &result);
                    }
                    Err((code, maybe)) => {
                        self.complete(lines, &open, phase_of(*code, *maybe), "null");
                    }
                }
            }
            Observation::Push(push) => {
                let args = format!(r#"{{"user":{},"stream":{}}}"#, self.user, push.stream);
                let entries = entries_json(&push.entries);
                let result = format!(r#"{{"head":{},"entries":{entries}}}"#, push.head);
                let id = self.next_id;
                self.next_id += 1;
                self.line(lines, "push", "ok", id, &args, &result);
            }
            Observation::RequestSent(no, request) => {
                let Some((op, args)) = self.request_args(request) else { return };
                let open = self.invoke(lines, op, args);
                self.requests.insert(*no, open);
            }
            Observation::RequestDone(no, result) => {
                let Some(open) = self.requests.remove(no) else { return };
                match result {
                    Ok(response) => self.complete(lines, &open, "ok", &response_json(response)),
                    Err(RequestError::Refused { code, .. }) => {
                        self.complete(lines, &open, phase_of(*code, false), "null");
                    }
                    Err(RequestError::Lost) => self.complete(lines, &open, "info", "null"),
                }
            }
        }
    }

    /// A message that was on the wire of a connection that ended goes out again: another try.
    pub fn record_repeat(&mut self, lines: &mut Lines, now_us: u64, id: ClientMsgId) {
        let Some(open) = self.sends.remove(&id) else { return };
        lines.last_ns = (lines.last_ns + 1).max(now_us * 1_000);
        self.complete(lines, &open, "info", "null");
        let open = self.invoke(lines, "send", open.args);
        self.sends.insert(id, open);
    }

    fn send_args(&self, message: &Outgoing) -> String {
        let conv = ledger::conversation_of(UserId(self.user), message.target);
        format!(
            r#"{{"conv":[{},{}],"sender":{},"client_msg_id":"{}","kind":{},"hash":"{}"}}"#,
            conv.lo,
            conv.hi,
            self.user,
            hex(&message.client_msg_id.0),
            message.kind as i32,
            content_hash(&message.content)
        )
    }

    /// `None`: not an operation of histories.
    fn request_args(&self, request: &Request) -> Option<(&'static str, String)> {
        let user = self.user;
        Some(match request {
            Request::MsgSync(req) => {
                let (stream, after, limit) = (req.stream, req.after_seq, req.limit);
                let is_final = self.final_sync;
                let args = format!(
                    r#"{{"user":{user},"stream":{stream},"after":{after},"limit":{limit},"final":{is_final}}}"#
                );
                ("sync", args)
            }
            Request::History(req) => {
                let conv = self.conversation(req.receiver_id, req.group_id);
                let (before, after) = (req.before_conv_seq, req.after_conv_seq);
                let (lo, hi, limit) = (conv.lo, conv.hi, req.limit);
                let args = format!(
                    r#"{{"reader":{user},"conv":[{lo},{hi}],"before":{before},"after":{after},"limit":{limit}}}"#
                );
                ("history", args)
            }
            Request::GroupCreate(req) => {
                let (members, id) = (&req.member_ids, hex(&req.request_id));
                let args =
                    format!(r#"{{"user":{user},"member_ids":{members:?},"request_id":"{id}"}}"#);
                ("group_create", args)
            }
            Request::GroupInvite(req) => {
                let (group, members) = (req.group_id, &req.member_ids);
                let args =
                    format!(r#"{{"user":{user},"group_id":{group},"member_ids":{members:?}}}"#);
                ("group_invite", args)
            }
            Request::GroupLeave(req) => {
                ("group_leave", format!(r#"{{"user":{user},"group_id":{}}}"#, req.group_id))
            }
            Request::GroupRemove(req) => {
                let (group, members) = (req.group_id, &req.user_ids);
                let args =
                    format!(r#"{{"user":{user},"group_id":{group},"member_ids":{members:?}}}"#);
                ("group_remove", args)
            }
            Request::GroupDissolve(req) => {
                ("group_dissolve", format!(r#"{{"user":{user},"group_id":{}}}"#, req.group_id))
            }
            Request::Recall(req) => {
                let conv = self.conversation(req.receiver_id, req.group_id);
                (
                    "recall",
                    format!(r#"{{"conv":[{},{}],"conv_seq":{}}}"#, conv.lo, conv.hi, req.conv_seq),
                )
            }
            Request::Edit(req) => {
                let conv = self.conversation(req.receiver_id, req.group_id);
                let (id, hash) = (hex(&req.request_id), content_hash(&req.content));
                let (lo, hi, conv_seq) = (conv.lo, conv.hi, req.conv_seq);
                let args = format!(
                    r#"{{"conv":[{lo},{hi}],"conv_seq":{conv_seq},"request_id":"{id}","hash":"{hash}"}}"#
                );
                ("edit", args)
            }
            Request::Block(req) => ("block", self.peer_args(req.user_id)),
            Request::Unblock(req) => ("unblock", self.peer_args(req.user_id)),
            _ => return None,
        })
    }

    fn conversation(&self, receiver_id: u64, group_id: u64) -> ConversationKey {
        match group_id {
            0 => ConversationKey::direct(UserId(self.user), UserId(receiver_id)),
            group => ConversationKey::group(GroupId(group)),
        }
    }

    fn peer_args(&self, peer: u64) -> String {
        format!(r#"{{"user":{},"peer":{peer}}}"#, self.user)
    }

    fn invoke(&mut self, lines: &mut Lines, op: &'static str, args: String) -> Open {
        let id = self.next_id;
        self.next_id += 1;
        self.line(lines, op, "invoke", id, &args, "null");
        Open { id, op, args }
    }

    fn complete(&self, lines: &mut Lines, open: &Open, phase: &str, result: &str) {
        self.line(lines, open.op, phase, open.id, &open.args, result);
    }

    fn line(&self, lines: &mut Lines, op: &str, phase: &str, id: u64, args: &str, result: &str) {
        let (seed, t_ns, process) = (lines.seed, lines.last_ns, &self.process);
        // Writing to a string cannot fail.
        let _ = writeln!(
            lines.text,
            r#"{{"run":"sim","seed":{seed},"t_ns":{t_ns},"process":"{process}","node":"sim","op":"{op}","phase":"{phase}","id":{id},"args":{args},"result":{result}}}"#
        );
    }
}

fn phase_of(code: Code, maybe_committed: bool) -> &'static str {
    if code.is_definite() && !maybe_committed { "fail" } else { "info" }
}

fn response_json(response: &Response) -> String {
    match response {
        Response::MsgSync(page) => {
            let entries = entries_json(&page.entries);
            let pb::MsgSyncResp { head, more, skipped_to, .. } = page;
            format!(
                r#"{{"entries":{entries},"head":{head},"more":{more},"skipped_to":{skipped_to}}}"#
            )
        }
        Response::History(page) => {
            let (entries, more, max) = (entries_json(&page.entries), page.more, page.max_conv_seq);
            format!(r#"{{"entries":{entries},"more":{more},"max_conv_seq":{max}}}"#)
        }
        Response::GroupCreate(resp) => format!(r#"{{"group_id":{}}}"#, resp.group_id),
        Response::GroupInvite(resp) => format!(r#"{{"added_ids":{:?}}}"#, resp.added_ids),
        Response::GroupLeave(_) | Response::GroupRemove(_) | Response::GroupDissolve(_) => {
            "{}".to_owned()
        }
        _ => "null".to_owned(),
    }
}

fn entries_json(entries: &[pb::MessageData]) -> String {
    let entries: Vec<String> = entries.iter().map(entry_json).collect();
    format!("[{}]", entries.join(","))
}

fn entry_json(entry: &pb::MessageData) -> String {
    let conv = conversation_of(entry);
    let event = match pb::GroupEvent::decode(entry.content.clone()) {
        Ok(event) if entry.r#type == pb::MsgType::SystemGroup as i32 => {
            format!(r#","group_event":{{"kind":{},"user_ids":{:?}}}"#, event.kind, event.user_ids)
        }
        _ => String::new(),
    };
    format!(
        r#"{{"seq":{},"msg_id":{},"conv":[{},{}],"conv_seq":{},"sender":{},"client_msg_id":"{}","kind":{},"hash":"{}","flags":{}{event}}}"#,
        entry.seq,
        entry.msg_id,
        conv.lo,
        conv.hi,
        entry.conv_seq,
        entry.sender_id,
        hex(&entry.client_msg_id),
        entry.r#type,
        content_hash(&entry.content),
        entry.flags
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
