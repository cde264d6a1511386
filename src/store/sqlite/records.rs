//! Records in SQLite, and the rules' view of a transaction. Knows no rule.

use aldis_logic::job::{CreateGroup, Ticket};
use aldis_wire::{
    ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, MsgId, MsgNo, RequestId, UserId, pb,
};
use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::append::Draft;
use super::batch::Batch;
use super::failure::{Stop, damaged};
use super::index::Index;
use super::rows::{kind, number, small_number};
use super::runs::pack;
use super::{accounts, groups};
use crate::group::{Group, Seats, Stay};
use crate::page::Span;
use crate::record::{Key, Row, Table, Value};
use crate::rules::{
    BodyChange, Deferred, KnownDevice, NewEvent, NewestSession, Once, Placed, Profile, Rows,
    SentKey, Target, Ties,
};
use crate::stays::readable;

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Value::Number(number) => Ok(ToSqlOutput::from(*number as i64)),
            Value::Text(text) => Ok(ToSqlOutput::from(text.as_str())),
        }
    }
}

impl Rows for Batch<'_> {
    type Stop = Stop;

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, Stop> {
        self.user_exists(user)
    }

    fn profile(&mut self, user: UserId) -> Result<Option<Profile>, Stop> {
        accounts::profile(self.conn, user)
    }

    fn set_profile(&mut self, user: UserId, profile: Profile) -> Result<(), Stop> {
        accounts::set_profile(self.conn, user, &profile)
    }

    fn device(&mut self, user: UserId, id: &str) -> Result<Option<KnownDevice>, Stop> {
        accounts::device(self.conn, user, id)
    }

    fn raise_device_generation(&mut self, user: UserId, id: &str) -> Result<(), Stop> {
        self.revoke_device(user, id).map(drop)
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<NewestSession>, Stop> {
        accounts::sessions(self.conn, user)
    }

    fn set_revoked(&mut self, user: UserId, class: DeviceClass, epoch: Epoch) -> Result<(), Stop> {
        accounts::set_revoked(self.conn, user, class, epoch)
    }

    fn row(&mut self, table: Table, key: &Key) -> Result<Option<Row>, Stop> {
        find(self.conn, table, key)
    }

    fn set_row(&mut self, table: Table, key: Key, row: Row) -> Result<(), Stop> {
        let shape = table.shape();
        let columns = [shape.keys, shape.columns].concat();
        let marks = vec!["?"; columns.len()].join(", ");
        let sql = format!(
            "INSERT OR REPLACE INTO {} ({}) VALUES ({marks})",
            shape.name,
            columns.join(", ")
        );
        let values = key.into_iter().map(Value::Number).chain(row);
        self.conn.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        Ok(())
    }

    fn drop_rows(&mut self, table: Table, prefix: Key) -> Result<(), Stop> {
        let shape = table.shape();
        let named = shape.keys.get(..prefix.len()).unwrap_or(shape.keys);
        let sql = format!("DELETE FROM {} WHERE {} = ?", shape.name, named.join(" = ? AND "));
        let numbers = prefix.iter().map(|&number| number as i64);
        self.conn.prepare_cached(&sql)?.execute(params_from_iter(numbers))?;
        Ok(())
    }

    fn ties(&mut self, pair: ConversationKey) -> Result<Ties, Stop> {
        Ok(self.conversation(pair)?.map_or(Ties::default(), |conversation| conversation.ties))
    }

    fn set_ties(&mut self, pair: ConversationKey, ties: Ties) -> Result<(), Stop> {
        let number = {
            let conversation = self.conversation_or_new(pair)?;
            conversation.ties = ties;
            conversation.number
        };
        self.conn
            .prepare_cached("UPDATE im_conversation SET ties = ? WHERE number = ?")?
            .execute((ties.0, number as i64))?;
        Ok(())
    }

    fn group(&mut self, id: GroupId) -> Result<Option<Group>, Stop> {
        self.load_or_find_group(id)
    }

    fn group_for(&mut self, id: GroupId, seats: Seats<'_>) -> Result<Option<Group>, Stop> {
        self.load_seats(id, seats)
    }

    fn made_group(
        &mut self,
        creator: UserId,
        request_id: RequestId,
    ) -> Result<Option<GroupId>, Stop> {
        self.find_made_group(creator, request_id)
    }

    fn make_group(&mut self, job: &CreateGroup) -> Result<GroupId, Stop> {
        self.insert_group(job)
    }

    fn change_group(&mut self, id: GroupId, group: Group, stays: Vec<Stay>) -> Result<(), Stop> {
        self.store_group(id, group, &stays)
    }

    fn group_count(&mut self, user: UserId) -> Result<u64, Stop> {
        self.count_groups(user)
    }

    fn was_member(&mut self, group: GroupId, user: UserId) -> Result<bool, Stop> {
        self.has_stay(group, user)
    }

    fn stays(&mut self, group: GroupId, user: UserId) -> Result<Vec<Span>, Stop> {
        Ok(readable(&groups::stays(self.conn, group, user)?, u64::MAX))
    }

    fn deferred(&mut self) -> &mut Deferred {
        &mut self.deferred
    }

    fn target(
        &mut self,
        conversation: ConversationKey,
        conv_seq: ConvSeq,
    ) -> Result<Option<Target>, Stop> {
        let Some(msg_id) = self.msg_id_at(conversation, conv_seq)? else { return Ok(None) };
        let target = self
            .conn
            .prepare_cached(
                "SELECT msg_no, sender, kind, time_ms, flags, edit_seq FROM im_message_body
                 WHERE msg_id = ?",
            )?
            .query_row([msg_id.0 as i64], |row| {
                Ok(Target {
                    msg_id,
                    msg_no: MsgNo(number(row, 0)?),
                    sender: UserId(number(row, 1)?),
                    kind: kind(row, 2)?,
                    time_ms: number(row, 3)?,
                    flags: small_number(row, 4)?,
                    edit_seq: number(row, 5)?,
                })
            })?;
        Ok(Some(target))
    }

    fn change_body(
        &mut self,
        conversation: ConversationKey,
        conv_seq: ConvSeq,
        change: BodyChange,
    ) -> Result<(), Stop> {
        let msg_id = self.msg_id_at(conversation, conv_seq)?;
        let msg_id = msg_id.ok_or_else(|| damaged("a change of an entry that is not there"))?;
        self.conn
            .prepare_cached(
                "UPDATE im_message_body SET content = ?1, extra = ?2, flags = ?3, edit_seq = ?4,
                     refs = CASE WHEN ?3 & 1 THEN x'' ELSE refs END -- recalled
                 WHERE msg_id = ?5",
            )?
            .execute((
                &change.content[..],
                &change.extra[..],
                change.flags,
                change.edit_seq as i64,
                msg_id.0 as i64,
            ))?;
        Ok(())
    }

    fn is_repeat(&mut self, key: &SentKey, once: &Once, kind: pb::MsgType) -> Result<bool, Stop> {
        let body_hash = self.stored_hash.event(kind, &once.body);
        Ok(self.find_resend(key, body_hash)?.is_some())
    }

    fn add_event(
        &mut self,
        origin: Ticket,
        event: NewEvent,
        owners: &[UserId],
    ) -> Result<Placed, Stop> {
        let mut draft = Draft {
            msg_id: self.ids.next_id(self.now_ms)?,
            conversation: event.conversation,
            sender: event.actor,
            client_msg_id: event.once.as_ref().map(Once::client_msg_id),
            body_hash: 0,
            kind: event.kind,
            content: event.content,
            extra: Bytes::new(),
            refs: Bytes::new(),
            stream: event.stream,
        };
        if let (Some(once), Some(client_msg_id)) = (&event.once, draft.client_msg_id) {
            draft.body_hash = self.stored_hash.event(event.kind, &once.body);
            let (sender, conversation) = (event.actor, event.conversation);
            let key = SentKey { client_msg_id, sender, conversation };
            if self.claim(&key, draft.msg_id, draft.body_hash)?.is_some() {
                return Err(damaged("a rule did not see that it repeats a request"));
            }
        }
        let placed = self.deliver(origin, draft, owners)?;
        Ok(Placed { seq: placed.seq, conv_seq: placed.conv_seq })
    }
}

impl Batch<'_> {
    /// The id of an entry, also of one that this transaction made.
    fn msg_id_at(
        &mut self,
        key: ConversationKey,
        conv_seq: ConvSeq,
    ) -> Result<Option<MsgId>, Stop> {
        let Some(conversation) = self.conversation(key)?.copied() else { return Ok(None) };
        if conv_seq.0 == 0 || conv_seq.0 > conversation.head {
            return Ok(None);
        }
        let place = pack(conversation.number, conv_seq.0);
        let pending = self.pending.conversations.iter().find(|entry| entry.key == place);
        if let Some(entry) = pending {
            return Ok(Some(MsgId(entry.msg_id as u64)));
        }
        let at = conv_seq.0;
        let ids = Index::Conversations.ids(self.conn, conversation.number, at, at)?;
        Ok(ids.first().copied())
    }
}

/// A row by its key.
pub(super) fn find(conn: &Connection, table: Table, key: &Key) -> Result<Option<Row>, Stop> {
    let shape = table.shape();
    let sql = format!(
        "SELECT {} FROM {} WHERE {} = ?",
        shape.columns.join(", "),
        shape.name,
        shape.keys.join(" = ? AND ")
    );
    let numbers = key.iter().map(|&number| number as i64);
    let row = conn
        .prepare_cached(&sql)?
        .query_row(params_from_iter(numbers), |row| values(row, 0, shape.columns.len()))
        .optional()?;
    Ok(row)
}

/// Columns of a record.
pub(super) fn values(row: &rusqlite::Row<'_>, from: usize, count: usize) -> rusqlite::Result<Row> {
    (from..from + count)
        .map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Integer(number) => Value::Number(number as u64),
                other => Value::Text(other.as_str()?.to_owned()),
            })
        })
        .collect()
}
