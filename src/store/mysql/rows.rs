//! Columns to values. Knows column order of entries, not which question is asked.

use aldis_logic::job::StoredMessage;
use aldis_wire::{ClientMsgId, ConvSeq, ConversationKey, MsgId, MsgNo, UserId, pb};
use bytes::Bytes;
use mysql::Row;
use mysql::prelude::FromValue;

use super::failure::{Abort, damaged};

/// A number that is never negative.
pub(super) fn number(row: &mut Row, column: usize) -> Result<u64, Abort> {
    take(row, column)
}

/// A number of 32 bits.
pub(super) fn small_number(row: &mut Row, column: usize) -> Result<u32, Abort> {
    take(row, column)
}

/// A number that may be negative.
pub(super) fn signed(row: &mut Row, column: usize) -> Result<i64, Abort> {
    take(row, column)
}

/// Text.
pub(super) fn text(row: &mut Row, column: usize) -> Result<String, Abort> {
    take(row, column)
}

/// Bytes.
pub(super) fn bytes(row: &mut Row, column: usize) -> Result<Vec<u8>, Abort> {
    take(row, column)
}

/// What may be NULL. A column can be taken once.
pub(super) fn take<T: FromValue>(row: &mut Row, column: usize) -> Result<T, Abort> {
    match row.take_opt(column) {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(damaged("a column holds what it cannot hold")),
        None => Err(damaged("a row has too few columns")),
    }
}

/// A kind of entry.
pub(super) fn kind(row: &mut Row, column: usize) -> Result<pb::MsgType, Abort> {
    let kind: i32 = take(row, column)?;
    pb::MsgType::try_from(kind).map_err(|_| damaged("a kind that nobody knows"))
}

/// Columns of an entry in the table `b`; [`message`] takes them.
pub(super) const MESSAGE_COLUMNS: &str = "b.msg_id, b.lo, b.hi, b.conv_seq, b.msg_no, b.sender, b.client_msg_id, b.kind, b.time_ms, \
     b.flags, b.content, b.extra, b.refs";

/// The same, but with texts only.
pub(super) const TEXT_COLUMNS: &str = "b.msg_id, b.lo, b.hi, b.conv_seq, b.msg_no, b.sender, b.client_msg_id, b.kind, b.time_ms, \
     b.flags, IF(b.kind = 1, b.content, ''), IF(b.kind = 1, b.extra, ''), b.refs";

const _: () = assert!(pb::MsgType::Text as i32 == 1, "the columns say so");

/// An entry whose columns begin at `first`.
pub(super) fn message(row: &mut Row, first: usize) -> Result<StoredMessage, Abort> {
    let client_msg_id: Option<Vec<u8>> = take(row, first + 6)?;
    let client_msg_id = match client_msg_id {
        None => ClientMsgId::default(),
        Some(id) => {
            let id = <[u8; 16]>::try_from(id).map_err(|_| damaged("a client_msg_id"))?;
            ClientMsgId(id)
        }
    };
    Ok(StoredMessage {
        msg_id: MsgId(number(row, first)?),
        conversation: ConversationKey { lo: number(row, first + 1)?, hi: number(row, first + 2)? },
        conv_seq: ConvSeq(number(row, first + 3)?),
        msg_no: MsgNo(number(row, first + 4)?),
        sender: UserId(number(row, first + 5)?),
        client_msg_id,
        kind: kind(row, first + 7)?,
        content: Bytes::from(bytes(row, first + 10)?),
        extra: Bytes::from(bytes(row, first + 11)?),
        refs: Bytes::from(bytes(row, first + 12)?),
        time_ms: number(row, first + 8)?,
        flags: small_number(row, first + 9)?,
    })
}
