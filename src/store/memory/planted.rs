//! Bugs that can be planted, to prove that the simulation and the checker find them. Nothing else
//! in the backend is wrong on purpose.

use aldis_logic::job::{JobError, ReadJob, ReadResult};

use super::{Shared, Staged};
use crate::traits::Committed;

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A batch that fails before its commit is answered as if it had been committed.
    AckBeforeCommit,
    /// Seqs are taken outside of the transaction: a batch that fails leaves gaps.
    SeqBeforeTransaction,
    /// A resend is a new message.
    NoDedupe,
    /// Head checks do not say which sessions are the newest ones.
    NoEpochCheck,
    /// A recall marks the message and leaves what it says.
    RecallKeepsContent,
    /// A message is taken whoever blocks whom.
    BlocksForgotten,
}

impl Shared {
    /// A batch that fails before its commit, with the bugs that show there. `None`: the truth.
    pub(super) fn fail(&mut self, node: u16, staged: &Staged) -> Option<Committed> {
        match self.bug {
            Some(Bug::AckBeforeCommit) => {
                let before = self.durable.clone();
                let committed = self.run(node, staged);
                self.durable = before;
                Some(committed)
            }
            Some(Bug::SeqBeforeTransaction) => {
                let before = self.durable.clone();
                self.run(node, staged);
                let heads = std::mem::take(&mut self.durable.heads);
                self.durable = before;
                self.durable.heads = heads;
                None
            }
            _ => None,
        }
    }

    /// The answer to a question, with the bugs that show there.
    pub(super) fn read(&self, job: &ReadJob) -> Result<ReadResult, JobError> {
        let mut result = self.durable.read(job);
        if let (Some(Bug::NoEpochCheck), Ok(ReadResult::Heads(heads))) = (self.bug, &mut result) {
            heads.iter_mut().for_each(|found| found.epochs.clear());
        }
        result
    }
}
