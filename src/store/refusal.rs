//! What the rules of the store say no with: one list for all backends.

use aldis_logic::job::JobError;
use aldis_wire::Code;

/// A client_msg_id that was used for another body.
pub(crate) const OTHER_BODY: JobError =
    JobError::Refused(Code::Conflict, "this client_msg_id was used for another message");
/// A sender or reader that is none of the two of a 1:1 conversation; requests cannot say that.
pub(crate) const NOT_A_PARTY: JobError = JobError::Refused(Code::NotFound, "no such conversation");
/// Whoever is no member, whether the group exists or not.
pub(crate) const NO_SUCH_GROUP: JobError = JobError::Refused(Code::NotFound, "no such group");
/// Unknown users.
pub(crate) const NO_SUCH_USER: JobError = JobError::Refused(Code::NotFound, "no such user");
/// A device that never logged in.
pub(crate) const NO_SUCH_DEVICE: JobError = JobError::Refused(Code::NotFound, "no such device");
/// A group above its limit.
pub(crate) const GROUP_FULL: JobError = JobError::Refused(Code::TooLarge, "too many members");
/// A membership above a user's limit.
pub(crate) const TOO_MANY_GROUPS: JobError =
    JobError::Refused(Code::TooLarge, "a user is in too many groups");
/// A username of somebody else.
pub(crate) const NAME_TAKEN: JobError = JobError::Refused(Code::Conflict, "the username is taken");
/// A token from before its user's or device's generation was raised.
pub(crate) const TOKEN_REVOKED: JobError =
    JobError::Refused(Code::BadCredentials, "the token was revoked");

/// A password that was changed by somebody else since it was checked.
pub(crate) const OTHER_PASSWORD: JobError =
    JobError::Refused(Code::BadCredentials, "the password was changed meanwhile");

/// A place of a conversation without a message of somebody.
pub(crate) const NO_SUCH_MESSAGE: JobError = JobError::Refused(Code::NotFound, "no such message");
/// A change of somebody else's message.
pub(crate) const NOT_THE_SENDER: JobError =
    JobError::Refused(Code::Forbidden, "the message is somebody else's");
/// A change of a message that is too old for it.
pub(crate) const TOO_LATE: JobError =
    JobError::Refused(Code::Forbidden, "the time for changing the message is over");
/// An edit of what is no text.
pub(crate) const NO_TEXT: JobError = JobError::Refused(Code::Forbidden, "only texts can be edited");
/// Another reaction of a user who has enough on the message.
pub(crate) const TOO_MANY_REACTIONS: JobError =
    JobError::Refused(Code::TooLarge, "too many reactions to one message");
/// Another pin of a user who has enough.
pub(crate) const TOO_MANY_PINNED: JobError =
    JobError::Refused(Code::TooLarge, "too many conversations are pinned");
/// An edit of, or a reaction to, a message whose content is gone.
pub(crate) const IS_RECALLED: JobError =
    JobError::Refused(Code::Conflict, "the message was recalled");

/// A message or request between two of whom one blocks the other; it does not say who.
pub(crate) const BLOCKED: JobError =
    JobError::Refused(Code::Forbidden, "one of the two blocks the other");
/// A message to somebody who deleted the sender, or takes messages of friends only.
pub(crate) const NOT_A_FRIEND: JobError =
    JobError::Refused(Code::Forbidden, "the receiver has the sender not as a friend");
/// A change of a friendship that is not there.
pub(crate) const NO_SUCH_FRIEND: JobError = JobError::Refused(Code::NotFound, "no such friend");
/// An answer to a request that nobody made.
pub(crate) const NO_SUCH_REQUEST: JobError = JobError::Refused(Code::NotFound, "no such request");
/// A list of friends above its limit, of either of the two.
pub(crate) const TOO_MANY_FRIENDS: JobError =
    JobError::Refused(Code::TooLarge, "one of the two has too many friends");
/// Requests to a user above their limit.
pub(crate) const TOO_MANY_REQUESTS: JobError =
    JobError::Refused(Code::TooLarge, "too many requests wait for the user");
/// A list of blocked users above its limit.
pub(crate) const TOO_MANY_BLOCKED: JobError =
    JobError::Refused(Code::TooLarge, "too many users are blocked");
/// A member who may not do that.
pub(crate) const NOT_ALLOWED: JobError =
    JobError::Refused(Code::Forbidden, "the role in the group does not allow it");
/// A message of a member who may not speak now.
pub(crate) const MUTED: JobError = JobError::Refused(Code::Forbidden, "muted in this group");
/// Somebody who is not in the group, for those who are.
pub(crate) const NO_SUCH_MEMBER: JobError = JobError::Refused(Code::NotFound, "no such member");
