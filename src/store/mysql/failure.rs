//! What can end a job, a batch or a question. Knows the server's error codes, not the tables.

use aldis_logic::job::JobError;
use mysql::error::MySqlError;

use crate::snowflake::ClockError;

/// Why a job gave no result.
#[derive(Debug)]
pub(super) enum Stop {
    /// The job is refused and has changed nothing; the transaction goes on.
    Refuse(JobError),
    /// The transaction cannot go on.
    Abort(Abort),
}

impl Stop {
    /// Where no job is left that could be refused.
    pub(super) fn into_abort(self) -> Abort {
        match self {
            Stop::Abort(why) => why,
            Stop::Refuse(_) => Abort::Poisoned("a rule refuses what it had allowed".to_owned()),
        }
    }
}

/// Why a transaction was given up. The texts hold no contents of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// Another connection was in the way; the same transaction may succeed after a ROLLBACK.
    Retry(String),
    /// The database, the way to it or the clock; the connection has to be given up. Trying again
    /// later may help.
    Unavailable(String),
    /// One of the jobs; trying again without it helps, after a ROLLBACK.
    Poisoned(String),
}

impl From<mysql::Error> for Abort {
    fn from(error: mysql::Error) -> Self {
        match &error {
            mysql::Error::MySqlError(error) => from_server(error),
            mysql::Error::FromValueError(_) | mysql::Error::FromRowError(_) => {
                Abort::Poisoned("damaged: a column holds what it cannot hold".to_owned())
            }
            _ => Abort::Unavailable(error.to_string()),
        }
    }
}

impl From<mysql::Error> for Stop {
    fn from(error: mysql::Error) -> Self {
        Stop::Abort(error.into())
    }
}

impl From<Abort> for Stop {
    fn from(abort: Abort) -> Self {
        Stop::Abort(abort)
    }
}

impl From<ClockError> for Abort {
    fn from(error: ClockError) -> Self {
        Abort::Unavailable(error.to_string())
    }
}

impl From<ClockError> for Stop {
    fn from(error: ClockError) -> Self {
        Stop::Abort(error.into())
    }
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Stop::Refuse(error)
    }
}

/// A stored value that cannot be: only the jobs that touch it fail.
pub(super) fn damaged(what: &str) -> Abort {
    Abort::Poisoned(format!("damaged: {what}"))
}

/// Whether the way to the server broke or was too slow, as opposed to an answer that says no: it
/// is unknown then what became of the statements.
pub(super) fn is_connection_loss(error: &mysql::Error) -> bool {
    match error {
        mysql::Error::MySqlError(error) => is_link_code(error.code),
        mysql::Error::FromValueError(_) | mysql::Error::FromRowError(_) => false,
        _ => true,
    }
}

fn from_server(error: &MySqlError) -> Abort {
    let code = error.code;
    let why = describe(error);
    if is_contention(code) || error.state.starts_with("40") {
        Abort::Retry(why)
    } else if is_link_code(code) || is_database_failure(code) || error.state.starts_with("08") {
        Abort::Unavailable(why)
    } else {
        Abort::Poisoned(why)
    }
}

/// The server's words, without those that quote what the statement contains.
fn describe(error: &MySqlError) -> String {
    let quotes_data = matches!(
        error.code,
        1062 // duplicate entry
            | 1064 // syntax
            | 1264..=1265 // out of range, truncated
            | 1292 // incorrect value
            | 1366..=1367 // incorrect string, illegal value
            | 1411 // incorrect function argument
    );
    let message = if quotes_data { "(quotes data)" } else { error.message.as_str() };
    format!("error {} ({}): {message}", error.code, error.state)
}

fn is_contention(code: u16) -> bool {
    matches!(
        code,
        1020 // the record has changed since it was read
            | 1062 // duplicate key: another node was faster, the next try sees its row
            | 1205 // lock wait timeout
            | 1213 // deadlock
            | 1412 // the table definition has changed
            | 3101 // rolled back by group replication
    )
}

/// The connection is gone, or is as good as gone.
fn is_link_code(code: u16) -> bool {
    matches!(
        code,
        1053 // shutdown in progress
            | 1077..=1080 // shutting down
            | 1152..=1161 // network
            | 1184 // aborted connection
            | 1927 // connection was killed
            | 2000..=2999 // client side: gone away, lost
            | 4031 // closed for inactivity
    )
}

/// The server is there and every statement, or every write, would fail like this one.
fn is_database_failure(code: u16) -> bool {
    matches!(
        code,
        0..=999 // errors of files and storage engines: disk full, write failed
            | 1015..=1019 // files cannot be locked, opened or read
            | 1021 // disk full
            | 1023..=1026 // closing, reading, renaming, writing a file failed
            | 1028..=1030 // sort aborted, storage engine error
            | 1033..=1037 // damaged or old table files, read-only table, out of memory
            | 1040..=1041 // too many connections, out of memory
            | 1042..=1045 // host unknown, handshake, access denied
            | 1049 // unknown database
            | 1114 // table full
            | 1129..=1130 // host blocked or not allowed
            | 1142..=1143 // privileges were taken away
            | 1146 // no such table: restored just now, or never migrated
            | 1180..=1181 // error during COMMIT or ROLLBACK
            | 1186 // error of the binary log
            | 1194..=1195 // table marked as crashed
            | 1203 // too many connections of this account
            | 1223 // a global read lock of one's own
            | 1226..=1227 // resource limit, privilege
            | 1290 // read-only server
            | 1317 // statement was killed
            | 1598 // the binary log cannot be written
            | 1637 // too many transactions
            | 1665 // this isolation cannot be logged: binlog_format is STATEMENT
            | 1667 // the table's engine is read-only
            | 1792 // read-only transaction
            | 1812..=1816 // tablespace missing, engine error
            | 1836 // read-only mode
            | 1874 // InnoDB is in read-only mode
            | 1932 // no such table in the engine
            | 1969 // statement timeout of MariaDB
            | 3024 // statement timeout of MySQL
            | 3168 // not available
            | 3170 // memory capacity exceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, state: &str) -> mysql::Error {
        let message = "near 'x'736563726574''".to_owned();
        mysql::Error::MySqlError(MySqlError { state: state.to_owned(), message, code })
    }

    #[test]
    fn errors_are_told_apart_by_what_helps() {
        for code in [1213, 1205, 1062] {
            assert!(matches!(Abort::from(server(code, "HY000")), Abort::Retry(_)), "{code}");
        }
        for code in [1053, 2006, 2013, 1290, 1792, 1836, 1021, 1114, 1030, 1026, 3, 1040, 28] {
            assert!(matches!(Abort::from(server(code, "HY000")), Abort::Unavailable(_)), "{code}");
        }
        assert!(matches!(Abort::from(server(9999, "08S01")), Abort::Unavailable(_)));
        assert!(matches!(Abort::from(server(9999, "40001")), Abort::Retry(_)));
        for code in [1054, 1064, 1406, 1644, 1048] {
            assert!(matches!(Abort::from(server(code, "HY000")), Abort::Poisoned(_)), "{code}");
        }
        let timeout = std::io::Error::from(std::io::ErrorKind::WouldBlock);
        assert!(is_connection_loss(&mysql::Error::IoError(timeout)));
        assert!(!is_connection_loss(&server(1290, "HY000")));
    }

    #[test]
    fn contents_are_not_repeated() {
        for code in [1062, 1064, 1366] {
            let why = format!("{:?}", Abort::from(server(code, "HY000")));
            assert!(!why.contains("736563"), "{why}");
        }
    }
}
