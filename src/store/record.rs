//! Rows of tables that are read by key, described once for all backends: relations and what else
//! changes rarely. Knows no backend and no rule. Messages, mailboxes and members are not here: their
//! tables are made for speed.

mod people;

use smallvec::SmallVec;

pub(crate) use people::{GroupRequest, GroupSetting, Relation, Tally, state};

/// A row's key: numbers, in the order of the primary key. Some of its first ones name many rows.
pub(crate) type Key = SmallVec<[u64; 4]>;

/// A row without its key, in the order of the table's columns.
pub(crate) type Row = Vec<Value>;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Text(String),
}

/// A table whose rows are records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    /// What a user has to do with another: one row for each direction.
    Relation,
    /// How much a user has of what is bounded.
    Tally,
    /// What owner and admins have set for a group.
    GroupSetting,
    /// Who asked to come into which group.
    GroupRequest,
    /// What a conversation is to one of its members alone.
    View,
    /// Who may see whether a user is online.
    Presence,
    /// When a session of a user last began or ended.
    LastSeen,
    /// How a user reacts to a message.
    Reaction,
    /// Which streams a user follows, and which groups hold something for the user that is in no mailbox.
    Follow,
}

/// A table's names.
#[derive(Debug)]
pub(crate) struct Shape {
    pub name: &'static str,
    /// The primary key.
    pub keys: &'static [&'static str],
    pub columns: &'static [&'static str],
    /// How many columns hold numbers; they are the first ones, the others hold text.
    pub number_count: usize,
}

impl Table {
    /// Its names in the databases.
    pub(crate) fn shape(self) -> &'static Shape {
        match self {
            Table::Relation => &Shape {
                name: "im_relation",
                keys: &["user_id", "friend_id"],
                columns: &["state", "asked_ms", "since_ms", "remark", "folder", "reason"],
                number_count: 3,
            },
            Table::Tally => &Shape {
                name: "im_tally",
                keys: &["user_id"],
                columns: &["friends", "requests", "blocked", "pinned"],
                number_count: 4,
            },
            Table::GroupSetting => &Shape {
                name: "im_group_setting",
                keys: &["group_id"],
                columns: &["join_mode", "requests", "open_seq", "announcement"],
                number_count: 3,
            },
            Table::GroupRequest => &Shape {
                name: "im_group_request",
                keys: &["group_id", "user_id"],
                columns: &["waiting", "asked_ms", "reason"],
                number_count: 2,
            },
            Table::View => &Shape {
                name: "im_read_mark",
                keys: &["owner", "lo", "hi"],
                columns: &["conv_seq", "msg_no", "pinned_ms", "muted", "cleared_seq", "cleared_no"],
                number_count: 6,
            },
            Table::Reaction => &Shape {
                name: "im_reaction",
                keys: &["lo", "hi", "conv_seq", "user_id"],
                columns: &["reactions"],
                number_count: 0,
            },
            Table::Presence => &Shape {
                name: "im_presence",
                keys: &["user_id"],
                columns: &["audience"],
                number_count: 1,
            },
            Table::LastSeen => &Shape {
                name: "im_last_seen",
                keys: &["user_id"],
                columns: &["seen_ms"],
                number_count: 1,
            },
            Table::Follow => &Shape {
                name: "im_follow",
                keys: &["user_id", "group_id"],
                columns: &["start_seq", "is_over"],
                number_count: 2,
            },
        }
    }
}

/// A group that is a stream, as one of its members follows it: the last stay. Or one of which somebody can
/// read what was said before coming in, which no stream and no mailbox holds; `is_over` is 1 then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Follow {
    /// What is above this conv_seq is in the stream for the user.
    pub start_seq: u64,
    /// 1: the stay is over.
    pub is_over: u64,
}

impl Record for Follow {
    const TABLE: Table = Table::Follow;

    fn from_row(row: Row) -> Option<Self> {
        match row[..] {
            [Value::Number(start_seq), Value::Number(is_over)] => Some(Self { start_seq, is_over }),
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        [self.start_seq, self.is_over].map(Value::Number).into()
    }
}

/// What a conversation is to one of its members alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Everything up to this conv_seq is read.
    pub read_seq: u64,
    /// Messages of the conversation up to there.
    pub read_no: u64,
    /// Since when it is pinned, Unix ms; 0: it is not.
    pub pinned_ms: u64,
    /// 1: no notifications.
    pub muted: u64,
    /// Nothing up to this conv_seq is shown any more.
    pub cleared_seq: u64,
    /// Messages of the conversation up to there.
    pub cleared_no: u64,
}

impl Record for View {
    const TABLE: Table = Table::View;

    fn from_row(row: Row) -> Option<Self> {
        use Value::Number;
        match row[..] {
            [
                Number(read_seq),
                Number(read_no),
                Number(pinned_ms),
                Number(muted),
                Number(cleared_seq),
                Number(cleared_no),
            ] => Some(Self { read_seq, read_no, pinned_ms, muted, cleared_seq, cleared_no }),
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        let Self { read_seq, read_no, pinned_ms, muted, cleared_seq, cleared_no } = self;
        [read_seq, read_no, pinned_ms, muted, cleared_seq, cleared_no].map(Value::Number).into()
    }
}

/// How a user reacts to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reactions {
    /// Each once, in the order in which they were made.
    pub list: Vec<String>,
}

/// Between reactions in their column; none holds a control character.
const REACTION_END: &str = "\n";

impl Record for Reactions {
    const TABLE: Table = Table::Reaction;

    fn from_row(row: Row) -> Option<Self> {
        match &row[..] {
            [Value::Text(text)] => {
                Some(Self { list: text.split(REACTION_END).map(str::to_owned).collect() })
            }
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        vec![Value::Text(self.list.join(REACTION_END))]
    }
}

/// Who may see whether a user is online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    /// A [`PresenceAudience`](aldis_logic::job::PresenceAudience).
    pub audience: u64,
}

impl Record for Presence {
    const TABLE: Table = Table::Presence;

    fn from_row(row: Row) -> Option<Self> {
        match row[..] {
            [Value::Number(audience)] => Some(Self { audience }),
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        vec![Value::Number(self.audience)]
    }
}

/// When a session of a user last began or ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastSeen {
    /// Unix ms; 0: that is not known.
    pub seen_ms: u64,
}

impl Record for LastSeen {
    const TABLE: Table = Table::LastSeen;

    fn from_row(row: Row) -> Option<Self> {
        match row[..] {
            [Value::Number(seen_ms)] => Some(Self { seen_ms }),
            _ => None,
        }
    }

    fn into_row(self) -> Row {
        vec![Value::Number(self.seen_ms)]
    }
}

/// A row as rules see it. One that is not stored is the default.
pub(crate) trait Record: Default {
    /// Where it is stored.
    const TABLE: Table;

    /// `None`: the row is not one of this table.
    fn from_row(row: Row) -> Option<Self>;

    /// The row.
    fn into_row(self) -> Row;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_its_row() {
        let relation = Relation {
            state: state::FRIEND | state::BLOCKED,
            asked_ms: 1,
            since_ms: 2,
            remark: "r".into(),
            folder: "f".into(),
            reason: "why".into(),
        };
        assert_eq!(Relation::from_row(relation.clone().into_row()), Some(relation));
        let tally = Tally { friends: 1, requests: 2, blocked: 3, pinned: 4 };
        assert_eq!(Tally::from_row(tally.clone().into_row()), Some(tally));
        assert_eq!(Tally::from_row(Relation::default().into_row()), None);
        let view =
            View { read_seq: 1, read_no: 2, pinned_ms: 3, muted: 1, cleared_seq: 4, cleared_no: 5 };
        assert_eq!(View::from_row(view.into_row()), Some(view));
        let reactions = Reactions { list: vec!["+1".into(), "👍🏽".into()] };
        assert_eq!(Reactions::from_row(reactions.clone().into_row()), Some(reactions));
        let follow = Follow { start_seq: 1, is_over: 0 };
        assert_eq!(Follow::from_row(follow.into_row()), Some(follow));
        for table in [Table::Relation, Table::Tally, Table::View, Table::Reaction, Table::Follow] {
            assert!(!table.shape().keys.is_empty());
        }
        assert_eq!(Relation::default().into_row().len(), Table::Relation.shape().columns.len());
        assert_eq!(View::default().into_row().len(), Table::View.shape().columns.len());
        assert_eq!(Tally::default().into_row().len(), Table::Tally.shape().columns.len());
    }
}
