//! What lists look at, in SQLite. Knows no rule.

use aldis_logic::job::StoredMessage;
use aldis_wire::{ConversationKey, GroupId, MsgId, UserId};
use rusqlite::OptionalExtension;

use super::failure::{Stop, damaged};
use super::groups;
use super::index::Index;
use super::read::{Snapshot, id_or_max};
use super::records::{find, values};
use super::rows::{kind, number};
use crate::group::{Group, Role};
use crate::lists::{FirstAbove, Look, Outline, Place, Scan, Search, Standing};
use crate::record::{Key, Row, Table};
use crate::rules::Ties;

impl Scan for Snapshot<'_> {
    type Stop = Stop;

    fn role(&mut self, group: GroupId, user: UserId) -> Result<Option<Role>, Stop> {
        groups::role(self.conn, group, user)
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, Stop> {
        let mut statement = self.conn.prepare_cached("SELECT 1 FROM im_user WHERE user_id = ?")?;
        Ok(statement.exists([id_or_max(user.0)])?)
    }

    fn rows(&mut self, table: Table, keys: &[Key]) -> Result<Vec<Option<Row>>, Stop> {
        keys.iter().map(|key| find(self.conn, table, key)).collect()
    }

    fn ties(&mut self, pairs: &[ConversationKey]) -> Result<Vec<Ties>, Stop> {
        let sql = "SELECT ties FROM im_conversation WHERE lo = ? AND hi = ?";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut found = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let key = (id_or_max(pair.lo), id_or_max(pair.hi));
            let ties = statement.query_row(key, |row| row.get(0)).optional()?;
            found.push(ties.map_or(Ties::default(), Ties));
        }
        Ok(found)
    }

    fn group(&mut self, group: GroupId, members_max: usize) -> Result<Group, Stop> {
        Ok(groups::load(self.conn, group, members_max)?.unwrap_or_default())
    }

    fn scan(
        &mut self,
        table: Table,
        prefix: &[u64],
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Row)>, Stop> {
        let shape = table.shape();
        let Some((last, named)) = shape.keys.split_last() else {
            return Err(damaged("a table without keys"));
        };
        let sql = format!(
            "SELECT {last}, {} FROM {} WHERE {} = ? AND {last} > ? ORDER BY {last} LIMIT ?",
            shape.columns.join(", "),
            shape.name,
            named.join(" = ? AND ")
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let numbers = prefix.iter().copied().chain([after]).map(id_or_max).chain([limit as i64]);
        let mut rows = statement.query(rusqlite::params_from_iter(numbers))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((number(row, 0)?, values(row, 1, shape.columns.len())?));
        }
        Ok(found)
    }
}

impl Look for Snapshot<'_> {
    fn pinned(&mut self, user: UserId) -> Result<Vec<ConversationKey>, Stop> {
        let pinned = self
            .conn
            .prepare_cached(
                "SELECT lo, hi FROM im_read_mark WHERE owner = ? AND pinned_ms > 0
                 ORDER BY pinned_ms DESC, lo DESC, hi DESC",
            )?
            .query_map([id_or_max(user.0)], |row| {
                Ok(ConversationKey { lo: number(row, 0)?, hi: number(row, 1)? })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(pinned)
    }

    fn members(
        &mut self,
        group: GroupId,
        after: UserId,
        limit: usize,
    ) -> Result<Vec<UserId>, Stop> {
        let members = self
            .conn
            .prepare_cached(
                "SELECT user_id FROM im_group_member
                 WHERE group_id = ? AND user_id > ? AND leave_seq = 0 ORDER BY user_id LIMIT ?",
            )?
            .query_map((id_or_max(group.0), id_or_max(after.0), limit as i64), |row| {
                Ok(UserId(number(row, 0)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(members)
    }

    fn cursors(&mut self, users: &[UserId]) -> Result<Vec<u64>, Stop> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT coalesce(max(cursor), 0) FROM im_device WHERE user_id = ?")?;
        let cursor = |user: &UserId| statement.query_row([id_or_max(user.0)], |row| number(row, 0));
        Ok(users.iter().map(cursor).collect::<rusqlite::Result<Vec<_>>>()?)
    }

    fn heads(&mut self, owners: &[UserId]) -> Result<Vec<u64>, Stop> {
        owners.iter().map(|&owner| Ok(self.mailbox_head(owner)?.0)).collect()
    }

    fn mailbox(
        &mut self,
        owner: UserId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Outline)>, Stop> {
        let last = from.min(self.mailbox_head(owner)?.0);
        let first = last.saturating_sub((limit as u64).saturating_sub(1)).max(1);
        if first > last {
            return Ok(vec![]);
        }
        let ids = Index::Mailboxes.ids(self.conn, owner.0, first, last)?;
        let seqs = (first..=last).rev();
        seqs.zip(ids.into_iter().rev()).map(|(seq, id)| Ok((seq, self.outline(id)?))).collect()
    }

    fn first_above(
        &mut self,
        conversation: ConversationKey,
        parts: &[FirstAbove],
    ) -> Result<Vec<Option<u64>>, Stop> {
        let mut found = Vec::with_capacity(parts.len());
        for part in parts {
            let last = part.last.min(self.mailbox_head(part.owner)?.0);
            let mut first = None;
            if part.above < last {
                for id in Index::Mailboxes.ids(self.conn, part.owner.0, part.above + 1, last)? {
                    let place = self.outline(id)?.place;
                    if place.conversation == conversation {
                        first = Some(place.conv_seq);
                        break;
                    }
                }
            }
            found.push(first);
        }
        Ok(found)
    }

    fn standings(&mut self, user: UserId, keys: &[ConversationKey]) -> Result<Vec<Standing>, Stop> {
        let standing = |key: &ConversationKey| {
            let last = match self.conversation_number(*key)? {
                Some(number) => Index::Conversations.last(self.conn, number)?,
                None => None,
            };
            let stays = match key.as_group() {
                Some(group) => groups::stays(self.conn, group, user)?,
                None => vec![],
            };
            Ok(Standing { head: last.map_or(0, |last| last.position), stays })
        };
        keys.iter().map(standing).collect()
    }

    fn outlines(&mut self, places: &[Place]) -> Result<Vec<Outline>, Stop> {
        let outline = |place: &Place| {
            let ids = self.ids(place.conversation, place.conv_seq, place.conv_seq)?;
            let id = ids.first().ok_or_else(|| damaged("a conversation lacks an entry"))?;
            self.outline(*id)
        };
        places.iter().map(outline).collect()
    }

    fn newest(&mut self, wanted: &[Search]) -> Result<Vec<Option<Outline>>, Stop> {
        wanted.iter().map(|search| self.newest_of(search)).collect()
    }

    fn messages(
        &mut self,
        entries: &[Outline],
        _bytes_max: usize,
    ) -> Result<Vec<StoredMessage>, Stop> {
        entries.iter().map(|entry| self.message(entry.msg_id)).collect()
    }
}

impl Snapshot<'_> {
    fn ids(&self, key: ConversationKey, first: u64, last: u64) -> Result<Vec<MsgId>, Stop> {
        let number = self.conversation_number(key)?;
        let number = number.ok_or_else(|| damaged("entries without a conversation"))?;
        Index::Conversations.ids(self.conn, number, first, last)
    }

    fn outline(&self, id: MsgId) -> Result<Outline, Stop> {
        let mut statement = self.conn.prepare_cached(
            "SELECT lo, hi, conv_seq, msg_no, kind, time_ms FROM im_message_body WHERE msg_id = ?",
        )?;
        Ok(statement.query_row([id.0 as i64], |row| {
            let conversation = ConversationKey { lo: number(row, 0)?, hi: number(row, 1)? };
            Ok(Outline {
                place: Place { conversation, conv_seq: number(row, 2)? },
                msg_id: id,
                msg_no: number(row, 3)?,
                kind: kind(row, 4)?,
                time_ms: number(row, 5)?,
            })
        })?)
    }

    fn newest_of(&self, search: &Search) -> Result<Option<Outline>, Stop> {
        let mut sender =
            self.conn.prepare_cached("SELECT sender FROM im_message_body WHERE msg_id = ?")?;
        for span in search.spans.iter().rev() {
            for id in self.ids(search.conversation, span.first, span.last)?.into_iter().rev() {
                if let Some(wanted) = search.sender {
                    let found = sender.query_row([id.0 as i64], |row| number(row, 0)).optional()?;
                    if found != Some(wanted.0) {
                        continue;
                    }
                }
                let outline = self.outline(id)?;
                if outline.kind.is_message() {
                    return Ok(Some(outline));
                }
            }
        }
        Ok(None)
    }
}
