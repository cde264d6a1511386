//! Reads the two indexes, im_message_index by owner and im_conversation_index by conversation
//! number. Knows no body.

use aldis_wire::MsgId;
use rusqlite::{Connection, OptionalExtension};

use super::failure::{Stop, damaged};
use super::runs::{self, POSITION_MAX, pack};

/// One of the indexes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Index {
    /// By owner and seq.
    Mailboxes,
    /// By conversation number and conv_seq.
    Conversations,
}

/// The newest entry of an owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub position: u64,
    pub msg_id: MsgId,
}

impl Index {
    /// The newest entry of an owner, who is below 2^31.
    pub(super) fn last(self, conn: &Connection, owner: u64) -> Result<Option<Last>, Stop> {
        let sql = match self {
            Index::Mailboxes => {
                "SELECT key, msgs FROM im_message_index WHERE key BETWEEN ? AND ?
                 ORDER BY key DESC LIMIT 1"
            }
            Index::Conversations => {
                "SELECT key, msgs FROM im_conversation_index WHERE key BETWEEN ? AND ?
                 ORDER BY key DESC LIMIT 1"
            }
        };
        let last = conn
            .prepare_cached(sql)?
            .query_row((pack(owner, 0), pack(owner, POSITION_MAX)), |row| {
                let mut next = runs::position(row.get(0)?);
                let mut last = None;
                let decoded = runs::decode(row.get_ref(1)?, |id| {
                    last = Some(Last { position: next, msg_id: MsgId(id as u64) });
                    next += 1;
                });
                Ok(decoded.and(last))
            })
            .optional()?;
        match last {
            None => Ok(None),
            Some(last) => last.map(Some).ok_or_else(|| damaged("a row of an index")),
        }
    }

    /// The ids at the positions `first` to `last` of an owner, all of which exist.
    pub(super) fn ids(
        self,
        conn: &Connection,
        owner: u64,
        first: u64,
        last: u64,
    ) -> Result<Vec<MsgId>, Stop> {
        // The row that holds `first` may begin before it.
        let sql = match self {
            Index::Mailboxes => {
                "SELECT key, msgs FROM im_message_index WHERE key BETWEEN
                     (SELECT max(key) FROM im_message_index WHERE key BETWEEN ?1 AND ?2) AND ?3
                 ORDER BY key"
            }
            Index::Conversations => {
                "SELECT key, msgs FROM im_conversation_index WHERE key BETWEEN
                     (SELECT max(key) FROM im_conversation_index WHERE key BETWEEN ?1 AND ?2)
                     AND ?3
                 ORDER BY key"
            }
        };
        let wanted = (last + 1 - first) as usize;
        let mut ids = Vec::with_capacity(wanted);
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query((pack(owner, 0), pack(owner, first), pack(owner, last)))?;
        while let Some(row) = rows.next()? {
            let mut position = runs::position(row.get(0)?);
            runs::decode(row.get_ref(1)?, |id| {
                if (first..=last).contains(&position) {
                    ids.push(MsgId(id as u64));
                }
                position += 1;
            })
            .ok_or_else(|| damaged("a row of an index"))?;
        }
        if ids.len() == wanted { Ok(ids) } else { Err(damaged("an index has a gap")) }
    }
}
