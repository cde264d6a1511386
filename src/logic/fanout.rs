//! From committed events to deliveries: who of the owners is here, on which reactor. Pure.
//!
//! It runs where the commit was made and walks the events in commit order, so that each session on
//! this node is handed its mailbox in order, whichever connections the messages came from.

use aldis_wire::{ConnId, PushTail, Seq, UserId, pb};
use smallvec::SmallVec;

use crate::entry::message_data;
use crate::job::{Event, ReactorId};
use crate::table::SessionTable;

/// One entry for sessions of one reactor. The body is shared by all of all reactors.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What all of them get.
    pub push: PushTail,
    /// Who, and its seq there.
    pub targets: SmallVec<[Target; 1]>,
}

/// One reader of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it was when the message was committed.
    pub conn: ConnId,
    /// Who must still be there.
    pub user: UserId,
    /// The entry's place in its mailbox.
    pub seq: Seq,
}

/// Sorts deliveries by reactor: `out[r]` gets those of reactor r, in commit order. The connection
/// that made an event is left out, because the response is its own entry.
pub fn fan_out(events: &[Event], table: &SessionTable, out: &mut [Vec<Delivery>]) {
    for event in events {
        let mut push: Option<PushTail> = None;
        let mut spread = Spread::new(out);
        for &(user, seq) in &event.owners {
            table.for_each_of(user, |online| {
                let is_origin =
                    online.reactor == event.origin.reactor && online.conn == event.origin.conn;
                if is_origin {
                    return;
                }
                let target = Target { conn: online.conn, user, seq };
                spread.add(out, online.reactor, target, || {
                    let encode = || {
                        let shared: pb::MessageData = message_data(&event.message, Seq(0));
                        PushTail::new(&shared)
                    };
                    push.get_or_insert_with(encode).clone()
                });
            });
        }
    }
}

/// Where the deliveries of one entry begin in each reactor's list: a reactor gets one.
#[derive(Debug)]
pub(crate) struct Spread {
    first: SmallVec<[usize; 8]>,
}

impl Spread {
    /// Of an entry that comes behind what is in `out`.
    pub fn new(out: &[Vec<Delivery>]) -> Self {
        Self { first: out.iter().map(Vec::len).collect() }
    }

    /// Adds a reader. A reactor that there is not gets nothing.
    pub fn add(
        &mut self,
        out: &mut [Vec<Delivery>],
        reactor: ReactorId,
        target: Target,
        push: impl FnOnce() -> PushTail,
    ) {
        let reactor = usize::from(reactor.0);
        let (Some(deliveries), Some(&first)) = (out.get_mut(reactor), self.first.get(reactor))
        else {
            return;
        };
        match deliveries.get_mut(first) {
            Some(delivery) => delivery.targets.push(target),
            None => {
                let targets = SmallVec::from_buf([target]);
                deliveries.push(Delivery { push: push(), targets });
            }
        }
    }
}
