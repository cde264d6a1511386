//! The format of a history: one JSON object per line. Knows the fields, not what they mean.
//!
//! `{"run","seed","t_ns","process","node","op","phase","id","args","result"}`. `phase` is
//! `invoke`, then one of `ok`, `fail` (a definite refusal: nothing happened) and `info` (it may
//! have happened, or may yet); an invocation without completion counts as `info`. `id` matches
//! the two within a process. `t_ns` is comparable among the processes of a run. A push is a
//! single `ok` line. Users, groups and positions are numbers; client ids and hashes are
//! hexadecimal; a conversation is `[0, group]` or `[lower user, higher user]`. `t_ns` comes from one
//! clock: all processes of a run are on one machine and take it from `CLOCK_MONOTONIC`, when an
//! operation begins before it can have an effect, when it ends after its answer was read.
//!
//! Operations are `login`, `send`, `push`, `sync`, `history`, `group_create`, `group_invite`,
//! `group_leave`, `group_remove`, `group_dissolve`, `mark_read`, `unread`, `conversations`, `recall`,
//! `edit`, `block`, `unblock` and `stored`; arguments and results are the types below. The arguments that count are those of the invocation. `stored` is a
//! single `ok` line like `push`: what a test found in the database itself.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One line.
#[derive(Debug, Deserialize)]
pub struct Line<'a> {
    /// Which run of a test; all lines that are checked together have the same.
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// Monotonic time, ns.
    pub t_ns: u64,
    /// Who recorded it: one client, unique in the run.
    #[serde(borrow)]
    pub process: Cow<'a, str>,
    /// What was done.
    #[serde(borrow)]
    pub op: Cow<'a, str>,
    /// How far it is.
    pub phase: Phase,
    /// Matches a completion to its invocation within a process.
    #[serde(default)]
    pub id: u64,
    /// As the operation needs.
    #[serde(borrow, default)]
    pub args: Option<&'a RawValue>,
    /// As the operation gives.
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Begun.
    Invoke,
    /// Done; `result` holds.
    Ok,
    /// Refused; it had no effect.
    Fail,
    /// Unknown; it may have an effect, now or later.
    Info,
}

/// Arguments of `login`; `device` and others are not looked at.
#[derive(Debug, Deserialize)]
pub struct LoginArgs {
    /// Number of the device class.
    #[serde(default)]
    pub class: i64,
}

/// Result of `login`.
#[derive(Debug, Deserialize)]
pub struct LoginResult {
    /// Who.
    pub user_id: u64,
    /// Epoch of the session.
    pub session_id: u64,
    /// Of the mailbox.
    pub head: u64,
    /// Of the store.
    pub store_epoch: u64,
}

/// Arguments of `send`.
#[derive(Debug, Deserialize)]
pub struct SendArgs<'a> {
    /// Where.
    pub conv: [u64; 2],
    /// Who.
    pub sender: u64,
    /// 16 bytes, hexadecimal.
    #[serde(borrow)]
    pub client_msg_id: Cow<'a, str>,
    /// Number of the message type.
    pub kind: i64,
    /// FNV-1a, 64 bits, of the content.
    #[serde(borrow)]
    pub hash: Cow<'a, str>,
}

/// Result of `send`.
#[derive(Debug, Deserialize)]
pub struct SendResult {
    /// Unique.
    pub msg_id: u64,
    /// In the sender's mailbox; 0: unknown yet.
    pub seq: u64,
    /// In the conversation.
    pub conv_seq: u64,
}

/// One entry as a reader saw it.
#[derive(Debug, Deserialize)]
pub struct Entry<'a> {
    /// In the reader's mailbox; 0 in `history`.
    #[serde(default)]
    pub seq: u64,
    /// Unique.
    pub msg_id: u64,
    /// Where.
    pub conv: [u64; 2],
    /// Position there.
    pub conv_seq: u64,
    /// Who.
    pub sender: u64,
    /// As sent; empty for the server's own entries.
    #[serde(borrow)]
    pub client_msg_id: Cow<'a, str>,
    /// Number of the message type.
    pub kind: i64,
    /// FNV-1a, 64 bits, of the content.
    #[serde(borrow)]
    pub hash: Cow<'a, str>,
    /// Messages of the conversation at or below its position, if the server says.
    #[serde(default)]
    pub msg_no: Option<u64>,
    /// What became of it, as the protocol counts the bits; with any of them the content is not what
    /// was sent.
    #[serde(default)]
    pub flags: u32,
    /// What a system entry says.
    #[serde(default)]
    pub group_event: Option<GroupEvent>,
}

/// What a system entry of a group says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct GroupEvent {
    /// Number of the event.
    pub kind: i64,
    /// Whom it concerns.
    pub user_ids: Vec<u64>,
}

/// Arguments of `push`.
#[derive(Debug, Deserialize)]
pub struct PushArgs {
    /// Whose mailbox, or who reads.
    pub user: u64,
    /// 0: the mailbox; else the stream of this group.
    #[serde(default)]
    pub stream: u64,
}

/// Result of `push`.
#[derive(Debug, Deserialize)]
pub struct PushResult<'a> {
    /// Of the stream.
    pub head: u64,
    /// What was pushed; none: a hint.
    #[serde(borrow)]
    pub entries: Vec<Entry<'a>>,
}

/// Arguments of `sync`.
#[derive(Debug, Deserialize)]
pub struct SyncArgs {
    /// Whose mailbox, or who reads.
    pub user: u64,
    /// 0: the mailbox; else the stream of this group.
    #[serde(default)]
    pub stream: u64,
    /// Above this.
    pub after: u64,
    /// At most so many; 0: the server's limit.
    #[serde(default)]
    pub limit: u64,
    /// The reader's last word, after load has stopped and faults have healed.
    #[serde(default, rename = "final")]
    pub is_final: bool,
}

/// Result of `sync`.
#[derive(Debug, Deserialize)]
pub struct SyncResult<'a> {
    /// The page.
    #[serde(borrow)]
    pub entries: Vec<Entry<'a>>,
    /// Of the stream.
    pub head: u64,
    /// Whether another page follows.
    pub more: bool,
    /// Of a stream, if the page begins above what is not there for the reader.
    #[serde(default)]
    pub skipped_to: u64,
}

/// Result of what was refused; of use where the code says something of the store.
#[derive(Debug, Default, Deserialize)]
pub struct RefusedResult<'a> {
    /// Name of the code.
    #[serde(borrow, default)]
    pub code: Cow<'a, str>,
}

/// Arguments of `history`.
#[derive(Debug, Deserialize)]
pub struct HistoryArgs {
    /// Who reads.
    pub reader: u64,
    /// What.
    pub conv: [u64; 2],
    /// Below this; 0: not asked.
    #[serde(default)]
    pub before: u64,
    /// Above this; 0: not asked.
    #[serde(default)]
    pub after: u64,
    /// At most so many; 0: the server's default.
    #[serde(default)]
    pub limit: u64,
}

/// Result of `history`.
#[derive(Debug, Deserialize)]
pub struct HistoryResult<'a> {
    /// The page.
    #[serde(borrow)]
    pub entries: Vec<Entry<'a>>,
    /// Whether there are more in the direction asked.
    pub more: bool,
    /// Highest that the reader may see.
    pub max_conv_seq: u64,
}

/// Arguments of all changes of groups.
#[derive(Debug, Deserialize)]
pub struct GroupArgs<'a> {
    /// Who.
    pub user: u64,
    /// Which; 0 when creating.
    #[serde(default)]
    pub group_id: u64,
    /// Whom; none when leaving and dissolving.
    #[serde(default)]
    pub member_ids: Vec<u64>,
    /// When creating: a repeat with the same returns the same group.
    #[serde(borrow, default)]
    pub request_id: Cow<'a, str>,
}

/// Results of all changes of groups.
#[derive(Debug, Deserialize)]
pub struct GroupResult {
    /// Of a creation.
    #[serde(default)]
    pub group_id: u64,
    /// Of an invitation: those who were no members before.
    #[serde(default)]
    pub added_ids: Vec<u64>,
}

/// Arguments of `mark_read`.
#[derive(Debug, Deserialize)]
pub struct MarkReadArgs {
    /// Who.
    pub user: u64,
    /// Where.
    pub conv: [u64; 2],
    /// Everything up to this position was read.
    pub conv_seq: u64,
}

/// Arguments of `unread`: a conversation of a list, or asked for alone.
#[derive(Debug, Deserialize)]
pub struct UnreadArgs {
    /// Who.
    pub user: u64,
    /// Where.
    pub conv: [u64; 2],
}

/// Result of `unread`.
#[derive(Debug, Deserialize)]
pub struct UnreadResult {
    /// Position of the user's read mark.
    pub mark: u64,
    /// Messages above it, and above the user's own newest one.
    pub unread: u64,
}

/// Arguments of `conversations`.
#[derive(Debug, Deserialize)]
pub struct ConversationsArgs {
    /// Whose.
    pub user: u64,
}

/// Result of `conversations`: a page of a user's list.
#[derive(Debug, Deserialize)]
pub struct ConversationsResult {
    /// As `unread` says it of each.
    pub conversations: Vec<ListedConversation>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub struct ListedConversation {
    /// Of a 1:1 conversation: the other one.
    #[serde(default)]
    pub receiver_id: u64,
    /// Of a group.
    #[serde(default)]
    pub group_id: u64,
    /// Position of the user's read mark, or up to where the history is cleared, if that is higher.
    pub mark: u64,
    /// Messages above it, and above the user's own newest one.
    pub unread: u64,
}

/// Arguments of `recall`; what is answered is not looked at.
#[derive(Debug, Deserialize)]
pub struct RecallArgs {
    /// Where.
    pub conv: [u64; 2],
    /// Which position.
    pub conv_seq: u64,
}

/// Arguments of `edit`; what is answered is not looked at.
#[derive(Debug, Deserialize)]
pub struct EditArgs<'a> {
    /// Where.
    pub conv: [u64; 2],
    /// Which position.
    pub conv_seq: u64,
    /// A repeat with the same changes nothing.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// FNV-1a, 64 bits, of what it says from then on.
    #[serde(borrow)]
    pub hash: Cow<'a, str>,
}

/// Arguments of `block` and `unblock`; what is answered is not looked at.
#[derive(Debug, Deserialize)]
pub struct BlockArgs {
    /// Who.
    pub user: u64,
    /// Whom.
    pub peer: u64,
}

/// Result of `stored`; there are no arguments.
#[derive(Debug, Deserialize)]
pub struct StoredResult {
    /// Some rows, or all.
    pub entries: Vec<StoredEntry>,
}

/// An entry of a conversation as a row of the store.
#[derive(Debug, Deserialize)]
pub struct StoredEntry {
    /// Where.
    pub conv: [u64; 2],
    /// Position there.
    pub conv_seq: u64,
    /// Messages at or below it.
    pub msg_no: u64,
    /// Unique.
    pub msg_id: u64,
    /// Number of the message type.
    pub kind: i64,
}
