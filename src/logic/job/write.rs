//! Changes of the store: what is asked, what comes of it.

use aldis_wire::{
    ClientMsgId, ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, MsgId, RequestId, Seq,
    UserId, pb,
};
use bytes::Bytes;

use super::{
    IndexBlock, JobError, MessageJob, NewUser, OpenSession, Revoked, SessionOpened, Ticket,
    UpdateUser, ViewJob,
};

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
    /// A LOGIN came to nothing after its session was opened: if its epoch is still the newest, the one
    /// before it is again, so that it does not end the session that was live before. No other session
    /// gets its epoch: the directory and other nodes may have heard of it.
    ReleaseSession {
        /// Whose.
        user: UserId,
        /// Of which class.
        class: DeviceClass,
        /// Its epoch, which no client was told.
        epoch: Epoch,
        /// The newest one when it was opened.
        before: Epoch,
    },
    /// LOGOUT: the device's tokens end.
    RevokeDevice {
        /// Whose.
        user: UserId,
        /// Which.
        device_id: String,
    },
    /// DEVICE_REVOKE: the device's tokens and sessions end. Of a device that the user has not, NOT_FOUND.
    EndDevice {
        /// Whose.
        user: UserId,
        /// Which.
        device_id: String,
    },
    /// CHANGE_PASSWORD, after hashing: all tokens and all other sessions of the user end.
    ChangePassword {
        /// Whose.
        user: UserId,
        /// PHC string.
        password_phc: String,
        /// What it was when the old one was checked; another one now is BAD_CREDENTIALS.
        old_phc: String,
        /// The session that goes on: its class and epoch.
        keep: (DeviceClass, Epoch),
        /// On which device it is.
        device_id: String,
    },
    /// USER_UPDATE; what is `None` stays.
    UpdateUser(UpdateUser),
    /// Users whose sessions began or ended: when. A time that is earlier than stored is one, too: it
    /// is a little wrong then.
    NoteSeen {
        /// Who, each once, ascending, and when, Unix ms.
        users: Vec<(UserId, u64)>,
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
    /// What owner and admins do, and who asks them.
    Group(GroupJob),
    /// FRIEND_APPLY and the rest of what two users are to each other.
    Friend(FriendJob),
    /// RECALL and what else becomes of a message after it was sent.
    Message(MessageJob),
    /// MARK_READ and CONVERSATION_UPDATE.
    View(ViewJob),
    /// A SEARCH found parts of a mailbox's index missing. What is in a part follows from what is stored, so
    /// that it does not matter who writes it, or how often.
    StoreIndex {
        /// Whose mailbox.
        user: UserId,
        /// The parts.
        blocks: Vec<IndexBlock>,
    },
}

/// A change of a group by owner, admins, or somebody who asks them.
#[derive(Clone, Debug)]
pub struct GroupJob {
    /// Who changes it.
    pub actor: UserId,
    /// Which.
    pub group: GroupId,
    /// What.
    pub change: GroupChange,
}

/// See [`GroupJob`]. A repeat of one that took effect leaves everything as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// GROUP_REMOVE. Who is no member is passed over.
    Remove {
        /// Whom.
        users: Vec<UserId>,
    },
    /// GROUP_SET_ROLE.
    SetRole {
        /// Whose.
        user: UserId,
        /// Admin, or plain member.
        is_admin: bool,
    },
    /// GROUP_TRANSFER.
    Transfer {
        /// The next owner.
        to: UserId,
    },
    /// GROUP_UPDATE; what is `None` stays.
    Update {
        /// As shown.
        name: Option<String>,
        /// For all members; may be empty.
        announcement: Option<String>,
        /// See there.
        join_mode: Option<JoinMode>,
    },
    /// GROUP_MUTE of a member.
    Mute {
        /// Whom.
        user: UserId,
        /// From now on, ms; 0: no longer.
        mute_ms: u64,
    },
    /// GROUP_MUTE of all but owner and admins.
    MuteAll {
        /// Or no longer.
        is_muted: bool,
    },
    /// GROUP_DISSOLVE.
    Dissolve,
    /// GROUP_JOIN.
    Join {
        /// For owner and admins to read.
        reason: String,
    },
    /// GROUP_HANDLE_JOIN.
    HandleJoin {
        /// Who asked.
        user: UserId,
        /// Or refused.
        accept: bool,
    },
}

/// How strangers come into a group, besides being brought in by members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum JoinMode {
    /// Not at all.
    #[default]
    Invited = 0,
    /// Owner and admins are asked.
    Asked = 1,
    /// At once.
    Open = 2,
}

impl JoinMode {
    /// The mode with this number, or none at all.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => JoinMode::Asked,
            2 => JoinMode::Open,
            _ => JoinMode::Invited,
        }
    }
}

/// A change of what two users are to each other.
#[derive(Clone, Debug)]
pub struct FriendJob {
    /// Who changes it.
    pub actor: UserId,
    /// To whom; not the actor.
    pub other: UserId,
    /// What.
    pub change: FriendChange,
}

/// See [`FriendJob`]. A repeat of one that took effect changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FriendChange {
    /// FRIEND_APPLY.
    Apply {
        /// For the other to read.
        reason: String,
    },
    /// FRIEND_HANDLE with consent.
    Accept,
    /// FRIEND_HANDLE without.
    Refuse,
    /// FRIEND_DELETE.
    Delete,
    /// FRIEND_UPDATE.
    Update {
        /// The actor's own name for the other; empty: none.
        remark: String,
        /// Which of the actor's groups of friends the other is in; empty: none.
        folder: String,
    },
    /// BLOCK.
    Block,
    /// UNBLOCK.
    Unblock,
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
    /// What it refers to: an encoded `MessageRefs`, empty if there is nothing.
    pub refs: Bytes,
    /// A user takes messages of friends only.
    pub friends_only: bool,
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
    /// Of `ReleaseSession`.
    SessionReleased,
    /// Of `StoreIndex`.
    IndexStored,
    /// Of `RevokeDevice`.
    DeviceRevoked,
    /// Of `EndDevice` and `ChangePassword`.
    Revoked(Revoked),
    /// Of `NoteSeen`.
    Seen,
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
    /// Of a change by rules that all backends share; `seq` of the actor's entry that says so, 0 when
    /// nothing was changed.
    Changed {
        /// See above.
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
