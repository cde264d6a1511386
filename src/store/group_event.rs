//! Contents of the entries that group changes make, and the rules of groups that all backends
//! share. Knows no backend.

use aldis_wire::{Message, UserId, pb};
use bytes::Bytes;

/// Content of GROUP_CREATED. `members` includes the owner.
pub(crate) fn created(name: &str, owner: UserId, members: &[UserId]) -> Bytes {
    encode(pb::GroupEventKind::GroupCreated, members, name, owner)
}

/// Content of MEMBERS_JOINED.
pub(crate) fn joined(owner: UserId, added: &[UserId]) -> Bytes {
    encode(pb::GroupEventKind::MembersJoined, added, "", owner)
}

/// Content of MEMBER_LEFT; `owner` is the one after the event, 0 when nobody is left.
pub(crate) fn left(owner: UserId, user: UserId) -> Bytes {
    encode(pb::GroupEventKind::MemberLeft, &[user], "", owner)
}

fn encode(kind: pb::GroupEventKind, users: &[UserId], name: &str, owner: UserId) -> Bytes {
    let event = pb::GroupEvent {
        kind: kind.into(),
        user_ids: users.iter().map(|user| user.0).collect(),
        name: name.to_owned(),
        owner_id: owner.0,
    };
    Bytes::from(event.encode_to_vec())
}

/// The users in the order given, each once, without `except`.
pub(crate) fn each_once(users: &[UserId], except: Option<UserId>) -> Vec<UserId> {
    let mut seen = std::collections::HashSet::with_capacity(users.len());
    users.iter().copied().filter(|&user| Some(user) != except && seen.insert(user)).collect()
}

/// A role as the protocol counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Role {
    Member = 1,
    /// Nobody can be made one yet.
    Admin = 2,
    Owner = 3,
}

impl Role {
    /// The role with this number in stores.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| *role as u8 == number)
    }
}

/// A member, for the question who is next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Of the current stay.
    pub join_seq: u64,
    pub user: UserId,
}

/// Who becomes owner: the longest-standing one, then the lowest id.
pub(crate) fn successor(members: impl Iterator<Item = Standing>) -> Option<UserId> {
    members.min_by_key(|member| (member.join_seq, member.user)).map(|member| member.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_standing_member_succeeds_then_the_lowest_id() {
        let standing = |join_seq, user| Standing { join_seq, user: UserId(user) };
        let members = [standing(4, 1), standing(2, 9), standing(2, 7)];
        assert_eq!(successor(members.into_iter()), Some(UserId(7)));
        assert_eq!(successor(std::iter::empty()), None);
    }

    #[test]
    fn repeated_users_count_once_and_the_exception_not_at_all() {
        let users = [3, 1, 3, 2, 1].map(UserId);
        assert_eq!(each_once(&users, Some(UserId(2))), [UserId(3), UserId(1)]);
    }
}
