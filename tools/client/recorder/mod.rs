//! Writes what a client did and saw as JSON lines, the format that `aldis check` reads. Knows
//! observations, not sockets; contents appear only as hashes.
//!
//! Each line is `{"run","seed","t_ns","process","node","op","phase","id","args","result"}`; `id`
//! matches a completion to its invocation within a process. `fail` is a definite refusal; `info`
//! leaves open whether the operation took or will take effect.

mod render;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aldis_wire::{ClientMsgId, Code, ConversationKey, GroupId, UserId, pb};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::core::{Observation, Outgoing, Request, RequestNo, Target};

use render::{code_json, entries_json, hex, request_error_json, response_json};
pub use render::{content_hash, conversation_of};

/// A file of history lines that several recorders of one process may share.
#[derive(Clone, Debug)]
pub struct HistoryFile {
    out: Arc<Mutex<BufWriter<File>>>,
    run: Arc<str>,
    seed: u64,
}

impl HistoryFile {
    /// Creates the file, or empties it.
    pub fn create(path: &Path, run: &str, seed: u64) -> io::Result<Self> {
        let out = Arc::new(Mutex::new(BufWriter::new(File::create(path)?)));
        Ok(Self { out, run: run.into(), seed })
    }

    /// Hands the lines to the kernel.
    pub fn flush(&self) -> io::Result<()> {
        self.lock().flush()
    }

    fn lock(&self) -> MutexGuard<'_, BufWriter<File>> {
        // A writer that panicked left at worst one torn line, which the checker reports.
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of an invocation until its completion.
#[derive(Debug)]
struct Open {
    id: u64,
    op: &'static str,
    args: Value,
}

/// A message that is not settled.
#[derive(Debug)]
struct Unsettled {
    args: Value,
    /// Its try that is under way.
    open: Option<u64>,
}

/// Turns one client's observations into lines.
#[derive(Debug)]
pub struct Recorder {
    file: HistoryFile,
    process: String,
    node: String,
    user: u64,
    device: String,
    class: i64,
    next_id: u64,
    login: Option<Open>,
    sends: HashMap<ClientMsgId, Unsettled>,
    requests: HashMap<RequestNo, Open>,
    /// The next sync that the application asks is its last word on what the mailbox holds.
    final_sync: bool,
}

impl Recorder {
    /// `process` must be unique among the recorders of a run; `node` names the server.
    pub fn new(file: &HistoryFile, process: &str, node: &str, device: &str, class: i64) -> Self {
        Self {
            file: file.clone(),
            process: process.to_owned(),
            node: node.to_owned(),
            user: 0,
            device: device.to_owned(),
            class,
            next_id: 1,
            login: None,
            sends: HashMap::new(),
            requests: HashMap::new(),
            final_sync: false,
        }
    }

    /// Another server of the same installation answers from now on.
    pub fn set_node(&mut self, node: String) {
        self.node = node;
    }

    /// Marks the syncs that begin from now on as final, or no longer.
    pub fn set_final_sync(&mut self, is_final: bool) {
        self.final_sync = is_final;
    }

    /// Writes the lines of one observation.
    pub fn record(&mut self, observation: &Observation) -> io::Result<()> {
        match observation {
            Observation::LoginSent { user } => {
                let args = json!({"user": user, "class": self.class, "device": self.device});
                let open = self.invoke("login", args)?;
                self.login = Some(open);
                Ok(())
            }
            Observation::LoginDone(result) => self.login_done(result),
            Observation::LoginLost => {
                let Some(open) = self.login.take() else { return Ok(()) };
                self.complete(open, "info", Value::Null)
            }
            Observation::SendSent(message) => {
                let sent = Unsettled { args: self.send_args(message), open: None };
                self.try_send(message.client_msg_id, sent)
            }
            Observation::SendAgain(id) => match self.sends.remove(id) {
                Some(sent) => self.try_send(*id, sent),
                None => Ok(()),
            },
            Observation::SendRefused { client_msg_id, code } => {
                self.end_try(*client_msg_id, phase_of(*code), code_json(*code))
            }
            Observation::SendLost(id) => self.end_try(*id, "info", Value::Null),
            Observation::SendDone { client_msg_id, result } => {
                self.send_done(*client_msg_id, result)
            }
            Observation::Push(push) => self.push(push),
            Observation::RequestSent(no, request) => {
                let Some((op, args)) = self.request_args(request) else { return Ok(()) };
                let open = self.invoke(op, args)?;
                self.requests.insert(*no, open);
                Ok(())
            }
            Observation::RequestDone(no, result) => {
                let Some(open) = self.requests.remove(no) else { return Ok(()) };
                match result {
                    Ok(response) => self.complete(open, "ok", response_json(response)),
                    Err(error) => {
                        let phase = if error.is_definite() { "fail" } else { "info" };
                        self.complete(open, phase, request_error_json(error))
                    }
                }
            }
        }
    }

    /// Hands the lines to the kernel.
    pub fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }

    fn login_done(&mut self, result: &Result<Box<pb::LoginResp>, Code>) -> io::Result<()> {
        let Some(open) = self.login.take() else { return Ok(()) };
        match result {
            Ok(resp) => {
                self.user = resp.user_id;
                let mailbox = resp.heads.iter().find(|head| head.stream == 0);
                let result = json!({
                    "user_id": resp.user_id,
                    "session_id": resp.session_id,
                    "head": mailbox.map_or(0, |head| head.head),
                    "store_epoch": resp.store_epoch,
                });
                self.complete(open, "ok", result)
            }
            Err(code) => self.complete(open, phase_of(*code), code_json(*code)),
        }
    }

    /// Each try is an operation of its own: what it was answered says nothing of the others.
    fn try_send(&mut self, id: ClientMsgId, sent: Unsettled) -> io::Result<()> {
        self.end_try_of(&sent, "info", &Value::Null)?;
        let Open { id: open, args, .. } = self.invoke("send", sent.args)?;
        self.sends.insert(id, Unsettled { args, open: Some(open) });
        Ok(())
    }

    fn end_try(&mut self, id: ClientMsgId, phase: &str, result: Value) -> io::Result<()> {
        let Some(mut sent) = self.sends.remove(&id) else { return Ok(()) };
        self.end_try_of(&sent, phase, &result)?;
        sent.open = None;
        self.sends.insert(id, sent);
        Ok(())
    }

    fn end_try_of(&self, sent: &Unsettled, phase: &str, result: &Value) -> io::Result<()> {
        let Some(open) = sent.open else { return Ok(()) };
        self.line("send", phase, open, &sent.args, result)
    }

    fn send_done(
        &mut self,
        id: ClientMsgId,
        result: &Result<pb::MsgSendResp, (Code, bool)>,
    ) -> io::Result<()> {
        let Some(sent) = self.sends.remove(&id) else { return Ok(()) };
        match result {
            Ok(ack) => {
                let result = json!({
                    "msg_id": ack.msg_id,
                    "seq": ack.seq,
                    "conv_seq": ack.conv_seq,
                    "time_ms": ack.send_time_ms,
                });
                self.end_try_of(&sent, "ok", &result)
            }
            // Earlier tries have lines of their own, which say what is not known of them.
            Err((code, _)) => self.end_try_of(&sent, phase_of(*code), &code_json(*code)),
        }
    }

    fn push(&mut self, push: &pb::MsgPushNotify) -> io::Result<()> {
        let args = json!({"user": self.user, "stream": push.stream});
        let result = json!({"head": push.head, "entries": entries_json(&push.entries)});
        let id = self.take_id();
        self.line("push", "ok", id, &args, &result)
    }

    fn send_args(&self, message: &Outgoing) -> Value {
        let sender = UserId(self.user);
        let conv = match message.target {
            Target::User(user) => ConversationKey::direct(sender, user),
            Target::Group(group) => ConversationKey::group(group),
        };
        json!({
            "conv": [conv.lo, conv.hi],
            "sender": self.user,
            "client_msg_id": hex(&message.client_msg_id.0),
            "kind": message.kind as i32,
            "hash": content_hash(&message.content),
        })
    }

    /// `None`: not an operation of histories.
    fn request_args(&self, request: &Request) -> Option<(&'static str, Value)> {
        let recorded = match request {
            Request::MsgSync(req) => {
                let args = json!({
                    "user": self.user, "stream": req.stream, "after": req.after_seq,
                    "limit": req.limit, "final": self.final_sync,
                });
                ("sync", args)
            }
            Request::History(req) => {
                let conv = self.conversation(req.receiver_id, req.group_id);
                let args = json!({
                    "reader": self.user, "conv": [conv.lo, conv.hi],
                    "before": req.before_conv_seq, "after": req.after_conv_seq,
                    "limit": req.limit,
                });
                ("history", args)
            }
            Request::ConversationList(_) => ("conversations", json!({"user": self.user})),
            Request::MarkRead(req) => {
                ("mark_read", self.place_args(req.receiver_id, req.group_id, req.conv_seq))
            }
            Request::Recall(req) => {
                ("recall", self.place_args(req.receiver_id, req.group_id, req.conv_seq))
            }
            Request::Edit(req) => {
                let mut args = self.place_args(req.receiver_id, req.group_id, req.conv_seq);
                args["request_id"] = hex(&req.request_id).into();
                args["hash"] = content_hash(&req.content).into();
                ("edit", args)
            }
            Request::Block(req) => ("block", json!({"user": self.user, "peer": req.user_id})),
            Request::Unblock(req) => ("unblock", json!({"user": self.user, "peer": req.user_id})),
            Request::GroupCreate(req) => {
                let args = json!({
                    "user": self.user, "name": req.name, "member_ids": req.member_ids,
                    "request_id": hex(&req.request_id),
                });
                ("group_create", args)
            }
            Request::GroupInvite(req) => {
                let args = json!({
                    "user": self.user, "group_id": req.group_id, "member_ids": req.member_ids,
                });
                ("group_invite", args)
            }
            Request::GroupLeave(req) => {
                ("group_leave", json!({"user": self.user, "group_id": req.group_id}))
            }
            Request::GroupRemove(req) => {
                let args = json!({
                    "user": self.user, "group_id": req.group_id, "member_ids": req.user_ids,
                });
                ("group_remove", args)
            }
            Request::GroupDissolve(req) => {
                ("group_dissolve", json!({"user": self.user, "group_id": req.group_id}))
            }
            _ => return None,
        };
        Some(recorded)
    }

    fn conversation(&self, receiver_id: u64, group_id: u64) -> ConversationKey {
        match group_id {
            0 => ConversationKey::direct(UserId(self.user), UserId(receiver_id)),
            group => ConversationKey::group(GroupId(group)),
        }
    }

    fn place_args(&self, receiver_id: u64, group_id: u64, conv_seq: u64) -> Value {
        let conv = self.conversation(receiver_id, group_id);
        json!({"user": self.user, "conv": [conv.lo, conv.hi], "conv_seq": conv_seq})
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn invoke(&mut self, op: &'static str, args: Value) -> io::Result<Open> {
        let id = self.take_id();
        self.line(op, "invoke", id, &args, &Value::Null)?;
        Ok(Open { id, op, args })
    }

    fn complete(&mut self, open: Open, phase: &str, result: Value) -> io::Result<()> {
        self.line(open.op, phase, open.id, &open.args, &result)
    }

    fn line(&self, op: &str, phase: &str, id: u64, args: &Value, result: &Value) -> io::Result<()> {
        let now = clock_gettime(ClockId::Monotonic);
        let t_ns = (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64;
        let line = json!({
            "run": &*self.file.run, "seed": self.file.seed, "t_ns": t_ns,
            "process": self.process, "node": self.node,
            "op": op, "phase": phase, "id": id, "args": args, "result": result,
        });
        let mut out = self.file.lock();
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }
}

fn phase_of(code: Code) -> &'static str {
    if code.is_definite() { "fail" } else { "info" }
}
