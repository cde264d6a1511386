//! A history in memory: small rows, what repeats is stored once. Data only.

use std::fmt;
use std::num::NonZeroU32;

use aldis_wire::{ClientMsgId, ConversationKey, GroupId, UserId};

use crate::history::LineRef;
use crate::record::GroupEvent;

/// `MsgType::SystemGroup`.
pub const KIND_SYSTEM_GROUP: i64 = 100;
/// Whether an entry of this type is somebody's message; the others are the server's own.
pub fn is_message(kind: i64) -> bool {
    kind < KIND_SYSTEM_GROUP
}

/// `GroupEventKind::GroupCreated`.
pub const EVENT_CREATED: i64 = 1;
/// `GroupEventKind::MembersJoined`.
pub const EVENT_JOINED: i64 = 2;
/// `GroupEventKind::MemberLeft`.
pub const EVENT_LEFT: i64 = 3;
/// `GroupEventKind::MembersRemoved`.
pub const EVENT_REMOVED: i64 = 4;
/// `GroupEventKind::GroupDissolved`.
pub const EVENT_DISSOLVED: i64 = 11;

/// What the client chose to identify a message: (conversation, sender, client_msg_id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendKey {
    /// Where.
    pub conv: ConversationKey,
    /// Who.
    pub sender: UserId,
    /// All zero for the server's own entries.
    pub client_msg_id: ClientMsgId,
}

impl fmt::Display for SendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, .., y, z] = self.client_msg_id.0;
        write!(
            f,
            "message {a:02x}{b:02x}{c:02x}{d:02x}..{y:02x}{z:02x} of user {} in {}",
            self.sender,
            Conv(self.conv)
        )
    }
}

/// A conversation as people read it.
pub struct Conv(pub ConversationKey);

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_group() {
            Some(group) => write!(f, "group {group}"),
            None => write!(f, "conversation {}-{}", self.0.lo, self.0.hi),
        }
    }
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Body {
    /// Number of the message type.
    pub kind: i64,
    /// Of the content.
    pub hash: u64,
}

/// An entry as seen, without the reader's seq: one row however many readers saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// Whose message where.
    pub key: SendKey,
    /// Unique.
    pub msg_id: u64,
    /// Position in the conversation.
    pub conv_seq: u64,
    /// What it says.
    pub body: Body,
    /// What it says about the group's members.
    pub event: Option<GroupEvent>,
}

/// Index of a `Value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// One entry of a page or push.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// In the reader's mailbox; 0 in `history`.
    pub seq: u64,
    /// What was seen.
    pub value: ValueId,
    /// What it was said to be; no part of the value, because not every path says it.
    pub msg_no: MsgNo,
    /// It said something. No part of the value, because a recall takes it away.
    pub shows_content: bool,
    /// What it said.
    pub said: ContentId,
}

/// Index of a content that an entry was seen with: the value it had before all its versions became
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentId(pub u32);

/// Messages at or below an entry, if that was said. Small, because a history has one for each time
/// that somebody saw an entry: one more than the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsgNo(Option<NonZeroU32>);

impl MsgNo {
    /// `None` where the number is larger than any history can be.
    pub fn new(number: Option<u64>) -> Option<Self> {
        let Some(number) = number else { return Some(Self(None)) };
        let plus_one = u32::try_from(number).ok()?.checked_add(1)?;
        Some(Self(NonZeroU32::new(plus_one)))
    }

    /// The number, if it was said.
    pub fn number(self) -> Option<u64> {
        self.0.map(|plus_one| u64::from(plus_one.get()) - 1)
    }
}

/// When an operation began and ended, and where that is written.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Its invocation; of a push: its arrival.
    pub start_ns: u64,
    /// Its completion; `u64::MAX` where nothing is known.
    pub end_ns: u64,
    /// Line of the invocation.
    pub invoke: LineRef,
    /// Line of the completion, or the invocation's again.
    pub completion: LineRef,
    /// Who recorded it: an index of process names.
    pub process: u32,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Done.
    Ok(T),
    /// Refused, without effect.
    Fail,
    /// Unknown.
    Info,
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Unique.
    pub msg_id: u64,
    /// In the sender's mailbox; 0: unknown yet.
    pub seq: u64,
    /// In the conversation.
    pub conv_seq: u64,
}

/// One try to send a message.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// When.
    pub span: Span,
    /// Which message.
    pub key: SendKey,
    /// What it says.
    pub body: Body,
    /// What came of it.
    pub outcome: Outcome<Ack>,
}

/// A push: what a server said without being asked.
#[derive(Clone, Debug)]
pub struct Push {
    /// When.
    pub span: Span,
    /// Whose mailbox, or to whom.
    pub user: UserId,
    /// 0: the mailbox; else the stream of this group.
    pub stream: u64,
    /// Of the stream.
    pub head: u64,
    /// None: a hint.
    pub entries: Box<[Seen]>,
}

/// A page of a mailbox or of a stream.
#[derive(Clone, Debug)]
pub struct Sync {
    /// When.
    pub span: Span,
    /// Whose mailbox, or who reads.
    pub user: UserId,
    /// 0: the mailbox; else the stream of this group.
    pub stream: u64,
    /// Not 0: the page begins above this, because what is below is not there for the reader.
    pub skipped_to: u64,
    /// Above this.
    pub after: u64,
    /// At most so many; 0: the server's limit.
    pub limit: u64,
    /// The reader's last word.
    pub is_final: bool,
    /// The page.
    pub entries: Box<[Seen]>,
    /// Of the mailbox.
    pub head: u64,
    /// Whether another page follows.
    pub more: bool,
}

/// A page of a mailbox or of a stream that was refused, because it would begin above the head.
#[derive(Clone, Copy, Debug)]
pub struct BeyondHead {
    /// When.
    pub span: Span,
    /// Whose mailbox, or who reads.
    pub user: UserId,
    /// 0: the mailbox; else the stream of this group.
    pub stream: u64,
    /// Above this.
    pub after: u64,
}

/// A page of a conversation.
#[derive(Clone, Debug)]
pub struct HistoryRead {
    /// When.
    pub span: Span,
    /// Who read.
    pub reader: UserId,
    /// What.
    pub conv: ConversationKey,
    /// Below this; 0: not asked.
    pub before: u64,
    /// Above this; 0: not asked.
    pub after: u64,
    /// At most so many; 0: the server's default.
    pub limit: u64,
    /// The page.
    pub entries: Box<[Seen]>,
    /// Whether there are more.
    pub more: bool,
    /// Highest that the reader may see.
    pub max_conv_seq: u64,
}

/// A login that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// When.
    pub span: Span,
    /// Who.
    pub user: UserId,
    /// Number of the device class.
    pub class: i64,
    /// Epoch of the session.
    pub session_id: u64,
    /// Of the mailbox.
    pub head: u64,
    /// Of the store.
    pub store_epoch: u64,
}

/// A change of a group.
#[derive(Clone, Debug)]
pub enum GroupChange {
    /// Made, with these members besides the maker; the id is in an OK outcome only.
    Create {
        /// Without the maker.
        members: Vec<UserId>,
        /// Of the request.
        request_id: String,
    },
    /// These were invited.
    Invite {
        /// Where to.
        group: GroupId,
        /// Whom.
        members: Vec<UserId>,
    },
    /// The actor left.
    Leave {
        /// What.
        group: GroupId,
    },
    /// These were put out.
    Remove {
        /// Of what.
        group: GroupId,
        /// Whom.
        members: Vec<UserId>,
    },
    /// It is over.
    Dissolve {
        /// What.
        group: GroupId,
    },
}

/// What a change of a group gave: its id, and who joined by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOutcome {
    /// Which.
    pub group: GroupId,
    /// Members from then on.
    pub joined: Vec<UserId>,
}

/// One try to change a group.
#[derive(Clone, Debug)]
pub struct GroupOp {
    /// When.
    pub span: Span,
    /// Who.
    pub actor: UserId,
    /// What.
    pub change: GroupChange,
    /// What came of it.
    pub outcome: Outcome<GroupOutcome>,
}

/// A try to move a read mark.
#[derive(Clone, Copy, Debug)]
pub struct MarkRead {
    /// When.
    pub span: Span,
    /// Who.
    pub user: UserId,
    /// Where.
    pub conv: ConversationKey,
    /// Up to this position.
    pub conv_seq: u64,
    /// What came of it.
    pub outcome: Outcome<()>,
}

/// A try to take a message's content away.
#[derive(Clone, Copy, Debug)]
pub struct Recall {
    /// When.
    pub span: Span,
    /// Where.
    pub conv: ConversationKey,
    /// Which position.
    pub conv_seq: u64,
    /// What came of it.
    pub outcome: Outcome<()>,
}

/// A try to make a message say something else.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// When.
    pub span: Span,
    /// Where.
    pub conv: ConversationKey,
    /// Which position.
    pub conv_seq: u64,
    /// All tries with the same are one edit.
    pub request_id: u128,
    /// Of the content from then on.
    pub hash: u64,
    /// What came of it.
    pub outcome: Outcome<()>,
}

/// A try to block somebody, or to end that.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// When.
    pub span: Span,
    /// Who.
    pub user: UserId,
    /// Whom.
    pub peer: UserId,
    /// It is to end.
    pub is_lifted: bool,
    /// What came of it.
    pub outcome: Outcome<()>,
}

/// What somebody was told of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Unread {
    /// When.
    pub span: Span,
    /// Who.
    pub user: UserId,
    /// Where.
    pub conv: ConversationKey,
    /// Position of the read mark.
    pub mark: u64,
    /// Messages above it, and above the user's own newest one.
    pub unread: u64,
}

/// A row of the store.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Where that is written.
    pub line: LineRef,
    /// Where.
    pub conv: ConversationKey,
    /// Position there.
    pub conv_seq: u64,
    /// Messages at or below it.
    pub msg_no: u64,
    /// Unique.
    pub msg_id: u64,
    /// Number of the message type.
    pub kind: i64,
}
