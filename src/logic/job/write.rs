//! Changes of the store: what is asked, what comes of it.

use aldis_wire::{
    ClientMsgId, ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, MsgId, RequestId, Seq,
    UserId, pb,
};
use bytes::Bytes;

use super::{CreateGroup, GroupJob, GroupLimits, JobError, Ticket};
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
    /// MARK_DELIVERED.
    MarkDelivered {
        /// Whose.
        user: UserId,
        /// Of which device.
        device_id: String,
        /// Where: the mailbox, or the stream of a group.
        stream: Option<GroupId>,
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
        /// See there.
        limits: GroupLimits,
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
    /// MARK_READ.
    View(ViewJob),
}

/// A change of what a conversation is to one of its members alone.
#[derive(Clone, Debug)]
pub struct ViewJob {
    /// Whose view it is.
    pub user: UserId,
    /// Of what.
    pub conversation: ConversationKey,
    /// What.
    pub change: ViewChange,
}

/// See [`ViewJob`]. A repeat changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewChange {
    /// MARK_READ: everything up to and with this entry, which the user can see. Never goes back.
    Read(ConvSeq),
}

/// A change of a message that was sent.
#[derive(Clone, Debug)]
pub struct MessageJob {
    /// Who changes it.
    pub actor: UserId,
    /// Where it is.
    pub conversation: ConversationKey,
    /// Its place there.
    pub conv_seq: ConvSeq,
    /// What.
    pub change: MessageChange,
}

/// See [`MessageJob`]. A repeat of one that took effect changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageChange {
    /// RECALL.
    Recall {
        /// How long after sending its sender may, ms.
        within_ms: u64,
    },
    /// EDIT.
    Edit {
        /// (conversation, actor, this) is unique, among messages too.
        request_id: RequestId,
        /// What the text says now; already validated.
        content: Bytes,
        /// What goes with it now.
        extra: Bytes,
        /// How long after sending its sender may, ms.
        within_ms: u64,
        /// As in [`Append`].
        friends_only: bool,
    },
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
    /// In the sender's mailbox; 0: it is in a stream, at its place in the conversation.
    pub seq: Seq,
    /// In the conversation.
    pub conv_seq: ConvSeq,
    /// When, Unix ms.
    pub time_ms: u64,
}

/// What LOGIN needs to know of a session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOpened {
    /// Whose it is: the connection that asked may be gone.
    pub user: UserId,
    /// Of which class.
    pub class: DeviceClass,
    /// Its epoch.
    pub epoch: Epoch,
    /// The newest one before; 0: there was none.
    pub before: Epoch,
    /// For its token.
    pub generations: Generations,
}
