//! Identifiers as types of their own, so that a seq is never taken for an id.

use std::fmt;

use crate::pb;

macro_rules! id_newtype {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id_newtype! {
    /// A user; below 2^31, so that stores can pack it with a seq into one integer.
    UserId;
    /// A group; below 2^31.
    GroupId;
    /// A message: 41 bits ms since 2025-01-01, 10 bits node, 12 bits counter.
    MsgId;
    /// Position in one user's mailbox, dense from 1.
    Seq;
    /// Position in one conversation, dense from 1; every event takes one.
    ConvSeq;
    /// Count of messages (not of other events) in a conversation up to some point.
    MsgNo;
    /// How often a user logged in with a device class; the higher session is the live one.
    Epoch;
}

/// The client's id of a send: (conversation, sender, this) is unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientMsgId(pub [u8; 16]);

/// The client's id of another mutating request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub [u8; 16]);

/// A conversation, derived and never looked up: (lower user, higher user), or (0, group).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationKey {
    /// 0 for a group, else the lower user id.
    pub lo: u64,
    /// The group id, or the higher user id (the same one in a conversation with oneself), or 0 for what
    /// is a user's own.
    pub hi: u64,
}

impl ConversationKey {
    /// The 1:1 conversation of two users.
    pub fn direct(a: UserId, b: UserId) -> Self {
        Self { lo: a.0.min(b.0), hi: a.0.max(b.0) }
    }

    /// The conversation of a group.
    pub fn group(group: GroupId) -> Self {
        Self { lo: 0, hi: group.0 }
    }

    /// A user's own: entries that concern nobody else, as changes of settings. Nobody can send there.
    pub fn own(user: UserId) -> Self {
        Self { lo: user.0, hi: 0 }
    }

    /// Where an entry belongs, by the fields of its `MessageData`.
    pub fn of_entry(sender: UserId, receiver: UserId, group: GroupId) -> Self {
        match (receiver.0, group.0) {
            (0, 0) => Self::own(sender),
            (_, 0) => Self::direct(sender, receiver),
            (_, _) => Self::group(group),
        }
    }

    /// Whether it is a user's own.
    pub fn is_own(self) -> bool {
        self.hi == 0
    }

    /// The group, if it is a group's.
    pub fn as_group(self) -> Option<GroupId> {
        (self.lo == 0).then_some(GroupId(self.hi))
    }

    /// The other of the two, seen from `user`; `None` for groups, user 0 for what is a user's own.
    pub fn peer_of(self, user: UserId) -> Option<UserId> {
        match (self.lo, self.hi) {
            (0, _) => None,
            (lo, hi) if lo == user.0 => Some(UserId(hi)),
            (lo, _) => Some(UserId(lo)),
        }
    }
}

/// A connection of one reactor. The generation makes a handle that outlived its connection harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Slot in the reactor's slab.
    pub index: u32,
    /// Grows whenever the slot is reused.
    pub generation: u32,
}

/// Classes of devices; one live session for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum DeviceClass {
    Phone = 1,
    Tablet = 2,
    Desktop = 3,
    Web = 4,
    Device = 5,
}

impl DeviceClass {
    /// Every class, ascending.
    pub const ALL: [DeviceClass; 5] = [
        DeviceClass::Phone,
        DeviceClass::Tablet,
        DeviceClass::Desktop,
        DeviceClass::Web,
        DeviceClass::Device,
    ];

    /// The class with this number on the wire and in stores.
    pub fn from_number(number: i64) -> Option<DeviceClass> {
        DeviceClass::ALL.into_iter().find(|class| class.number() == number)
    }

    /// The number on the wire and in stores.
    pub fn number(self) -> i64 {
        self as i64
    }
}

impl From<DeviceClass> for pb::DeviceClass {
    fn from(class: DeviceClass) -> Self {
        match class {
            DeviceClass::Phone => pb::DeviceClass::Phone,
            DeviceClass::Tablet => pb::DeviceClass::Tablet,
            DeviceClass::Desktop => pb::DeviceClass::Desktop,
            DeviceClass::Web => pb::DeviceClass::Web,
            DeviceClass::Device => pb::DeviceClass::Device,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_the_same_from_both_sides() {
        let (a, b) = (UserId(7), UserId(3));
        let key = ConversationKey::direct(a, b);
        assert_eq!(key, ConversationKey::direct(b, a));
        assert_eq!(key.peer_of(a), Some(b));
        assert_eq!(key.peer_of(b), Some(a));
        assert_eq!(ConversationKey::direct(a, a).peer_of(a), Some(a));
        assert_eq!(ConversationKey::group(GroupId(9)).as_group(), Some(GroupId(9)));
        assert_eq!(key.as_group(), None);
    }

    #[test]
    fn what_is_a_users_own_is_no_conversation_with_anybody() {
        let own = ConversationKey::own(UserId(7));
        assert!(own.is_own() && own.as_group().is_none());
        assert_eq!(own.peer_of(UserId(7)), Some(UserId(0)));
        let of = ConversationKey::of_entry;
        assert_eq!(of(UserId(7), UserId(0), GroupId(0)), own);
        assert_eq!(
            of(UserId(7), UserId(3), GroupId(0)),
            ConversationKey::direct(UserId(3), UserId(7))
        );
        assert_eq!(of(UserId(7), UserId(0), GroupId(9)), ConversationKey::group(GroupId(9)));
    }
}
