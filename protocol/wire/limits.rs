//! Limits that both ends know, each with its reason. PROTOCOL.md repeats them.

/// Largest body of a frame, bytes: bounds what one connection can make the server buffer.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body before login, bytes: strangers get little.
pub const BODY_BEFORE_LOGIN_BYTES_MAX: usize = 4 << 10;
/// Largest content of a TEXT message, bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Largest content of any other message, bytes: the frame's limit less room for the other fields.
pub const CONTENT_BYTES_MAX: usize = BODY_BYTES_MAX - EXTRA_BYTES_MAX - 1024;
/// Largest `extra` of a message, bytes.
pub const EXTRA_BYTES_MAX: usize = 16 << 10;
/// Users whom one message mentions.
pub const MENTIONS_MAX: usize = 50;
/// Unanswered requests per connection; the server stops reading there.
pub const PIPELINED_REQUESTS_MAX: usize = 256;
/// Time to log in after connecting, ms.
pub const LOGIN_MS_MAX: u64 = 5_000;
/// Time to complete a frame after its first byte, ms.
pub const FRAME_MS_MAX: u64 = 15_000;
/// Entries of one MSG_SYNC or HISTORY page.
pub const SYNC_ENTRIES_MAX: usize = 500;
/// Encoded bytes of a page: it ends before the entry that would pass this, but always holds one.
pub const PAGE_BYTES_MAX: usize = 256 << 10;
/// Entries of HISTORY when the request does not say.
pub const HISTORY_ENTRIES_DEFAULT: usize = 50;
/// Conversations of one CONVERSATION_LIST page: each may need a look at some hundred entries.
pub const CONVERSATIONS_MAX: usize = 100;
/// CONVERSATION_LIST when the request does not say.
pub const CONVERSATIONS_DEFAULT: usize = 50;
/// Conversations that a user pins: all of them come in one page.
pub const PINNED_MAX: usize = 100;
/// Bytes of content, and as many of extra, of the last message in CONVERSATION_LIST.
pub const PREVIEW_BYTES_MAX: usize = 1 << 10;
/// Newest entries of a conversation among which one's own message counts as a read mark. To count further
/// away, every send would have to write a row of its sender's besides, or the bodies would need an index
/// by sender: both cost each message, for those who wrote long ago and never marked anything since.
pub const OWN_MARK_ENTRIES_MAX: usize = 200;
/// Length of a reaction, bytes.
pub const REACTION_BYTES_MAX: usize = 64;
/// Reactions of one user to one message.
pub const REACTIONS_PER_USER_MAX: usize = 8;
/// Length of what is searched for, bytes.
pub const SEARCH_QUERY_BYTES_MAX: usize = 256;
/// Hits of one SEARCH page: a page of a screen is a few dozen.
pub const SEARCH_HITS_MAX: usize = 100;
/// Hits of a SEARCH page when the request does not say.
pub const SEARCH_HITS_DEFAULT: usize = 20;
/// Longest time after sending in which a text can be edited, ms, whatever the server's policy: what is older
/// only changes by being recalled, which the index of SEARCH relies on.
pub const EDIT_MS_MAX: u64 = 48 * 3_600_000;
/// Users of one USER_GET.
pub const USER_GET_MAX: usize = 100;
/// Users that one USER_FIND returns.
pub const USER_FIND_MAX: usize = 50;
/// USER_FIND when the request does not say.
pub const USER_FIND_DEFAULT: usize = 20;
/// Rows of one GROUP_LIST or GROUP_MEMBERS page.
pub const LIST_ROWS_MAX: usize = 500;
/// Rows of a list page when the request does not say.
pub const LIST_ROWS_DEFAULT: usize = 100;
/// Members up to which a group is told that one of them writes something. In a larger one somebody
/// always does, and each time would cost more than a message.
pub const TYPING_MEMBERS_MAX: usize = 100;
/// Users whom one request makes members, or takes out, the asker included: bounds what one job does.
pub const GROUP_REQUEST_USERS_MAX: usize = 500;
/// Members up to which an entry can be put into each one's mailbox; larger groups are streams. The
/// server may be set to a lower number.
pub const GROUP_FANOUT_MAX: usize = 500;
/// Members of a group, unless the server is set to another number.
pub const GROUP_MEMBERS_MAX: usize = 20_000;
/// Requests to come in that wait for one group.
pub const GROUP_REQUESTS_MAX: usize = 500;
/// Length of a group's announcement, bytes.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 4 << 10;
/// Longest time for which a member is muted at once, seconds: about ten years.
pub const MUTE_S_MAX: u32 = 10 * 366 * 86_400;
/// Groups a user can be in.
pub const GROUPS_PER_USER_MAX: usize = 2_000;
/// Streams that a user follows besides the mailbox: all groups may be large. LOGIN_RESP names all of
/// them.
pub const STREAMS_PER_USER_MAX: usize = GROUPS_PER_USER_MAX;
/// Friends of a user.
pub const FRIENDS_MAX: usize = 5_000;
/// Requests to be friends that wait for one user.
pub const FRIEND_REQUESTS_MAX: usize = 500;
/// Users whom one user blocks.
pub const BLOCKED_USERS_MAX: usize = 2_000;
/// Users of one PRESENCE_QUERY, and whom one session can subscribe to: enough for the friends on a
/// screen, and little enough that all sessions of a node may do it.
pub const PRESENCE_USERS_MAX: usize = 200;
/// Devices that a DEVICE_LIST names, those that logged in last.
pub const DEVICE_LIST_MAX: usize = 100;
/// Length of the URL of a user's picture, bytes.
pub const AVATAR_URL_BYTES_MAX: usize = 512;
/// Length of a reason why somebody wants to be a friend, or a member, bytes.
pub const REASON_BYTES_MAX: usize = 512;
/// Length of a username, bytes after normalisation.
pub const USERNAME_BYTES_MAX: usize = 64;
/// Length of a nickname, group name or device name, bytes.
pub const DISPLAY_NAME_BYTES_MAX: usize = 128;
/// Length of a password, bytes, both ends.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// A longer one only costs hashing time.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// Length of a device id, bytes.
pub const DEVICE_ID_BYTES_MAX: usize = 64;
/// Length of a token, bytes.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// Client and request ids, bytes.
pub const REQUEST_ID_BYTES: usize = 16;

/// What a MessageData needs besides content and extra, and a page around it, at most.
pub const ENTRY_OVERHEAD_BYTES_MAX: usize = 512;

const _: () = assert!(
    CONTENT_BYTES_MAX + EXTRA_BYTES_MAX + ENTRY_OVERHEAD_BYTES_MAX <= BODY_BYTES_MAX,
    "the largest message fits a page of its own"
);
const _: () = assert!(PAGE_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(
    CONVERSATIONS_MAX * (2 * PREVIEW_BYTES_MAX + 2 * ENTRY_OVERHEAD_BYTES_MAX) <= BODY_BYTES_MAX,
    "the largest list of conversations fits a body"
);
const _: () = assert!(PINNED_MAX <= CONVERSATIONS_MAX);
const _: () = assert!(CONTENT_BYTES_MAX > TEXT_BYTES_MAX);
