//! Turns lines into the rows of a history: matches completions to invocations, stores each
//! different entry once. Judges only whether a line can be used.

use std::collections::HashMap;

use aldis_wire::{CLEARED, ClientMsgId, ConversationKey, EDITED, GroupId, RECALLED, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::history::{History, LineRef, Problem};
use crate::model::{
    Ack, Attempt, BeyondHead, Body, ContentId, GroupChange, GroupOp, GroupOutcome, HistoryRead,
    Login, MsgNo, Outcome, Push, Seen, SendKey, Span, Stored, Sync, Value, ValueId,
};
use crate::record::{
    Entry, GroupArgs, GroupResult, HistoryArgs, HistoryResult, Line, LoginArgs, LoginResult, Phase,
    PushArgs, PushResult, RefusedResult, SendArgs, SendResult, StoredResult, SyncArgs, SyncResult,
};
use crate::versions;

/// Problems are described up to this many; a wrong file has one per line.
const PROBLEMS_MAX: usize = 100;

/// Bits of an entry's flags with which its content is not what was sent.
const CHANGED: u32 = RECALLED | EDITED | CLEARED;
/// FNV-1a of nothing.
const EMPTY_HASH: &str = "cbf29ce484222325";

/// Why a line cannot be used.
pub(crate) type Fault = String;

/// An invocation that waits for its completion; `args` are those of the invocation.
struct Open {
    op: String,
    start_ns: u64,
    line: LineRef,
    args: Box<str>,
}

/// Builds a history.
#[derive(Default)]
pub struct Reader {
    pub(crate) history: History,
    run: Option<String>,
    processes: HashMap<String, u32>,
    open: HashMap<(u32, u64), Open>,
    value_ids: HashMap<(Value, bool), ValueId>,
    /// Which values were seen changed: what they say is not what was sent.
    changed: Vec<bool>,
    line: LineRef,
}

impl Reader {
    /// The lines that follow are of this file.
    pub fn begin_file(&mut self, name: &str) {
        self.line = LineRef { file: self.history.files.len() as u32, line: 0 };
        self.history.files.push(name.to_owned());
    }

    /// One line; an empty one is skipped.
    pub fn line(&mut self, text: &str) {
        self.line.line += 1;
        if text.trim().is_empty() {
            return;
        }
        let result = serde_json::from_str(text)
            .map_err(|error| format!("no line of a history: {error}"))
            .and_then(|line: Line<'_>| self.handle(&line));
        if let Err(what) = result {
            self.problem(Some(self.line), what);
        }
    }

    /// What is still open has an unknown outcome.
    pub fn finish(mut self) -> History {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by_key(|(_, open)| (open.start_ns, open.line));
        for ((process, _), open) in open {
            self.line = open.line;
            let end_ns = u64::MAX;
            if let Err(what) = self.complete(process, open, Phase::Info, end_ns, None) {
                self.problem(Some(self.line), what);
            }
        }
        let mut history = self.history;
        history.contents = history.values.iter().map(|value| value.body.hash).collect();
        versions::unite(&mut history, &self.changed);
        // Files of several processes: one order for all. Lines of a process stay in their order.
        history.attempts.sort_by_key(|attempt| attempt.span.start_ns);
        history.pushes.sort_by_key(|push| push.span.start_ns);
        history.syncs.sort_by_key(|sync| sync.span.start_ns);
        history.histories.sort_by_key(|read| read.span.start_ns);
        history.logins.sort_by_key(|login| login.span.start_ns);
        history.group_ops.sort_by_key(|op| op.span.start_ns);
        history.marks.sort_by_key(|mark| mark.span.start_ns);
        history.unreads.sort_by_key(|unread| unread.span.start_ns);
        history
    }

    fn problem(&mut self, line: Option<LineRef>, what: String) {
        if self.history.problems.len() < PROBLEMS_MAX {
            self.history.problems.push(Problem { line, what });
        }
    }

    fn handle(&mut self, line: &Line<'_>) -> Result<(), Fault> {
        match &self.run {
            None => self.run = Some(line.run.to_string()),
            Some(run) if *run == line.run => {}
            Some(run) => return Err(format!("run {} among lines of run {run}", line.run)),
        }
        let next = self.processes.len() as u32;
        let process = *self.processes.entry(line.process.to_string()).or_insert(next);
        let args = line.args.map_or("null", RawValue::get);
        if line.phase == Phase::Invoke {
            let open = Open {
                op: line.op.to_string(),
                start_ns: line.t_ns,
                line: self.line,
                args: args.into(),
            };
            return match self.open.insert((process, line.id), open) {
                None => Ok(()),
                Some(_) => Err(format!("id {} is invoked twice", line.id)),
            };
        }
        match &*line.op {
            "push" => return self.push(process, line),
            "stored" => return self.stored(line),
            _ => {}
        }
        let Some(open) = self.open.remove(&(process, line.id)) else {
            return Err(format!("completion of {} without invocation", line.id));
        };
        if open.op != line.op || line.t_ns < open.start_ns {
            return Err(format!("no completion of {} at line {}", open.op, open.line.line));
        }
        self.complete(process, open, line.phase, line.t_ns, line.result)
    }

    fn push(&mut self, process: u32, line: &Line<'_>) -> Result<(), Fault> {
        let args: PushArgs = parse(line.args, "args")?;
        let result: PushResult<'_> = parse(line.result, "result")?;
        let here = self.line;
        let (start_ns, end_ns) = (line.t_ns, line.t_ns);
        let span = Span { start_ns, end_ns, invoke: here, completion: here, process };
        let entries = self.entries(&result.entries)?;
        let (user, stream) = (UserId(args.user), args.stream);
        self.history.pushes.push(Push { span, user, stream, head: result.head, entries });
        Ok(())
    }

    fn complete(
        &mut self,
        process: u32,
        open: Open,
        phase: Phase,
        end_ns: u64,
        result: Option<&RawValue>,
    ) -> Result<(), Fault> {
        let span = Span {
            start_ns: open.start_ns,
            end_ns,
            invoke: open.line,
            completion: self.line,
            process,
        };
        match open.op.as_str() {
            "send" => self.send(span, &open.args, phase, result),
            "group_create" | "group_invite" | "group_leave" | "group_remove" | "group_dissolve" => {
                self.group(span, &open.op, &open.args, phase, result)
            }
            "sync" if phase == Phase::Fail => self.refused_sync(span, &open.args, result),
            "mark_read" => self.mark_read(span, &open.args, phase),
            // What a read that failed would have shown is not known; nothing follows from it.
            "login" | "sync" | "history" | "unread" | "conversations" if phase != Phase::Ok => {
                Ok(())
            }
            "recall" => self.recall(span, &open.args, phase),
            "edit" => self.edit(span, &open.args, phase),
            "block" | "unblock" => self.block(span, &open.op, &open.args, phase),
            "conversations" => self.conversations(span, &open.args, result),
            "unread" => self.unread(span, &open.args, result),
            "login" => self.login(span, &open.args, result),
            "sync" => self.sync(span, &open.args, result),
            "history" => self.read_history(span, &open.args, result),
            other => Err(format!("unknown operation {other}")),
        }
    }

    fn login(&mut self, span: Span, args: &str, result: Option<&RawValue>) -> Result<(), Fault> {
        let args: LoginArgs = parse_text(args, "args")?;
        let result: LoginResult = parse(result, "result")?;
        self.history.logins.push(Login {
            span,
            user: UserId(result.user_id),
            class: args.class,
            session_id: result.session_id,
            head: result.head,
            store_epoch: result.store_epoch,
        });
        Ok(())
    }

    fn send(
        &mut self,
        span: Span,
        args: &str,
        phase: Phase,
        result: Option<&RawValue>,
    ) -> Result<(), Fault> {
        let args: SendArgs<'_> = parse_text(args, "args")?;
        let key = SendKey {
            conv: conversation(args.conv),
            sender: UserId(args.sender),
            client_msg_id: client_msg_id(&args.client_msg_id)?,
        };
        let body = Body { kind: args.kind, hash: hash(&args.hash)? };
        let outcome = outcome(phase, result, |result: SendResult| Ack {
            msg_id: result.msg_id,
            seq: result.seq,
            conv_seq: result.conv_seq,
        })?;
        self.history.attempts.push(Attempt { span, key, body, outcome });
        Ok(())
    }

    fn sync(&mut self, span: Span, args: &str, result: Option<&RawValue>) -> Result<(), Fault> {
        let args: SyncArgs = parse_text(args, "args")?;
        let result: SyncResult<'_> = parse(result, "result")?;
        let entries = self.entries(&result.entries)?;
        self.history.syncs.push(Sync {
            span,
            user: UserId(args.user),
            stream: args.stream,
            skipped_to: result.skipped_to,
            after: args.after,
            limit: args.limit,
            is_final: args.is_final,
            entries,
            head: result.head,
            more: result.more,
        });
        Ok(())
    }

    /// RESYNC says where the head is: below the start of the page.
    fn refused_sync(
        &mut self,
        span: Span,
        args: &str,
        result: Option<&RawValue>,
    ) -> Result<(), Fault> {
        let args: SyncArgs = parse_text(args, "args")?;
        let result: Option<RefusedResult<'_>> = parse(result, "result")?;
        if result.is_some_and(|result| result.code == "RESYNC") {
            let SyncArgs { user, stream, after, .. } = args;
            let user = UserId(user);
            self.history.beyond_heads.push(BeyondHead { span, user, stream, after });
        }
        Ok(())
    }

    fn read_history(
        &mut self,
        span: Span,
        args: &str,
        result: Option<&RawValue>,
    ) -> Result<(), Fault> {
        let args: HistoryArgs = parse_text(args, "args")?;
        let result: HistoryResult<'_> = parse(result, "result")?;
        let entries = self.entries(&result.entries)?;
        self.history.histories.push(HistoryRead {
            span,
            reader: UserId(args.reader),
            conv: conversation(args.conv),
            before: args.before,
            after: args.after,
            limit: args.limit,
            entries,
            more: result.more,
            max_conv_seq: result.max_conv_seq,
        });
        Ok(())
    }

    fn group(
        &mut self,
        span: Span,
        op: &str,
        args: &str,
        phase: Phase,
        result: Option<&RawValue>,
    ) -> Result<(), Fault> {
        let args: GroupArgs<'_> = parse_text(args, "args")?;
        let (actor, group) = (UserId(args.user), GroupId(args.group_id));
        let users = |ids: &[u64]| ids.iter().copied().map(UserId).collect::<Vec<_>>();
        let members = users(&args.member_ids);
        let done = |result: GroupResult| match op {
            "group_create" => {
                let joined = [&[actor], members.as_slice()].concat();
                GroupOutcome { group: GroupId(result.group_id), joined }
            }
            _ => GroupOutcome { group, joined: users(&result.added_ids) },
        };
        let outcome = outcome(phase, result, done)?;
        let change = match op {
            "group_create" => {
                GroupChange::Create { members, request_id: args.request_id.to_string() }
            }
            "group_invite" => GroupChange::Invite { group, members },
            "group_remove" => GroupChange::Remove { group, members },
            "group_dissolve" => GroupChange::Dissolve { group },
            _ => GroupChange::Leave { group },
        };
        self.history.group_ops.push(GroupOp { span, actor, change, outcome });
        Ok(())
    }

    fn stored(&mut self, line: &Line<'_>) -> Result<(), Fault> {
        let result: StoredResult = parse(line.result, "result")?;
        let line = self.line;
        self.history.stored.extend(result.entries.iter().map(|entry| Stored {
            line,
            conv: conversation(entry.conv),
            conv_seq: entry.conv_seq,
            msg_no: entry.msg_no,
            msg_id: entry.msg_id,
            kind: entry.kind,
        }));
        Ok(())
    }

    fn entries(&mut self, entries: &[Entry<'_>]) -> Result<Box<[Seen]>, Fault> {
        entries.iter().map(|entry| self.entry(entry)).collect()
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<Seen, Fault> {
        let client_msg_id = match &*entry.client_msg_id {
            "" => ClientMsgId::default(),
            text => client_msg_id(text)?,
        };
        let conv = conversation(entry.conv);
        let value = Value {
            key: SendKey { conv, sender: UserId(entry.sender), client_msg_id },
            msg_id: entry.msg_id,
            conv_seq: entry.conv_seq,
            body: Body { kind: entry.kind, hash: hash(&entry.hash)? },
            event: entry.group_event.clone(),
        };
        let values = &mut self.history.values;
        let next = u32::try_from(values.len()).map_err(|_| "too many entries".to_owned())?;
        let changed = &mut self.changed;
        let is_changed = entry.flags & CHANGED != 0;
        let id = *self.value_ids.entry((value, is_changed)).or_insert_with_key(|(value, _)| {
            values.push(value.clone());
            changed.push(is_changed);
            ValueId(next)
        });
        let msg_no = MsgNo::new(entry.msg_no).ok_or_else(|| "msg_no is too large".to_owned())?;
        let shows_content = *entry.hash != *EMPTY_HASH;
        let said = ContentId(id.0);
        Ok(Seen { seq: entry.seq, value: id, msg_no, shows_content, said })
    }
}

fn outcome<'a, R: Deserialize<'a>, T>(
    phase: Phase,
    result: Option<&'a RawValue>,
    done: impl FnOnce(R) -> T,
) -> Result<Outcome<T>, Fault> {
    Ok(match phase {
        Phase::Ok => Outcome::Ok(done(parse(result, "result")?)),
        Phase::Fail => Outcome::Fail,
        Phase::Info | Phase::Invoke => Outcome::Info,
    })
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(
    raw: Option<&'a RawValue>,
    what: &str,
) -> Result<T, Fault> {
    parse_text(raw.map_or("null", RawValue::get), what)
}

pub(crate) fn parse_text<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| format!("{what}: {error}"))
}

pub(crate) fn conversation([lo, hi]: [u64; 2]) -> ConversationKey {
    ConversationKey { lo, hi }
}

pub(crate) fn hash(text: &str) -> Result<u64, Fault> {
    u64::from_str_radix(text, 16).map_err(|_| format!("hash {text:?}"))
}

fn client_msg_id(text: &str) -> Result<ClientMsgId, Fault> {
    Ok(ClientMsgId(number_16(text)?.to_be_bytes()))
}

/// 16 bytes, hexadecimal.
pub(crate) fn number_16(text: &str) -> Result<u128, Fault> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    number.ok_or_else(|| format!("16 bytes {text:?}"))
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
