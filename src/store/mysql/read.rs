//! Answers questions, each from one snapshot. Knows no writer.

use std::sync::Arc;

use aldis_logic::job::{JobError, ReadJob, ReadResult};

use super::Shared;
use super::connection::Purpose;
use super::link::Link;
use crate::traits::{Reader, StoreError};

/// A reader of a MySQL store.
pub struct MysqlReader {
    primary: Link,
}

impl MysqlReader {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        Ok(Self { primary: Link::open(shared.target(Purpose::Read))? })
    }
}

impl Reader for MysqlReader {
    fn read(&mut self, _job: &ReadJob) -> Result<ReadResult, JobError> {
        self.primary.session().map_err(|_| JobError::Unavailable)?;
        Err(JobError::Unavailable)
    }
}
