//! What must hold in the tables themselves, whatever clients saw: a second opinion beside the
//! checker's, in SQL. Knows the schema, no protocol.

use aldis_services::MariaDb;

/// Each counts rows that contradict a promise.
const QUESTIONS: [(&str, &str); 7] = [
    (
        "a mailbox is not dense from 1 to its counter",
        "SELECT COUNT(*) FROM im_mailbox
         LEFT JOIN (SELECT owner, COUNT(*) AS rows_, MIN(seq) AS low, MAX(seq) AS high
                    FROM im_message_index GROUP BY owner) AS found USING (owner)
         WHERE max_seq <> IFNULL(rows_, 0) OR max_seq <> IFNULL(high, 0) OR IFNULL(low, 1) <> 1",
    ),
    (
        "an entry is in a mailbox without a counter",
        "SELECT COUNT(*) FROM im_message_index LEFT JOIN im_mailbox USING (owner)
         WHERE max_seq IS NULL",
    ),
    (
        "a conversation is not dense from 1 to its counter",
        "SELECT COUNT(*) FROM im_conversation
         LEFT JOIN (SELECT lo, hi, COUNT(*) AS rows_, MIN(conv_seq) AS low, MAX(conv_seq) AS high,
                           SUM(kind < 100) AS messages, MAX(msg_no) AS last_no
                    FROM im_message_body GROUP BY lo, hi) AS found USING (lo, hi)
         WHERE max_seq <> IFNULL(rows_, 0) OR max_seq <> IFNULL(high, 0) OR IFNULL(low, 1) <> 1
            OR msg_count <> IFNULL(messages, 0) OR msg_count <> IFNULL(last_no, 0)",
    ),
    (
        "a mailbox names a message that does not exist",
        "SELECT COUNT(*) FROM im_message_index LEFT JOIN im_message_body USING (msg_id)
         WHERE conv_seq IS NULL",
    ),
    (
        "a mailbox has a conversation's entries out of order or twice",
        "SELECT COUNT(*) FROM
           (SELECT conv_seq, LAG(conv_seq) OVER (PARTITION BY owner, lo, hi ORDER BY seq) AS before_
            FROM im_message_index JOIN im_message_body USING (msg_id)) AS neighbours
         WHERE before_ >= conv_seq",
    ),
    (
        "an entry of two, or of one alone, is not in their mailboxes",
        "SELECT COUNT(*) FROM im_message_body
         LEFT JOIN (SELECT msg_id, COUNT(*) AS rows_, MIN(owner) AS low, MAX(owner) AS high
                    FROM im_message_index GROUP BY msg_id) AS found USING (msg_id)
         WHERE lo > 0 AND (IFNULL(rows_, 0) <> IF(hi IN (lo, 0), 1, 2)
                           OR low <> lo OR high <> IF(hi = 0, lo, hi))",
    ),
    (
        "a group's entry is not in the mailboxes of those who were members",
        "SELECT COUNT(*) FROM im_message_body
         LEFT JOIN (SELECT msg_id, COUNT(*) AS rows_, SUM(owner * 31) AS sum_
                    FROM im_message_index GROUP BY msg_id) AS found USING (msg_id)
         LEFT JOIN (SELECT msg_id, COUNT(*) AS members, SUM(user_id * 31) AS member_sum
                    FROM im_message_body JOIN im_group_member
                      ON group_id = hi AND conv_seq >= join_seq
                         AND (leave_seq = 0 OR conv_seq <= leave_seq)
                    WHERE lo = 0 GROUP BY msg_id) AS wanted USING (msg_id)
         WHERE lo = 0 AND (IFNULL(rows_, 0) <> IFNULL(members, 0)
                           OR IFNULL(sum_, 0) <> IFNULL(member_sum, 0))",
    ),
];

/// Panics if the tables of a database contradict themselves.
pub fn assert_consistent(mariadb: &MariaDb, database_url: &str) {
    let database = database_url.rsplit('/').next().expect("a database's URL");
    for (what, question) in QUESTIONS {
        let found = mariadb.sql(&format!("USE {database}; {question}"));
        assert_eq!(found, "0", "{what}, in {database}");
    }
}
