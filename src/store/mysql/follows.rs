//! Which streams users follow, and the heads of those. Knows tables, not what is done with them.

use aldis_logic::job::{Followed, UserHead};
use aldis_wire::{GroupId, Seq, UserId};

use super::claim::NOW_MS;
use super::connection::Session;
use super::failure::Abort;
use super::lookups::Head;
use super::rows::{number, take};
use super::sql_text::SqlText;

/// By user, ascending; and the heads among it.
pub(super) type Follows = (Vec<(UserId, Followed)>, Vec<(GroupId, Head)>);

/// The streams of the groups that the users are in, with the cursors of a device.
pub(super) fn followed(
    session: &mut Session,
    sql: &mut SqlText,
    users: &[UserId],
    device_id: &str,
) -> Result<Follows, Abort> {
    if users.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    sql.clear();
    sql.statement("SELECT f.user_id, f.group_id, f.start_seq, d.seq, c.max_seq, b.msg_id, ");
    sql.push(NOW_MS);
    sql.push(
        " FROM im_follow f JOIN im_conversation c ON c.lo = 0 AND c.hi = f.group_id \
         LEFT JOIN im_message_body b ON b.lo = 0 AND b.hi = c.hi AND b.conv_seq = c.max_seq \
         LEFT JOIN im_stream_cursor d ON d.user_id = f.user_id AND d.group_id = f.group_id \
         AND d.device_id = ",
    );
    sql.bytes(device_id.as_bytes()).push(" WHERE f.is_over = 0 AND f.user_id IN ");
    sql.numbers(users.iter().map(|user| user.0));
    sql.push(" ORDER BY f.user_id, f.group_id");
    let (mut follows, mut heads) = (Vec::new(), Vec::new());
    for row in &mut session.run(sql.as_str())?.into_iter().flatten() {
        let mut row = row;
        let row = &mut row;
        let (user, group) = (UserId(number(row, 0)?), GroupId(number(row, 1)?));
        let cursor: Option<u64> = take(row, 3)?;
        let head = Head::read(row, 4)?;
        heads.push((group, head));
        let followed = Followed {
            group,
            start: Seq(number(row, 2)?),
            head: Seq(head.seq),
            cursor: Seq(cursor.unwrap_or(0).min(head.seq)),
        };
        follows.push((user, followed));
    }
    Ok((follows, heads))
}

/// Gives each user what is its own.
pub(super) fn distribute(heads: &mut [UserHead], follows: &[(UserId, Followed)]) {
    for head in heads {
        let first = follows.partition_point(|(user, _)| *user < head.user);
        let own = follows.iter().skip(first).take_while(|(user, _)| *user == head.user);
        head.streams = own.map(|(_, followed)| *followed).collect();
    }
}
