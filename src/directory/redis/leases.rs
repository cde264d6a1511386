//! Which lives of other nodes had a lease a moment ago: remembered, so that not every look for a
//! user asks for the node as well. Knows no connection.

use std::collections::HashMap;

use aldis_logic::job::{BootId, NodeId, SessionRecord};
use foldhash::fast::FixedState;

/// How long a lease that fits is taken as still there. ms
const FRESH_MS: u64 = 1_000;
/// How long one that does not fit is taken as not there: a node that just started is not missed for
/// long, and old sessions of one that is gone do not cost a question each. ms
const MISSING_MS: u64 = 200;

/// See the file's first line. As many as there are node numbers at most.
#[derive(Debug, Default)]
pub struct Leases {
    seen: HashMap<NodeId, Seen, FixedState>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    boot: Option<BootId>,
    at_ms: u64,
}

impl Leases {
    /// Nodes to be asked for before one can tell which of the sessions are live.
    pub fn unsure<'a>(
        &self,
        now_ms: u64,
        records: impl Iterator<Item = &'a SessionRecord>,
    ) -> Vec<NodeId> {
        let is_unsure = |record: &&SessionRecord| {
            self.seen.get(&record.node).is_none_or(|seen| {
                let holds_ms = if seen.boot == Some(record.boot) { FRESH_MS } else { MISSING_MS };
                now_ms >= seen.at_ms + holds_ms
            })
        };
        let mut nodes: Vec<_> = records.filter(is_unsure).map(|record| record.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The life of a node that has the lease, if any.
    pub fn note(&mut self, now_ms: u64, node: NodeId, boot: Option<BootId>) {
        self.seen.insert(node, Seen { boot, at_ms: now_ms });
    }

    /// Whether the session's node has a lease, as far as is known: where the lease cannot be read,
    /// the last one known counts, and a node never seen may well be there.
    pub fn may_be_live(&self, record: &SessionRecord) -> bool {
        self.seen.get(&record.node).is_none_or(|seen| seen.boot == Some(record.boot))
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{DeviceClass, Epoch, UserId};

    use super::*;

    fn record(node: u16, boot: u64) -> SessionRecord {
        let (user, class, epoch) = (UserId(1), DeviceClass::Phone, Epoch(1));
        SessionRecord { user, class, epoch, node: NodeId(node), boot: BootId(boot) }
    }

    #[test]
    fn a_lease_that_fits_holds_longer_than_one_that_does_not() {
        let mut leases = Leases::default();
        let (old, new) = (record(1, 7), record(1, 8));
        assert_eq!(leases.unsure(0, [&old, &new].into_iter()), [NodeId(1)]);
        assert!(leases.may_be_live(&old));
        leases.note(0, NodeId(1), Some(BootId(8)));
        assert!(leases.may_be_live(&new) && !leases.may_be_live(&old));
        assert_eq!(leases.unsure(MISSING_MS - 1, [&old, &new].into_iter()), []);
        assert_eq!(leases.unsure(MISSING_MS, [&new].into_iter()), []);
        assert_eq!(leases.unsure(MISSING_MS, [&old].into_iter()), [NodeId(1)]);
        assert_eq!(leases.unsure(FRESH_MS, [&new].into_iter()), [NodeId(1)]);
    }
}
