//! Kicks under way: each is said again until it is acknowledged or pointless. Knows no link and no
//! session.

use std::collections::BTreeMap;

use aldis_wire::node_pb;

use super::effect::KickOrder;
use crate::job::NodeId;

/// When a kick that was not acknowledged is sent again. The link repeats what it loses by itself, so
/// this is for messages that a session of the link took with it. ms
const RETRY_MS: u64 = 1_000;
/// After this every session was compared with the store, twice. ms
const GIVE_UP_MS: u64 = 30_000;
/// Kicks that wait; what is more is found by head checks.
const WAITING_MAX: usize = 65_536;

/// See the file's first line.
#[derive(Debug, Default)]
pub(super) struct Kicks {
    waiting: BTreeMap<u64, Waiting>,
    last_id: u64,
    /// When the earliest one is due, or before. ms
    due_at_ms: u64,
}

#[derive(Debug)]
struct Waiting {
    to: NodeId,
    order: KickOrder,
    began_ms: u64,
    due_ms: u64,
}

impl Kicks {
    /// A session on that node is over.
    pub fn push(&mut self, now_ms: u64, to: NodeId, order: KickOrder) {
        if self.waiting.len() >= WAITING_MAX {
            return;
        }
        self.last_id += 1;
        let waiting = Waiting { to, order, began_ms: now_ms, due_ms: now_ms };
        self.waiting.insert(self.last_id, waiting);
        self.due_at_ms = now_ms;
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// The node knows.
    pub fn handle_ack(&mut self, from: NodeId, id: u64) {
        if self.waiting.get(&id).is_some_and(|waiting| waiting.to == from) {
            self.waiting.remove(&id);
        }
    }

    /// There is a new session with the node: what the last one carried may be lost.
    pub fn handle_open(&mut self, now_ms: u64, node: NodeId) {
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.to == node) {
            waiting.due_ms = now_ms;
            self.due_at_ms = now_ms;
        }
    }

    /// What is to be said now, and to whom; only those that `is_open` tells of can be told anything.
    pub fn take_due(
        &mut self,
        now_ms: u64,
        is_open: impl Fn(NodeId) -> bool,
    ) -> Vec<(NodeId, node_pb::Kick)> {
        let mut due = Vec::new();
        if self.waiting.is_empty() || now_ms < self.due_at_ms {
            return due;
        }
        self.waiting.retain(|_, waiting| now_ms < waiting.began_ms + GIVE_UP_MS);
        for (&id, waiting) in &mut self.waiting {
            if waiting.due_ms <= now_ms {
                waiting.due_ms = now_ms + RETRY_MS;
                if is_open(waiting.to) {
                    due.push((waiting.to, message(id, &waiting.order)));
                }
            }
        }
        let next = self.waiting.values().map(|waiting| waiting.due_ms).min();
        self.due_at_ms = next.unwrap_or(u64::MAX);
        due
    }

    /// When something is due. ms
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(self.due_at_ms)
    }
}

fn message(id: u64, order: &KickOrder) -> node_pb::Kick {
    node_pb::Kick {
        id,
        user_id: order.user.0,
        class: order.class.number() as u64,
        epoch: order.epoch.0,
        reason: order.reason as u32,
        device_name: order.device_name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{DeviceClass, Epoch, UserId, pb};

    use super::*;

    const NODE: NodeId = NodeId(2);

    fn order(user: u64) -> KickOrder {
        KickOrder {
            node: Some(NODE),
            user: UserId(user),
            class: DeviceClass::Phone,
            epoch: Epoch(5),
            reason: pb::KickReason::Replaced,
            device_name: "tv".into(),
        }
    }

    fn due(kicks: &mut Kicks, now_ms: u64, is_open: bool) -> Vec<u64> {
        kicks.take_due(now_ms, |_| is_open).into_iter().map(|(_, kick)| kick.user_id).collect()
    }

    #[test]
    fn a_kick_is_repeated_until_it_is_acknowledged() {
        let mut kicks = Kicks::default();
        assert_eq!(kicks.poll_timeout(), None);
        kicks.push(100, NODE, order(1));
        kicks.push(100, NODE, order(2));
        assert_eq!(kicks.poll_timeout(), Some(100));
        assert_eq!(due(&mut kicks, 100, true), [1, 2]);
        assert_eq!(due(&mut kicks, 100 + RETRY_MS - 1, true), [0u64; 0]);
        kicks.handle_ack(NodeId(3), 1);
        kicks.handle_ack(NODE, 2);
        assert_eq!(due(&mut kicks, 100 + RETRY_MS, true), [1]);
        kicks.handle_ack(NODE, 1);
        assert_eq!(kicks.poll_timeout(), None);
    }

    #[test]
    fn a_kick_waits_for_a_node_that_is_away_but_not_for_ever() {
        let mut kicks = Kicks::default();
        kicks.push(0, NODE, order(1));
        assert_eq!(due(&mut kicks, 0, false), [0u64; 0]);
        kicks.handle_open(500, NODE);
        assert_eq!(due(&mut kicks, 500, true), [1]);
        kicks.handle_open(GIVE_UP_MS, NODE);
        assert_eq!(due(&mut kicks, GIVE_UP_MS, true), [0u64; 0]);
        assert_eq!(kicks.poll_timeout(), None);
    }
}
