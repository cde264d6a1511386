//! Commits batches.

use std::sync::Arc;

use aldis_logic::job::{JobError, WriteJob, WriteRequest};

use super::Shared;
use crate::traits::{Committed, StoreError, Writer};

/// The writer of a MySQL store.
pub struct MysqlWriter {
    shared: Arc<Shared>,
}

impl MysqlWriter {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        Ok(Self { shared })
    }
}

impl Writer for MysqlWriter {
    fn commit(&mut self, _now_ms: u64, batch: &[WriteRequest]) -> Committed {
        log::error!("node {} cannot write", self.shared.claim.node());
        Committed { results: vec![Err(JobError::Unavailable); batch.len()], events: Vec::new() }
    }

    fn mailbox_rows(&self, _job: &WriteJob) -> usize {
        1
    }
}
