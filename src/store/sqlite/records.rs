//! Records in SQLite, and the rules' view of a transaction. Knows no rule.

use aldis_logic::job::Ticket;
use aldis_wire::{ConversationKey, UserId};
use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::append::Draft;
use super::batch::Batch;
use super::failure::{Stop, damaged};
use super::read::Snapshot;
use crate::lists::Scan;
use crate::record::{Key, Row, Table, Value};
use crate::rules::{NewEvent, Placed, Rows, Ties};

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

    fn add_event(
        &mut self,
        origin: Ticket,
        event: NewEvent,
        owners: &[UserId],
    ) -> Result<Placed, Stop> {
        let draft = Draft {
            msg_id: self.ids.next_id(self.now_ms)?,
            conversation: event.conversation,
            sender: event.actor,
            client_msg_id: None,
            body_hash: 0,
            kind: event.kind,
            content: event.content,
            extra: Bytes::new(),
        };
        let placed = self.deliver(origin, draft, owners)?;
        Ok(Placed { seq: placed.seq, conv_seq: placed.conv_seq })
    }
}

impl Scan for Snapshot<'_> {
    type Stop = Stop;

    fn scan(
        &mut self,
        table: Table,
        first: u64,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Row)>, Stop> {
        let shape = table.shape();
        let [key, second] = shape.keys else { return Err(damaged("a table without two keys")) };
        let sql = format!(
            "SELECT {second}, {} FROM {} WHERE {key} = ? AND {second} > ? ORDER BY {second} LIMIT ?",
            shape.columns.join(", "),
            shape.name
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let above = i64::try_from(after).unwrap_or(i64::MAX);
        let mut rows = statement.query((first as i64, above, limit as i64))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let second: i64 = row.get(0)?;
            found.push((second as u64, values(row, 1, shape.columns.len())?));
        }
        Ok(found)
    }
}

fn find(conn: &Connection, table: Table, key: &Key) -> Result<Option<Row>, Stop> {
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

fn values(row: &rusqlite::Row<'_>, from: usize, count: usize) -> rusqlite::Result<Row> {
    (from..from + count)
        .map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Integer(number) => Value::Number(number as u64),
                other => Value::Text(other.as_str()?.to_owned()),
            })
        })
        .collect()
}
