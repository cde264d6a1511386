//! Records of what users are to each other and to groups. Knows no backend and no rule.

use super::{Record, Row, Table, Value};

/// What a user has to do with another, from the user's side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Bits of [`state`].
    pub state: u64,
    /// When the other asked, Unix ms; 0: never.
    pub asked_ms: u64,
    /// Since when the other is a friend, Unix ms.
    pub since_ms: u64,
    /// The user's own name for the other.
    pub remark: String,
    /// The user's own group of friends that the other is in.
    pub folder: String,
    /// Why the other wants to be a friend.
    pub reason: String,
}

/// Bits of a relation. Each says what the row's user did or got, of the other.
pub(crate) mod state {
    /// The other is in the user's list of friends.
    pub(crate) const FRIEND: u64 = 1;
    /// The user deleted the other, who may not write any more.
    pub(crate) const CLOSED: u64 = 2;
    /// The user blocks the other.
    pub(crate) const BLOCKED: u64 = 4;
    /// The other asked to be a friend, and waits.
    pub(crate) const ASKED_BY_OTHER: u64 = 8;
    /// The user asked, and waits.
    pub(crate) const ASKED: u64 = 16;
    /// The user refused the other's last request.
    pub(crate) const REFUSED: u64 = 32;
}

impl Relation {
    pub(crate) fn has(&self, bit: u64) -> bool {
        self.state & bit != 0
    }

    pub(crate) fn set(&mut self, bit: u64, is_set: bool) {
        if is_set {
            self.state |= bit;
        } else {
            self.state &= !bit;
        }
    }
}

impl Record for Relation {
    const TABLE: Table = Table::Relation;

    fn from_row(row: Row) -> Option<Self> {
        use Value::{Number, Text};
        match <[Value; 6]>::try_from(row).ok()? {
            [
                Number(state),
                Number(asked_ms),
                Number(since_ms),
                Text(remark),
                Text(folder),
                Text(reason),
            ] => Some(Self { state, asked_ms, since_ms, remark, folder, reason }),
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        use Value::{Number, Text};
        let Self { state, asked_ms, since_ms, remark, folder, reason } = self;
        vec![
            Number(state),
            Number(asked_ms),
            Number(since_ms),
            Text(remark),
            Text(folder),
            Text(reason),
        ]
    }
}

/// How much a user has of what is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Friends in the list.
    pub friends: u64,
    /// Requests of others that wait.
    pub requests: u64,
    /// Users who are blocked.
    pub blocked: u64,
    /// Conversations that are pinned.
    pub pinned: u64,
}

impl Record for Tally {
    const TABLE: Table = Table::Tally;

    fn from_row(row: Row) -> Option<Self> {
        match row[..] {
            [
                Value::Number(friends),
                Value::Number(requests),
                Value::Number(blocked),
                Value::Number(pinned),
            ] => Some(Self { friends, requests, blocked, pinned }),
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        [self.friends, self.requests, self.blocked, self.pinned].map(Value::Number).into()
    }
}

/// What owner and admins have set for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupSetting {
    /// A [`JoinMode`](aldis_logic::job::JoinMode).
    pub join_mode: u64,
    /// Requests that wait.
    pub requests: u64,
    /// From where newcomers can read: the entry that said so; 0: from where they come in.
    pub open_seq: u64,
    /// What they want all members to know.
    pub announcement: String,
}

impl Record for GroupSetting {
    const TABLE: Table = Table::GroupSetting;

    fn from_row(row: Row) -> Option<Self> {
        use Value::{Number, Text};
        match <[Value; 4]>::try_from(row).ok()? {
            [Number(join_mode), Number(requests), Number(open_seq), Text(announcement)] => {
                Some(Self { join_mode, requests, open_seq, announcement })
            }
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        use Value::{Number, Text};
        let Self { join_mode, requests, open_seq, announcement } = self;
        vec![Number(join_mode), Number(requests), Number(open_seq), Text(announcement)]
    }
}

/// Somebody's request to come into a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupRequest {
    /// 1: it waits; 0: it was answered.
    pub waiting: u64,
    /// When, Unix ms.
    pub asked_ms: u64,
    /// For owner and admins to read.
    pub reason: String,
}

impl GroupRequest {
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting != 0
    }
}

impl Record for GroupRequest {
    const TABLE: Table = Table::GroupRequest;

    fn from_row(row: Row) -> Option<Self> {
        use Value::{Number, Text};
        match <[Value; 3]>::try_from(row).ok()? {
            [Number(waiting), Number(asked_ms), Text(reason)] => {
                Some(Self { waiting, asked_ms, reason })
            }
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        use Value::{Number, Text};
        vec![Number(self.waiting), Number(self.asked_ms), Text(self.reason)]
    }
}
