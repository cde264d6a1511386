//! Sends packets of statements and says which of them failed. Knows no table.

use mysql::Row;
use mysql::prelude::Queryable;

use super::connection::Session;
use super::failure::Abort;
use super::sql_text::SqlText;

/// The server's number for a key that is there already.
const DUPLICATE_KEY: u16 = 1062;

/// A transaction that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub why: Abort,
    /// Another node may have been faster; the next try sees its row, unless something is damaged.
    pub is_duplicate: bool,
    /// The reason lies in this process, the connection is as good as before.
    pub is_ours: bool,
}

impl Failed {
    /// A reason that lies in this process.
    pub(super) fn ours(why: Abort) -> Self {
        Self { why, is_duplicate: false, is_ours: true }
    }
}

impl From<Abort> for Failed {
    fn from(why: Abort) -> Self {
        Self { why, is_duplicate: false, is_ours: false }
    }
}

impl From<mysql::Error> for Failed {
    fn from(error: mysql::Error) -> Self {
        let is_duplicate =
            matches!(&error, mysql::Error::MySqlError(error) if error.code == DUPLICATE_KEY);
        Self { why: error.into(), is_duplicate, is_ours: false }
    }
}

/// Runs the packet: the rows of each statement, in order.
pub(super) fn ask(session: &mut Session, sql: &SqlText) -> Result<Vec<Vec<Row>>, Failed> {
    let mut sets = Vec::with_capacity(sql.statement_count());
    send(session, sql, |rows| sets.push(rows))?;
    Ok(sets)
}

/// Runs the packet, whose last statement is COMMIT. When that one fails, nobody knows what became
/// of the transaction.
pub(super) fn commit(session: &mut Session, sql: &SqlText) -> Result<(), Failed> {
    let mut done_count = 0;
    let outcome = send(session, sql, |_| done_count += 1);
    match outcome {
        Err(error) if done_count + 1 >= sql.statement_count() => {
            let why = format!("the outcome of a COMMIT is unknown: {:?}", Abort::from(error));
            Err(Abort::Unavailable(why).into())
        }
        other => Ok(other?),
    }
}

fn send(
    session: &mut Session,
    sql: &SqlText,
    mut done: impl FnMut(Vec<Row>),
) -> Result<(), mysql::Error> {
    let mut result = session.conn.query_iter(sql.as_str())?;
    while let Some(set) = result.iter() {
        done(set.collect::<Result<_, _>>()?);
    }
    Ok(())
}
