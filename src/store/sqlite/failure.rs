//! What can end a job or a batch. Knows SQLite's error codes, not the tables.

use aldis_logic::job::JobError;
use rusqlite::ErrorCode;

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

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Abort {
    /// The database or the clock; trying again later may help.
    Unavailable(String),
    /// One of the jobs; trying again without it helps.
    Poisoned(String),
}

impl From<rusqlite::Error> for Abort {
    fn from(error: rusqlite::Error) -> Self {
        if is_database_failure(&error) {
            Abort::Unavailable(error.to_string())
        } else {
            Abort::Poisoned(error.to_string())
        }
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Stop::Abort(error.into())
    }
}

impl From<ClockError> for Stop {
    fn from(error: ClockError) -> Self {
        Stop::Abort(Abort::Unavailable(error.to_string()))
    }
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Stop::Refuse(error)
    }
}

/// A stored value that cannot be: only the jobs that touch it fail.
pub(super) fn damaged(what: &str) -> Stop {
    Stop::Abort(Abort::Poisoned(format!("damaged: {what}")))
}

/// Whether the database as a whole fails, so that every job would.
pub(super) fn is_database_failure(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(error, _) = error else {
        return false;
    };
    !matches!(
        error.code,
        ErrorCode::ConstraintViolation
            | ErrorCode::TooBig
            | ErrorCode::TypeMismatch
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::ApiMisuse
            | ErrorCode::AuthorizationForStatementDenied
    )
}

/// Whether the connection itself is fine and only had to wait too long for another one.
pub(super) fn is_contention(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
