//! What the logic asks of other threads and what they answer: store, hashing. Data only.
//!
//! A job carries a [`Ticket`] and its reply brings it back, so nothing waits in a table for it; a
//! reply to a connection that is gone is discarded by the generation in the ticket.

use std::sync::Arc;

use aldis_wire::{
    ClientMsgId, Code, Command, ConnId, ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId,
    MsgId, MsgNo, RequestId, Seq, UserId, pb,
};
use bytes::Bytes;
use smallvec::SmallVec;

/// A reactor of this node, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReactorId(pub u16);

/// Who waits for a reply: one request of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Where the connection lives.
    pub reactor: ReactorId,
    /// The connection.
    pub conn: ConnId,
    /// The request's seq in the frame header.
    pub request: u32,
    /// The request's command, for the answer.
    pub command: Command,
    /// Bytes that the request keeps in memory until its reply; queues are bounded by their sum.
    pub bytes: u32,
}

// ---------------------------------------------------------------- writing

/// One change of the store and who waits for it.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// Who waits.
    pub ticket: Ticket,
    /// Count of store failures that the asking reactor knew of. A writer that failed since then
    /// answers the same failure again, so that later sends cannot overtake a failed one.
    pub fence: u32,
    /// The change.
    pub job: WriteJob,
}

/// A change of the store. All of a batch are one transaction.
#[derive(Clone, Debug)]
pub enum WriteJob {
    /// MSG_SEND.
    Append(Append),
    /// REGISTER, after hashing.
    Register(NewUser),
    /// LOGIN, after the credentials were checked.
    OpenSession(OpenSession),
    /// LOGOUT: the device's tokens end.
    RevokeDevice {
        /// Whose.
        user: UserId,
        /// Which.
        device_id: String,
    },
    /// MARK_DELIVERED.
    MarkDelivered {
        /// Whose.
        user: UserId,
        /// Of which device.
        device_id: String,
        /// Up to where; a lower one than stored changes nothing.
        seq: Seq,
    },
    /// GROUP_CREATE.
    CreateGroup(CreateGroup),
    /// GROUP_INVITE.
    InviteMembers {
        /// Who invites; must be a member.
        actor: UserId,
        /// Where to.
        group: GroupId,
        /// Whom; members already are skipped, unknown users refuse the whole job.
        members: Vec<UserId>,
    },
    /// GROUP_LEAVE. An ex-member's repeat changes nothing and is answered OK.
    LeaveGroup {
        /// Who leaves. An owner's role passes to the longest-standing member.
        user: UserId,
        /// What.
        group: GroupId,
    },
}

/// A message to append to a conversation and to the mailboxes of its members.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where. The sender of a 1:1 is one of the two; a group's sender must be a member.
    pub conversation: ConversationKey,
    /// Who.
    pub sender: UserId,
    /// (conversation, sender, this) is unique.
    pub client_msg_id: ClientMsgId,
    /// What it is.
    pub kind: pb::MsgType,
    /// What it says; already validated.
    pub content: Bytes,
    /// What goes with it.
    pub extra: Bytes,
}

/// A user to create.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// In its comparable form (`aldis_wire::name::normalize_username`).
    pub username: String,
    /// As shown.
    pub nickname: String,
    /// PHC string of the password; empty: no password login.
    pub password_phc: String,
    /// A repeat with the same name and id returns the user it made.
    pub request_id: RequestId,
}

/// A session to open: takes the next epoch of (user, class).
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Whose.
    pub user: UserId,
    /// On which device; created when unknown.
    pub device_id: String,
    /// Its class now.
    pub class: DeviceClass,
    /// Its name now.
    pub device_name: String,
    /// With a token: the generations it names; others than the stored ones are BAD_CREDENTIALS.
    pub generations: Option<Generations>,
}

/// What makes tokens revocable: a token holds as long as both are what they were. A device that
/// the store does not know yet has generation 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// Raised by a change of password.
    pub user: u32,
    /// Raised by LOGOUT and by revoking the device.
    pub device: u32,
}

/// A group to create.
#[derive(Clone, Debug)]
pub struct CreateGroup {
    /// Becomes its owner and first member.
    pub owner: UserId,
    /// As shown.
    pub name: String,
    /// The others, each once, without the owner; an unknown one refuses the job.
    pub members: Vec<UserId>,
    /// (owner, this) is unique; a repeat returns the group it made.
    pub request_id: RequestId,
}

/// Outcome of one change, sent after the transaction that holds it is durable.
#[derive(Clone, Debug)]
pub struct WriteReply {
    /// From the request.
    pub ticket: Ticket,
    /// The writer's count of failures now; later requests carry it.
    pub fence: u32,
    /// What came of it.
    pub result: Result<Written, JobError>,
    /// Of an `Append` that ended `Unavailable`: which send it was. The connection's later sends
    /// to that conversation must fail too until this one is sent again.
    pub failed_send: Option<FailedSend>,
}

/// A send that may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedSend {
    /// Where to.
    pub conversation: ConversationKey,
    /// Which.
    pub client_msg_id: ClientMsgId,
}

/// What a durable change gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Of `Append`, also when it was a resend.
    Appended(Appended),
    /// Of `Register`.
    Registered(UserId),
    /// Of `OpenSession`.
    SessionOpened(SessionOpened),
    /// Of `RevokeDevice`.
    DeviceRevoked,
    /// Of `MarkDelivered`.
    Marked,
    /// Of `CreateGroup`.
    GroupCreated {
        /// Its id.
        group: GroupId,
        /// Of the creator's GROUP_CREATED entry; 0 when it was a repeat.
        seq: Seq,
    },
    /// Of `InviteMembers`.
    Invited {
        /// Those who were no members before.
        added: Vec<UserId>,
        /// Of the inviter's entry; 0 when nobody was added.
        seq: Seq,
    },
    /// Of `LeaveGroup`; `seq` of the leaver's last entry, 0 when it was a repeat.
    Left {
        /// See above.
        seq: Seq,
    },
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its id.
    pub msg_id: MsgId,
    /// In the sender's mailbox.
    pub seq: Seq,
    /// In the conversation.
    pub conv_seq: ConvSeq,
    /// When, Unix ms.
    pub time_ms: u64,
}

/// What LOGIN needs to know of a session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOpened {
    /// Its epoch.
    pub epoch: Epoch,
    /// For its token.
    pub generations: Generations,
}

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// A rule says no; nothing happened.
    #[error("{0}: {1}")]
    Refused(Code, &'static str),
    /// The store cannot be reached or the outcome is unknown; the same job may be tried again.
    #[error("store unavailable")]
    Unavailable,
    /// The job itself fails, again and again; others are not affected.
    #[error("internal error")]
    Internal,
}

impl JobError {
    /// The code of the response.
    pub fn code(self) -> Code {
        match self {
            JobError::Refused(code, _) => code,
            JobError::Unavailable => Code::Unavailable,
            JobError::Internal => Code::Internal,
        }
    }

    /// The text of the response.
    pub fn message(self) -> &'static str {
        match self {
            JobError::Refused(_, message) => message,
            JobError::Unavailable => "the store is unavailable, try again",
            JobError::Internal => "internal error",
        }
    }
}

/// A message or other event as stored: one copy for all readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub msg_id: MsgId,
    /// Where it is.
    pub conversation: ConversationKey,
    /// Position there.
    pub conv_seq: ConvSeq,
    /// Messages there up to and with this one.
    pub msg_no: MsgNo,
    /// Who made it.
    pub sender: UserId,
    /// All zero for the server's own entries.
    pub client_msg_id: ClientMsgId,
    /// What it is.
    pub kind: pb::MsgType,
    /// What it says.
    pub content: Bytes,
    /// What goes with it.
    pub extra: Bytes,
    /// When, Unix ms.
    pub time_ms: u64,
    /// Bit 0 recalled, bit 1 edited.
    pub flags: u32,
}

/// A commit made an entry: what fan-out delivers. Events of a batch come in commit order.
#[derive(Clone, Debug)]
pub struct Event {
    /// The entry, without seq.
    pub message: Arc<StoredMessage>,
    /// The mailboxes it went to, with its seq there.
    pub owners: SmallVec<[(UserId, Seq); 2]>,
    /// The request that made it: the response is that connection's own entry.
    pub origin: Ticket,
}

// ---------------------------------------------------------------- reading

/// One question to the store and who waits for the answer.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Who waits; for `Heads` only the reactor counts.
    pub ticket: Ticket,
    /// The question.
    pub job: ReadJob,
}

/// A question to the store. Every answer is one consistent snapshot.
#[derive(Clone, Debug)]
pub enum ReadJob {
    /// For a login by password, by comparable username.
    Credentials {
        /// In its comparable form.
        username: String,
    },
    /// For LOGIN_RESP, after the session was registered.
    LoginState {
        /// Whose.
        user: UserId,
        /// On which device.
        device_id: String,
    },
    /// Heads and session epochs of many users.
    Heads {
        /// Whose; unknown ones are left out of the answer.
        users: Vec<UserId>,
    },
    /// MSG_SYNC of the mailbox.
    Sync {
        /// Whose.
        user: UserId,
        /// Above this.
        after: Seq,
        /// At most so many.
        limit: usize,
    },
    /// HISTORY. 1:1: both exist or not, an empty conversation is an empty page; group: the
    /// reader's stays decide, NOT_FOUND without any.
    History {
        /// Who reads.
        reader: UserId,
        /// What.
        conversation: ConversationKey,
        /// From where and in which direction.
        range: HistoryRange,
        /// At most so many.
        limit: usize,
    },
    /// USER_GET, in the order asked, unknown ones left out.
    Users {
        /// Whom.
        users: Vec<UserId>,
    },
    /// USER_FIND: usernames that begin with the prefix, ascending.
    FindUsers {
        /// In its comparable form.
        prefix: String,
        /// At most so many.
        limit: usize,
    },
    /// GROUP_LIST: groups the user is in now, ascending.
    Groups {
        /// Who.
        user: UserId,
        /// Above this.
        after: GroupId,
        /// At most so many.
        limit: usize,
    },
    /// GROUP_MEMBERS: NOT_FOUND unless the reader is a member now.
    Members {
        /// Who asks.
        reader: UserId,
        /// What.
        group: GroupId,
        /// Above this.
        after: UserId,
        /// At most so many.
        limit: usize,
    },
}

/// Which part of a conversation; answers are ascending in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryRange {
    /// The last ones of all.
    Newest,
    /// The last ones below.
    Before(ConvSeq),
    /// The first ones above.
    After(ConvSeq),
}

/// Answer to a question.
#[derive(Clone, Debug)]
pub struct ReadReply {
    /// From the request.
    pub ticket: Ticket,
    /// What was found.
    pub result: Result<ReadResult, JobError>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadResult {
    /// Of `Credentials`; `None`: no such user.
    Credentials(Option<Credentials>),
    /// Of `LoginState`.
    LoginState(LoginState),
    /// Of `Heads`.
    Heads(Vec<UserHead>),
    /// Of `Sync`.
    Sync(SyncPage),
    /// Of `History`.
    History(HistoryPage),
    /// Of `Users` and `FindUsers`.
    Users(Vec<pb::UserInfo>),
    /// Of `Groups`.
    Groups(pb::GroupListResp),
    /// Of `Members`.
    Members(pb::GroupMembersResp),
}

/// What a password login is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who it is.
    pub user: UserId,
    /// PHC string; empty: no password fits.
    pub password_phc: String,
}

/// What LOGIN_RESP says of the stored state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginState {
    /// Of the mailbox.
    pub head: Seq,
    /// The device's MARK_DELIVERED.
    pub cursor: Seq,
    /// In its comparable form.
    pub username: String,
    /// As shown.
    pub nickname: String,
}

/// What a head check learns of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserHead {
    /// Who.
    pub user: UserId,
    /// Of the mailbox.
    pub head: Seq,
    /// The newest session of each class.
    pub epochs: SmallVec<[(DeviceClass, Epoch); 2]>,
}

/// A page of a mailbox.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncPage {
    /// Dense from `after` + 1, with their seqs; ends by rows or by `limits::PAGE_BYTES_MAX`.
    pub entries: Vec<(Seq, StoredMessage)>,
    /// Of the mailbox in the same snapshot. `after` above it is the caller's to notice.
    pub head: Seq,
}

/// A page of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// Ascending.
    pub entries: Vec<StoredMessage>,
    /// Whether there are more in the direction asked that the reader may see.
    pub more: bool,
    /// Highest that the reader may see.
    pub max_conv_seq: ConvSeq,
}

// ---------------------------------------------------------------- directory

/// A session to announce to the directory of all nodes and who waits.
#[derive(Clone, Debug)]
pub struct DirectoryRequest {
    /// Who waits; nobody waits for `Unregister`.
    pub ticket: Ticket,
    /// What to do.
    pub job: DirectoryJob,
}

/// A change of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryJob {
    /// A session begins.
    Register(SessionRecord),
    /// It ended; nothing happens if a newer one took its place.
    Unregister(SessionRecord),
}

/// A session as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Whose.
    pub user: UserId,
    /// One live session for each class.
    pub class: DeviceClass,
    /// The higher one wins.
    pub epoch: Epoch,
    /// The node it is on.
    pub node: NodeId,
}

/// A node of the cluster, 0 to 1023.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

/// Answer to `Register`.
#[derive(Clone, Debug)]
pub struct DirectoryReply {
    /// From the request.
    pub ticket: Ticket,
    /// What the directory says.
    pub registration: Registration,
}

/// What came of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It is the live session now; what it replaced must be kicked.
    Live {
        /// The older session of the class, if there was one.
        replaced: Option<SessionRecord>,
    },
    /// A newer session of the class is live: this one lost.
    Fenced,
    /// The directory cannot be reached. The store decides anyway, so the session goes on.
    Unavailable,
}

// ---------------------------------------------------------------- hashing

/// Work for the password pool.
#[derive(Clone, Debug)]
pub struct HashRequest {
    /// Who waits.
    pub ticket: Ticket,
    /// The work.
    pub job: HashJob,
}

/// Work for the password pool. `Debug` does not show the password.
#[derive(Clone)]
pub enum HashJob {
    /// Make a PHC string.
    Hash {
        /// Plain text.
        password: String,
    },
    /// Compare. An empty PHC string takes the same time and never fits.
    Verify {
        /// Plain text.
        password: String,
        /// What it should be.
        password_phc: String,
    },
}

impl std::fmt::Debug for HashJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            HashJob::Hash { .. } => "Hash",
            HashJob::Verify { .. } => "Verify",
        })
    }
}

/// Result of hashing.
#[derive(Clone, Debug)]
pub struct HashReply {
    /// From the request.
    pub ticket: Ticket,
    /// What came of it.
    pub result: HashResult,
}

/// Result of hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashResult {
    /// Of `Hash`: the PHC string.
    Hashed(String),
    /// Of `Verify`.
    Verified(bool),
    /// The pool could not do it (out of memory).
    Failed,
}
