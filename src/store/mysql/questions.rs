//! The questions that a batch begins with, as one packet: locks first, in the order that all nodes
//! keep, then what the locks guard. Knows tables, no rules.
//!
//! Lock order: conversations by key (groups come first), users by id, im_sequence; mailboxes come
//! later, when the jobs have run. Every statement has a snapshot of its own (READ COMMITTED), so
//! what is looked up after the locks is what they guard.

use aldis_wire::ConversationKey;

use super::plan::Plan;
use super::records;
use super::sql_text::SqlText;
use crate::record::Table;

/// Literals of one list. From 1,000 on MariaDB may turn a list into a table that it scans in any
/// order, and the order of locks would be lost.
pub(super) const LIST_MAX: usize = 500;

/// What a statement of the packet answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Nothing,
    Conversations,
    Users,
    Profiles,
    Sequences,
    Sent,
    Names,
    Devices,
    Sessions,
    Requests,
    GroupCounts,
    EverMembers,
    Records(Table),
    Targets,
    Stays,
}

/// A packet of questions while it is written.
struct Questions<'a> {
    sql: &'a mut SqlText,
    asked: Vec<Asked>,
    is_mariadb: bool,
}

/// Writes the packet; returns what each of its statements answers.
pub(super) fn write(sql: &mut SqlText, plan: &Plan<'_>, is_mariadb: bool) -> Vec<Asked> {
    let mut questions = Questions { sql, asked: Vec::new(), is_mariadb };
    questions.lock(plan);
    questions.look_up(plan);
    questions.asked
}

impl Questions<'_> {
    fn statement(&mut self, asked: Asked, text: &'static str) -> &mut SqlText {
        self.asked.push(asked);
        self.sql.statement(text)
    }

    fn lock(&mut self, plan: &Plan<'_>) {
        self.statement(Asked::Nothing, "BEGIN");
        for groups in plan.groups.chunks(LIST_MAX) {
            self.statement(
                Asked::Conversations,
                "SELECT lo, hi, max_seq, msg_count, change_seq, member_version, ties \
                 FROM im_conversation FORCE INDEX (PRIMARY) WHERE lo = 0 AND hi IN ",
            )
            .numbers(groups.iter().map(|group| group.0))
            .push(" ORDER BY hi FOR UPDATE");
        }
        self.advance_directs(plan);
        for users in plan.users.chunks(LIST_MAX) {
            self.statement(
                Asked::Users,
                "SELECT user_id, token_generation FROM im_user FORCE INDEX (PRIMARY) \
                 WHERE user_id IN ",
            )
            .numbers(users.iter().map(|user| user.0))
            .push(" ORDER BY user_id FOR UPDATE");
        }
        let names = match (plan.takes_group_ids, plan.takes_user_ids) {
            (false, false) => return,
            (true, false) => "('group')",
            (false, true) => "('user')",
            (true, true) => "('group','user')",
        };
        self.statement(
            Asked::Sequences,
            "SELECT name, next_id FROM im_sequence FORCE INDEX (PRIMARY) WHERE name IN ",
        )
        .push(names)
        .push(" ORDER BY name FOR UPDATE");
    }

    /// Locks 1:1 conversations, makes those that are missing, and counts them up by all messages
    /// planned, in one statement; when some are resends the rows are corrected at the end.
    fn advance_directs(&mut self, plan: &Plan<'_>) {
        if plan.directs.is_empty() {
            return;
        }
        self.statement(
            if self.is_mariadb { Asked::Conversations } else { Asked::Nothing },
            "INSERT INTO im_conversation (lo, hi, max_seq, msg_count, change_seq) VALUES ",
        )
        .list(&plan.directs, |sql, direct| {
            let ConversationKey { lo, hi } = direct.conversation;
            let count = direct.message_count;
            sql.push("(").list([lo, hi, count, count, count], |sql, value| {
                sql.number(value);
            });
            sql.push(")");
        })
        .push(
            " ON DUPLICATE KEY UPDATE max_seq = max_seq + VALUES(max_seq), \
             msg_count = msg_count + VALUES(msg_count), \
             change_seq = change_seq + VALUES(change_seq)",
        );
        if self.is_mariadb {
            self.sql
                .push(" RETURNING lo, hi, max_seq, msg_count, change_seq, member_version, ties");
            return;
        }
        for directs in plan.directs.chunks(LIST_MAX) {
            self.statement(
                Asked::Conversations,
                "SELECT lo, hi, max_seq, msg_count, change_seq, member_version, ties \
                 FROM im_conversation FORCE INDEX (PRIMARY) WHERE (lo, hi) IN (",
            )
            .list(directs, |sql, direct| {
                sql.numbers([direct.conversation.lo, direct.conversation.hi]);
            })
            .push(")");
        }
    }

    fn look_up(&mut self, plan: &Plan<'_>) {
        self.join(Asked::Sent, &plan.sent, "(client_msg_id, sender, lo, hi)", |sql, key| {
            sql.bytes(&key.client_msg_id.0);
            for number in [key.sender.0, key.conversation.lo, key.conversation.hi] {
                sql.push(",").number(number);
            }
        });
        for users in plan.profiles.chunks(LIST_MAX) {
            self.statement(
                Asked::Profiles,
                "SELECT user_id, username, nickname, avatar_url, password_phc, token_generation \
                 FROM im_user FORCE INDEX (PRIMARY) WHERE user_id IN ",
            )
            .numbers(users.iter().map(|user| user.0));
        }
        for names in plan.names.chunks(LIST_MAX) {
            self.statement(
                Asked::Names,
                "SELECT n.name, n.user_id, u.request_id FROM im_username n \
                 JOIN im_user u ON u.user_id = n.user_id WHERE n.name IN (",
            )
            .list(names, |sql, name| {
                sql.text(name);
            })
            .push(")");
        }
        self.join(Asked::Devices, &plan.devices, "(user_id, device_id)", |sql, (user, id)| {
            sql.number(user.0).push(",").bytes(id.as_bytes());
        });
        for sessions in plan.sessions.chunks(LIST_MAX) {
            self.statement(
                Asked::Sessions,
                "SELECT user_id, class, epoch, issued, revoked, device_id \
                 FROM im_session FORCE INDEX (PRIMARY) WHERE user_id IN ",
            )
            .numbers(sessions.iter().map(|(user, _)| user.0));
        }
        self.join(Asked::Requests, &plan.requests, "(creator_id, request_id)", |sql, key| {
            sql.number(key.0.0).push(",").bytes(&key.1.0);
        });
        for users in plan.counted.chunks(LIST_MAX) {
            self.statement(
                Asked::GroupCounts,
                "SELECT user_id, COUNT(*) FROM im_group_member FORCE INDEX (im_group_member_now) \
                 WHERE user_id IN ",
            )
            .numbers(users.iter().map(|user| user.0))
            .push(" AND leave_seq = 0 GROUP BY user_id");
        }
        self.join(Asked::EverMembers, &plan.leavers, "(group_id, user_id)", |sql, key| {
            sql.number(key.0.0).push(",").number(key.1.0);
        });
        self.join(Asked::Targets, &plan.targets, "(lo, hi, conv_seq)", |sql, (key, at)| {
            sql.number(key.lo).push(",").number(key.hi).push(",").number(at.0);
        });
        self.join(Asked::Stays, &plan.stays, "(group_id, user_id)", |sql, key| {
            sql.number(key.0.0).push(",").number(key.1.0);
        });
        for rows in plan.rows.chunk_by(|a, b| a.0 == b.0) {
            let table = rows[0].0;
            self.asked.push(Asked::Records(table));
            records::ask_for(self.sql, table, rows, self.is_mariadb);
        }
    }

    /// Looks rows up by keys of several columns, one by one through an index: faster than a list.
    fn join<T>(
        &mut self,
        asked: Asked,
        keys: &[T],
        columns: &'static str,
        mut write: impl FnMut(&mut SqlText, &T),
    ) {
        if keys.is_empty() {
            return;
        }
        let row = if self.is_mariadb { "(" } else { "ROW(" };
        self.statement(asked, "WITH k ").push(columns).push(" AS (VALUES ").list(
            keys,
            |sql, key| {
                sql.push(row);
                write(sql, key);
                sql.push(")");
            },
        );
        self.sql.push(match asked {
            Asked::Sent => {
                ") SELECT b.client_msg_id, b.sender, b.lo, b.hi, b.msg_id, b.sender_seq, \
                 b.conv_seq, b.time_ms, b.body_hash \
                 FROM k STRAIGHT_JOIN im_message_body b FORCE INDEX (im_message_once) \
                 ON b.client_msg_id = k.client_msg_id AND b.sender = k.sender \
                 AND b.lo = k.lo AND b.hi = k.hi"
            }
            Asked::Devices => {
                ") SELECT d.user_id, d.device_id, d.class, d.name, d.token_generation, \
                 d.cursor_seq, d.login_ms FROM k STRAIGHT_JOIN im_device d FORCE INDEX (PRIMARY) \
                 ON d.user_id = k.user_id AND d.device_id = k.device_id"
            }
            Asked::Requests => {
                ") SELECT g.creator_id, g.request_id, g.group_id \
                 FROM k STRAIGHT_JOIN im_group g FORCE INDEX (im_group_once) \
                 ON g.creator_id = k.creator_id AND g.request_id = k.request_id"
            }
            Asked::EverMembers => {
                ") SELECT m.group_id, m.user_id \
                 FROM k STRAIGHT_JOIN im_group_member m FORCE INDEX (PRIMARY) \
                 ON m.group_id = k.group_id AND m.user_id = k.user_id"
            }
            Asked::Stays => {
                ") SELECT m.group_id, m.user_id, m.join_seq, m.leave_seq, m.from_seq \
                 FROM k STRAIGHT_JOIN im_group_member m FORCE INDEX (PRIMARY) \
                 ON m.group_id = k.group_id AND m.user_id = k.user_id"
            }
            Asked::Targets => {
                ") SELECT b.lo, b.hi, b.conv_seq, b.msg_id, b.msg_no, b.sender, b.kind, \
                 b.time_ms, b.flags, b.edit_seq \
                 FROM k STRAIGHT_JOIN im_message_body b FORCE INDEX (im_message_place) \
                 ON b.lo = k.lo AND b.hi = k.hi AND b.conv_seq = k.conv_seq"
            }
            _ => unreachable!("only these have keys of several columns"),
        });
    }
}

#[cfg(test)]
mod tests {
    use aldis_services::MariaDb;
    use aldis_wire::{ClientMsgId, ConvSeq, DeviceClass, GroupId, RequestId, UserId};
    use mysql::prelude::Queryable;
    use mysql::{Conn, Row};

    use super::*;
    use crate::mysql::migrate::migrate;
    use crate::mysql::plan::{Direct, SentKey};
    use crate::record::Key;

    /// More than any batch has of most things, so that every list has several chunks.
    const COUNT: u64 = 1_100;

    fn plan() -> Plan<'static> {
        let numbers = || 1..=COUNT;
        let key = |n| ConversationKey::direct(UserId(n), UserId(n + 1));
        Plan {
            profiles: numbers().map(UserId).collect(),
            directs: numbers().map(|n| Direct { conversation: key(n), message_count: 1 }).collect(),
            groups: numbers().map(GroupId).collect(),
            full_groups: vec![],
            seats: vec![],
            staff: vec![],
            sent: numbers()
                .map(|n| SentKey {
                    client_msg_id: ClientMsgId([n as u8; 16]),
                    sender: UserId(n),
                    conversation: key(n),
                })
                .collect(),
            users: numbers().map(UserId).collect(),
            names: vec!["ann", "bob"],
            devices: numbers().map(|n| (UserId(n), "phone")).collect(),
            sessions: numbers().map(|n| (UserId(n), DeviceClass::Phone)).collect(),
            requests: numbers().map(|n| (UserId(n), RequestId([0; 16]))).collect(),
            counted: numbers().map(UserId).collect(),
            leavers: numbers().map(|n| (GroupId(n), UserId(n))).collect(),
            rows: numbers().map(|n| (Table::Relation, Key::from_slice(&[n, n + 1]))).collect(),
            targets: numbers().map(|n| (key(n), ConvSeq(n))).collect(),
            stays: numbers().map(|n| (GroupId(n), UserId(n))).collect(),
            takes_user_ids: true,
            takes_group_ids: true,
            takes_msg_ids: true,
        }
    }

    #[test]
    fn every_question_goes_through_an_index_and_locks_are_taken_in_its_order() {
        let url = MariaDb::shared().fresh_database();
        migrate(&url).unwrap();
        let mut conn = Conn::new(url.as_str()).unwrap();
        conn.query_drop("SET SESSION in_predicate_conversion_threshold = 0").unwrap();
        let fill = "INSERT INTO im_conversation (lo, hi) SELECT 0, seq FROM seq_1_to_5000;
            INSERT INTO im_group_member SELECT seq, seq, 1, 0, 1, 1, 0, 0 FROM seq_1_to_5000;
            INSERT INTO im_user SELECT seq, seq, '', '', '', 0, x'00', 1, '' FROM seq_1_to_5000;
            INSERT INTO im_session SELECT seq, 1, 1, 1, 0, '' FROM seq_1_to_5000;
            INSERT INTO im_relation SELECT seq, seq + 1, 1, 0, 0, '', '', '' FROM seq_1_to_5000";
        for statement in fill.split(';') {
            conn.query_drop(statement).unwrap();
        }
        let mut sql = SqlText::default();
        let asked = write(&mut sql, &plan(), true);
        // No literal holds a separator: they are all hexadecimal.
        let statements: Vec<&str> = sql.as_str().split(";\n").collect();
        assert_eq!(asked.len(), statements.len());
        for (asked, statement) in asked.into_iter().zip(statements) {
            let is_select = statement.starts_with("SELECT") || statement.starts_with("WITH");
            if !is_select {
                continue;
            }
            let steps: Vec<Row> = conn.query(format!("EXPLAIN {statement}")).unwrap();
            for step in steps {
                let column = |at: usize| step.get::<Option<String>, _>(at).flatten();
                let (table, kind, key) = (column(2), column(3), column(5));
                if table.as_deref().is_none_or(|table| table.starts_with('<')) {
                    continue;
                }
                let kind = kind.unwrap_or_default();
                assert_ne!((kind.as_str(), &key), ("ALL", &None), "{asked:?} scans {table:?}");
                if statement.ends_with("FOR UPDATE") {
                    assert_eq!((kind.as_str(), key.as_deref()), ("range", Some("PRIMARY")));
                    let extra = column(9).unwrap_or_default();
                    assert!(!extra.contains("filesort"), "{asked:?}: {extra}");
                } else {
                    assert!(["range", "ref", "eq_ref"].contains(&kind.as_str()), "{asked:?}");
                }
            }
        }
    }
}
