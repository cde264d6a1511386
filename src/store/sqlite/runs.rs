//! How an index row holds a run of consecutive entries. Knows the format, not the tables.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

/// Entries of one row: bounds what a reader of one entry decodes.
pub(super) const RUN_ENTRIES_MAX: usize = 256;

/// Bits of the position in a packed key.
const POSITION_BITS: u32 = 32;
/// Highest position, and bound of owners: a packed key is a positive i64.
pub(super) const POSITION_MAX: u64 = (1 << POSITION_BITS) - 1;

/// Packs an owner (or a conversation number) and a position. Owners are below 2^31.
pub(super) fn pack(owner: u64, position: u64) -> i64 {
    debug_assert!(owner < 1 << 31 && position <= POSITION_MAX, "both fit the key");
    ((owner << POSITION_BITS) | position) as i64
}

/// The position in a packed key.
pub(super) fn position(key: i64) -> u64 {
    key as u64 & POSITION_MAX
}

/// One entry before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub key: i64,
    pub msg_id: i64,
}

/// Value of the column `msgs`. The buffer is the caller's, to be used again.
pub(super) enum Run<'a> {
    One(i64),
    Several(&'a [u8]),
}

impl ToSql for Run<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Run::One(msg_id) => ToSqlOutput::Owned(Value::Integer(*msg_id)),
            Run::Several(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// Length of the run at the start of `entries`, which are in key order: consecutive keys whose
/// ids ascend (they do, unless rows of several transactions are mixed).
pub(super) fn run_len(entries: &[Entry]) -> usize {
    let follows =
        |pair: &[Entry]| pair[1].key == pair[0].key + 1 && pair[1].msg_id > pair[0].msg_id;
    let max = entries.len().min(RUN_ENTRIES_MAX);
    1 + entries[..max].windows(2).take_while(|pair| follows(pair)).count()
}

/// The row of a run, which is not empty.
pub(super) fn encode<'a>(run: &[Entry], buffer: &'a mut Vec<u8>) -> Run<'a> {
    if let [entry] = run {
        return Run::One(entry.msg_id);
    }
    buffer.clear();
    let mut last = 0;
    for entry in run {
        put_number(buffer, (entry.msg_id - last) as u64);
        last = entry.msg_id;
    }
    Run::Several(buffer)
}

/// Calls `visit` with each id of a row, in order. `None`: the row is damaged.
pub(super) fn decode(row: ValueRef<'_>, mut visit: impl FnMut(i64)) -> Option<()> {
    match row {
        ValueRef::Integer(msg_id) => visit(msg_id),
        ValueRef::Blob(mut bytes) if !bytes.is_empty() => {
            let mut last = 0i64;
            while !bytes.is_empty() {
                let distance = take_number(&mut bytes)?;
                last = last.checked_add(i64::try_from(distance).ok()?)?;
                visit(last);
            }
        }
        _ => return None,
    }
    Some(())
}

fn put_number(buffer: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        buffer.push(number as u8 | 0x80);
        number >>= 7;
    }
    buffer.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(i64, i64)]) -> Vec<Entry> {
        pairs.iter().map(|&(key, msg_id)| Entry { key, msg_id }).collect()
    }

    fn decoded(run: &[Entry]) -> Option<Vec<i64>> {
        let mut buffer = Vec::new();
        let row = encode(run, &mut buffer);
        let mut ids = Vec::new();
        match row.to_sql().unwrap() {
            ToSqlOutput::Owned(Value::Integer(one)) => {
                decode(ValueRef::Integer(one), |id| ids.push(id))
            }
            ToSqlOutput::Borrowed(row) => decode(row, |id| ids.push(id)),
            other => panic!("{other:?}"),
        }?;
        Some(ids)
    }

    #[test]
    fn runs_decode_to_what_was_encoded() {
        for ids in
            [vec![1], vec![1, 2, 3], vec![1 << 62, (1 << 62) + 1, i64::MAX], vec![0, 127, 128]]
        {
            let run: Vec<_> = ids.iter().map(|&msg_id| Entry { key: 1, msg_id }).collect();
            assert_eq!(decoded(&run), Some(ids));
        }
    }

    #[test]
    fn a_run_ends_at_a_gap_at_an_id_that_falls_and_at_its_limit() {
        assert_eq!(run_len(&entries(&[(5, 1), (6, 2), (8, 3)])), 2);
        assert_eq!(run_len(&entries(&[(5, 2), (6, 1)])), 1);
        assert_eq!(run_len(&entries(&[(5, 2)])), 1);
        let long: Vec<_> = (0..1000).map(|n| Entry { key: n, msg_id: n }).collect();
        assert_eq!(run_len(&long), RUN_ENTRIES_MAX);
    }

    #[test]
    fn damaged_rows_are_noticed() {
        for bytes in [&[][..], &[0x80], &[0xff; 10], &[1, 0xff]] {
            assert_eq!(decode(ValueRef::Blob(bytes), |_| ()), None);
        }
        assert_eq!(decode(ValueRef::Text(b"1"), |_| ()), None);
        assert_eq!(decode(ValueRef::Null, |_| ()), None);
    }

    #[test]
    fn packed_keys_are_positive_and_ordered_by_owner() {
        assert!(pack((1 << 31) - 1, POSITION_MAX) > 0);
        assert!(pack(1, POSITION_MAX) < pack(2, 0));
        assert_eq!(position(pack(7, 9)), 9);
    }
}
