//! Questions to the store and their answers.

use aldis_wire::{ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, Seq, UserId, pb};
use smallvec::SmallVec;

use super::{
    Generations, JobError, SearchMessages, SearchNames, SearchPage, StoredMessage, Ticket,
};
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
    /// Where streams ended for readers who are members no more.
    StreamEnds {
        /// Whom and what; few, as each costs some questions.
        asks: Vec<(UserId, GroupId)>,
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
    /// CONVERSATION_LIST: those whose newest entry in the mailbox is below `before`, newest first.
    Conversations {
        /// Whose.
        user: UserId,
        /// Below this.
        before: Seq,
        /// At most so many.
        limit: usize,
    },
    /// CONVERSATION_LIST of the pinned ones: all of them, newest pin first.
    Pinned {
        /// Whose.
        user: UserId,
    },
    /// CONVERSATION_LIST of the streams that a user follows, ascending by group.
    FollowedStreams {
        /// Whose.
        user: UserId,
        /// Above this one.
        after: GroupId,
        /// At most so many.
        limit: usize,
    },
    /// RECEIPTS: up to where the other members have it, ascending; NOT_FOUND unless the reader is a
    /// member now.
    Receipts {
        /// Who asks.
        reader: UserId,
        /// What.
        conversation: ConversationKey,
        /// Above this.
        after: UserId,
        /// At most so many.
        limit: usize,
    },
    /// REACTIONS: who reacted how, ascending; NOT_FOUND unless the reader can see the message.
    Reactions {
        /// Who asks.
        reader: UserId,
        /// Where it is.
        conversation: ConversationKey,
        /// Its place there.
        conv_seq: ConvSeq,
        /// Above this.
        after: UserId,
        /// At most so many.
        limit: usize,
    },
    /// USER_GET, in the order asked, unknown ones left out.
    Users {
        /// Whom.
        users: Vec<UserId>,
    },
    /// USER_FIND: usernames that begin with the prefix, ascending, and then nicknames that do.
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
    /// Whom a user may tell what it does.
    Audience(Audience),
    /// Who may see whether somebody is online.
    Sight {
        /// Viewers, and whom they want to see; few.
        pairs: Vec<(UserId, UserId)>,
    },
    /// DEVICE_LIST.
    Devices {
        /// Whose.
        user: UserId,
        /// At most so many, those that logged in last.
        limit: usize,
    },
    /// For CHANGE_PASSWORD.
    Account {
        /// Whose.
        user: UserId,
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

/// Who would get messages of users in conversations. Of a group with more than
/// `limits::TYPING_MEMBERS_MAX` members nobody is named.
#[derive(Clone, Debug)]
pub struct Audience {
    /// Whose, and where; few.
    pub asks: Vec<(UserId, ConversationKey)>,
    /// As in `Append`.
    pub friends_only: bool,
    /// Unix time, for who is muted.
    pub at_ms: u64,
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
    /// Of `StreamEnds`, one for each: the last entry there for the reader. `None`: it goes on, or the
    /// reader was never in it.
    StreamEnds(Vec<Option<Seq>>),
    /// Of `History`.
    History(HistoryPage),
    /// Of `Conversations`, `Pinned` and `FollowedStreams`.
    Conversations(ConversationsPage),
    /// Of `Receipts`.
    Receipts(pb::ReceiptsResp),
    /// Of `Reactions`.
    Reactions(pb::ReactionsResp),
    /// Of `Users` and `FindUsers`.
    Users(Vec<pb::UserInfo>),
    /// Of `Groups`.
    Groups(pb::GroupListResp),
    /// Of `Members`.
    Members(pb::GroupMembersResp),
    /// Of `GroupRequests`.
    GroupRequests(pb::GroupRequestsResp),
    /// Of `Audience`, one for each: why the user could not send a message there, or who
    /// else would get it.
    Audience(Vec<Result<Vec<UserId>, JobError>>),
    /// Of `Sight`, one for each pair: when the user's last session ended as far as that is stored, Unix
    /// ms, or nothing if the viewer may not see it.
    Sight(Vec<Option<u64>>),
    /// Of `Devices`, the last login first.
    Devices(Vec<Device>),
    /// Of `Account`.
    Account(Account),
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

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Chosen by the client.
    pub device_id: String,
    /// At its last login.
    pub class: DeviceClass,
    /// As shown.
    pub name: String,
    /// When it last logged in, Unix ms; 0: that was not stored yet.
    pub login_ms: u64,
    /// The newest session of its class, if that is its own and was not revoked.
    pub epoch: Option<Epoch>,
}

/// What a change of the password is checked against. `Debug` does not show the hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// In its comparable form.
    pub username: String,
    /// PHC string; empty: no password fits.
    pub password_phc: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
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
    /// Sessions up to these epochs were revoked; of other classes none was.
    pub revoked: SmallVec<[(DeviceClass, Epoch); 2]>,
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

/// A page of a user's conversations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversationsPage {
    /// Newest first.
    pub conversations: Vec<ConversationSummary>,
    /// Where the next page begins; 0: there is none.
    pub next_before: Seq,
    /// Of the mailbox in the same snapshot.
    pub head: Seq,
}

/// A conversation in the list of one of its members.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationSummary {
    /// What it is to the user alone.
    pub view: pb::ConversationView,
    /// Highest that the user may see.
    pub max_conv_seq: ConvSeq,
    /// When that one was made, Unix ms.
    pub update_time_ms: u64,
    /// Messages above all marks.
    pub unread: u64,
    /// The newest message that the user may see, shortened, if one is near the newest entry.
    pub last: Option<StoredMessage>,
}
