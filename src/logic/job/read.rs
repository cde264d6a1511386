//! Questions to the store and their answers.

use aldis_wire::{ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, Seq, UserId, pb};
use smallvec::SmallVec;

use super::{Generations, JobError, StoredMessage, Ticket};
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
    /// MSG_SYNC of a group's stream: what of it is in the reader's stays, NOT_FOUND without any
    /// that it was a stream in.
    Stream {
        /// Who reads.
        reader: UserId,
        /// What.
        group: GroupId,
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
    /// GROUP_REQUESTS: those that wait, ascending; FORBIDDEN unless the reader is owner or admin.
    GroupRequests {
        /// Who asks.
        reader: UserId,
        /// What.
        group: GroupId,
        /// Above this.
        after: UserId,
        /// At most so many.
        limit: usize,
    },
    /// FRIEND_LIST: those whom the user has something to do with, ascending.
    Relations {
        /// Whose.
        user: UserId,
        /// Which of them.
        list: pb::RelationList,
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
    /// Of `Sync` and `Stream`.
    Sync(SyncPage),
    /// Of `History`.
    History(HistoryPage),
    /// Of `Users` and `FindUsers`.
    Users(Vec<pb::UserInfo>),
    /// Of `Groups`.
    Groups(pb::GroupListResp),
    /// Of `Members`.
    Members(pb::GroupMembersResp),
    /// Of `GroupRequests`.
    GroupRequests(pb::GroupRequestsResp),
    /// Of `Relations`.
    Relations(pb::FriendListResp),
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
    /// Of the user and of the device, as LOGIN would find them: for a token without a session.
    pub generations: Generations,
    /// In its comparable form.
    pub username: String,
    /// As shown.
    pub nickname: String,
    /// The streams of groups.
    pub streams: Vec<Followed>,
}

/// A group that is a stream and has the user as a member now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Which.
    pub group: GroupId,
    /// What is above it is in the stream for the user.
    pub start: Seq,
    /// The newest entry.
    pub head: Seq,
    /// The device's MARK_DELIVERED; 0 where no device asks.
    pub cursor: Seq,
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
    /// The streams of groups.
    pub streams: Vec<Followed>,
}

/// A page of a mailbox or of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncPage {
    /// `None`: the mailbox.
    pub stream: Option<GroupId>,
    /// Dense from `after` + 1, or from `skipped_to` + 1, with their seqs; ends by rows or by
    /// `limits::PAGE_BYTES_MAX`.
    pub entries: Vec<(Seq, StoredMessage)>,
    /// The highest that is there for the reader, in the same snapshot. `after` above it is the
    /// caller's to notice.
    pub head: Seq,
    /// Not 0: what is above `after` up to here is in no stay of the reader's.
    pub skipped_to: Seq,
    /// The reader is no member any more.
    pub is_over: bool,
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
