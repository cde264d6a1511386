//! Columns to values. Knows column order, not which question is asked.

use aldis_logic::job::StoredMessage;
use aldis_wire::{ClientMsgId, ConvSeq, ConversationKey, MsgId, MsgNo, UserId, pb};
use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};

/// A number that is never negative.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A number of 32 bits.
pub(super) fn small_number(row: &Row<'_>, column: usize) -> rusqlite::Result<u32> {
    row.get(column)
}

/// An entry by its id; [`message`] takes its columns.
pub(super) const MESSAGE_BY_ID: &str =
    "SELECT msg_id, lo, hi, conv_seq, msg_no, sender, client_msg_id, kind, time_ms, flags,
            content, extra, refs
     FROM im_message_body WHERE msg_id = ?";

/// A row of [`MESSAGE_BY_ID`].
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let client_msg_id: Option<[u8; 16]> = row.get(6)?;
    let kind = kind(row, 7)?;
    Ok(StoredMessage {
        msg_id: MsgId(number(row, 0)?),
        conversation: ConversationKey { lo: number(row, 1)?, hi: number(row, 2)? },
        conv_seq: ConvSeq(number(row, 3)?),
        msg_no: MsgNo(number(row, 4)?),
        sender: UserId(number(row, 5)?),
        client_msg_id: ClientMsgId(client_msg_id.unwrap_or_default()),
        kind,
        content: blob(row, 10)?,
        extra: blob(row, 11)?,
        refs: blob(row, 12)?,
        time_ms: number(row, 8)?,
        flags: small_number(row, 9)?,
    })
}

/// A kind of entry.
pub(super) fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<pb::MsgType> {
    let kind: i32 = row.get(column)?;
    pb::MsgType::try_from(kind).map_err(|error| {
        let error = FromSqlError::Other(Box::new(error));
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
    })
}

fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}
