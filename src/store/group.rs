//! What a group is to the rules: its members now, their roles, who may speak. Knows no backend.

use std::sync::Arc;

use aldis_logic::job::{InStream, JobError};
use aldis_wire::{ConvSeq, UserId};

use crate::refusal::{MUTED, NO_SUCH_GROUP};

/// A role as the protocol and the databases count them; a higher one may do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Role {
    Member = 1,
    Admin = 2,
    Owner = 3,
}

impl Role {
    /// The role with this number.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        [Role::Member, Role::Admin, Role::Owner].into_iter().find(|role| *role as u64 == number)
    }
}

/// A member now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub user: UserId,
    /// Where the current stay begins, which names it.
    pub join_seq: u64,
    pub role: Role,
    /// May not speak before, Unix ms.
    pub muted_until_ms: u64,
}

/// A change of a stay: a row of im_group_member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub member: Member,
    /// 0: still there.
    pub leave_seq: u64,
    /// Of one that begins: the first entry that can be read, if that is before it; else 0. It stays so.
    pub from_seq: u64,
}

impl Stay {
    /// One that begins.
    pub(crate) fn begun(member: Member, from_seq: u64) -> Self {
        Self { member, leave_seq: 0, from_seq }
    }

    /// One that goes on, with a change of the member.
    pub(crate) fn now(member: Member) -> Self {
        Self { member, leave_seq: 0, from_seq: 0 }
    }

    /// One that this entry ends.
    pub(crate) fn ended(member: Member, leave_seq: u64) -> Self {
        Self { member, leave_seq, from_seq: 0 }
    }
}

/// A group and its members now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// As shown.
    pub name: Arc<str>,
    /// User 0 when the last member left.
    pub owner: UserId,
    /// Nobody but owner and admins may speak.
    pub is_muted: bool,
    /// Of a group that is a stream.
    pub stream: Option<StreamState>,
    /// How many are in it now.
    pub member_count: usize,
    /// Ascending by user. Of a stream perhaps only those who were asked for, see [`Seats`].
    pub members: Arc<[Member]>,
}

/// Whom a change of a group has to know; of a stream no others are loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seats<'a> {
    /// Those of them who are members.
    pub users: &'a [UserId],
    /// Owner and admins as well, and enough of the longest-standing members for one who succeeds an owner
    /// to be among them.
    pub has_staff: bool,
}

/// A group whose entries are stored once, and whose members follow it. It stays so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamState {
    /// The entry that said so: what is above it is in the stream.
    pub begin_seq: u64,
    /// The entry that dissolved it, which is in the stream too; 0: there is none.
    pub end_seq: u64,
    /// The entry that last changed who is a member.
    pub member_seq: u64,
}

impl StreamState {
    /// As the databases keep it: zeros where the group is no stream.
    pub(crate) fn of_row(begin_seq: u64, end_seq: u64, member_seq: u64) -> Option<Self> {
        (begin_seq != 0).then_some(Self { begin_seq, end_seq, member_seq })
    }
}

impl Group {
    /// The member, if the user is one.
    pub(crate) fn member(&self, user: UserId) -> Option<Member> {
        let found = self.members.binary_search_by_key(&user, |member| member.user);
        found.ok().and_then(|at| self.members.get(at)).copied()
    }

    /// Everybody in it, ascending.
    pub(crate) fn users(&self) -> impl Iterator<Item = UserId> {
        self.members.iter().map(|member| member.user)
    }

    /// Where an entry that comes now is in the stream.
    pub(crate) fn in_stream(&self) -> Option<InStream> {
        self.stream.map(|stream| InStream { member_seq: ConvSeq(stream.member_seq) })
    }

    /// With the entry that just changed who is a member.
    pub(crate) fn with_member_seq(mut self, conv_seq: ConvSeq) -> Self {
        if let Some(stream) = &mut self.stream {
            stream.member_seq = conv_seq.0;
        }
        self
    }

    /// The mailboxes that an entry goes to, ascending; of a stream only those of users who come or
    /// go by it.
    pub(crate) fn owners(&self, moved: &[UserId]) -> Vec<UserId> {
        let mut owners = moved.to_vec();
        if self.stream.is_none() {
            owners.extend(self.users());
        }
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// Whether the user may send a message.
    pub(crate) fn check_sender(&self, sender: UserId, now_ms: u64) -> Result<(), JobError> {
        let member = self.member(sender).ok_or(NO_SUCH_GROUP)?;
        let is_muted = self.is_muted && member.role == Role::Member;
        if is_muted || member.muted_until_ms > now_ms { Err(MUTED) } else { Ok(()) }
    }

    /// With other members, who are all there are, in any order.
    pub(crate) fn with_members(&self, owner: UserId, mut members: Vec<Member>) -> Self {
        members.sort_unstable_by_key(|member| member.user);
        Self { owner, member_count: members.len(), members: members.into(), ..self.clone() }
    }

    /// Without those who are gone, with those who are new, and with those who changed as they are now. Whoever
    /// is not known stays as it is.
    pub(crate) fn with_changes(&self, owner: UserId, gone: &[UserId], changed: &[Member]) -> Self {
        let is_replaced = |member: &Member| {
            gone.contains(&member.user) || changed.iter().any(|other| other.user == member.user)
        };
        let kept = self.members.iter().filter(|member| !is_replaced(member));
        let mut members: Vec<Member> = kept.chain(changed).copied().collect();
        members.sort_unstable_by_key(|member| member.user);
        let member_count = (self.member_count + members.len()).saturating_sub(self.members.len());
        Self { owner, member_count, members: members.into(), ..self.clone() }
    }
}

/// Who becomes owner: the highest role, then the longest-standing one, then the lowest id.
pub(crate) fn successor(members: impl Iterator<Item = Member>) -> Option<UserId> {
    let rank = |member: &Member| (std::cmp::Reverse(member.role), member.join_seq, member.user);
    members.min_by_key(rank).map(|member| member.user)
}

/// The users in the order given, each once, without `except`.
pub(crate) fn each_once(users: &[UserId], except: Option<UserId>) -> Vec<UserId> {
    let mut seen = std::collections::HashSet::with_capacity(users.len());
    users.iter().copied().filter(|&user| Some(user) != except && seen.insert(user)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(user: u64, join_seq: u64, role: Role) -> Member {
        Member { user: UserId(user), join_seq, role, muted_until_ms: 0 }
    }

    #[test]
    fn an_admin_succeeds_then_the_longest_standing_member_then_the_lowest_id() {
        let members = [member(1, 4, Role::Member), member(9, 2, Role::Member)];
        let more = [member(7, 2, Role::Member)];
        assert_eq!(successor(members.into_iter().chain(more)), Some(UserId(7)));
        let admin = [member(5, 8, Role::Admin)];
        assert_eq!(successor(members.into_iter().chain(admin)), Some(UserId(5)));
        assert_eq!(successor(std::iter::empty()), None);
    }

    #[test]
    fn changes_count_members_who_are_not_known_too() {
        let known = vec![member(3, 1, Role::Owner), member(5, 2, Role::Member)];
        let group = Group { member_count: 9, ..Group::default().with_members(UserId(3), known) };
        let new = [member(4, 7, Role::Member), member(5, 2, Role::Admin)];
        let group = group.with_changes(UserId(3), &[], &new);
        assert_eq!((group.member_count, group.member(UserId(5)).unwrap().role), (10, Role::Admin));
        let group = group.with_changes(UserId(5), &[UserId(3)], &[member(5, 2, Role::Owner)]);
        assert_eq!((group.member_count, group.owner), (9, UserId(5)));
        assert_eq!(group.users().collect::<Vec<_>>(), [4, 5].map(UserId));
    }

    #[test]
    fn repeated_users_count_once_and_the_exception_not_at_all() {
        let users = [3, 1, 3, 2, 1].map(UserId);
        assert_eq!(each_once(&users, Some(UserId(2))), [UserId(3), UserId(1)]);
    }

    #[test]
    fn who_is_muted_may_not_speak_until_then_and_in_a_muted_group_only_admins_may() {
        let members = vec![
            member(3, 1, Role::Owner),
            member(1, 1, Role::Member),
            Member { muted_until_ms: 100, ..member(2, 1, Role::Admin) },
        ];
        let mut group = Group::default().with_members(UserId(3), members);
        assert_eq!(group.check_sender(UserId(2), 99), Err(MUTED));
        assert_eq!(group.check_sender(UserId(2), 100), Ok(()));
        assert_eq!(group.check_sender(UserId(1), 0), Ok(()));
        assert_eq!(group.check_sender(UserId(4), 0), Err(NO_SUCH_GROUP));
        group.is_muted = true;
        assert_eq!(group.check_sender(UserId(1), 0), Err(MUTED));
        assert_eq!(group.check_sender(UserId(3), 0), Ok(()));
        assert_eq!(group.users().collect::<Vec<_>>(), [1, 2, 3].map(UserId));
    }
}
