//! Bugs that can be planted, to prove that the simulation and the checker find them. Nothing else
//! in the backend is wrong on purpose.

use aldis_logic::job::WriteRequest;

use super::Shared;
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
}

impl Shared {
    /// A batch that fails before its commit, with the bugs that show there. `None`: the truth.
    pub(super) fn fail(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Option<Committed> {
        match self.bug {
            Some(Bug::AckBeforeCommit) => {
                let before = self.durable.clone();
                let committed = self.run(now_ms, batch);
                self.durable = before;
                Some(committed)
            }
            Some(Bug::SeqBeforeTransaction) => {
                let before = self.durable.clone();
                self.run(now_ms, batch);
                let heads = std::mem::take(&mut self.durable.heads);
                self.durable = before;
                self.durable.heads = heads;
                None
            }
            Some(Bug::NoDedupe) | None => None,
        }
    }
}
