//! Questions to the store and their answers.

use aldis_wire::{ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, Seq, UserId, pb};
use bytes::Bytes;
use smallvec::SmallVec;

use super::{Generations, JobError, StoredMessage, Ticket};
use crate::search::SearchQuery;

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
    /// SEARCH of messages.
    SearchMessages(SearchMessages),
    /// SEARCH of friends or groups, ascending.
    SearchNames {
        /// Who asks, and whose they are.
        user: UserId,
        /// Of whom.
        names: SearchNames,
        /// For what.
        query: SearchQuery,
        /// Above this id.
        after: u64,
        /// At most so many.
        limit: usize,
    },
}

/// Texts in a mailbox, newest first.
#[derive(Clone, Debug)]
pub struct SearchMessages {
    /// Whose.
    pub user: UserId,
    /// For what.
    pub query: SearchQuery,
    /// Only of this one.
    pub conversation: Option<ConversationKey>,
    /// Below this; 0: from the newest one.
    pub before: Seq,
    /// At most so many.
    pub limit: usize,
    /// Unix time: what is old enough can be indexed.
    pub now_ms: u64,
}

/// What has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchNames {
    /// The user's friends.
    Friends,
    /// The groups that the user is in now.
    Groups,
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
    /// Of `GroupRequests`.
    GroupRequests(pb::GroupRequestsResp),
    /// Of `Relations`.
    Relations(pb::FriendListResp),
    /// Of `SearchMessages`.
    SearchedMessages(SearchPage),
    /// Of `SearchNames`.
    SearchedNames(pb::SearchResp),
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

/// A page of what was found in a mailbox.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchPage {
    /// Newest first.
    pub entries: Vec<(Seq, StoredMessage)>,
    /// `before` of the next page; 0: everything was looked at.
    pub next: Seq,
    /// Parts of the index that were found missing, for the writer to store.
    pub blocks: Vec<IndexBlock>,
}

/// A part of the index of a mailbox; only the store knows what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBlock {
    /// Which part.
    pub number: u64,
    /// It.
    pub data: Bytes,
}
