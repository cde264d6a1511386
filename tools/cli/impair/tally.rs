//! What happened to the traffic of one direction, in numbers. Knows no reason for them.

use std::io;

use serde_json::{Value, json};

/// Totals since the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Datagrams or pieces of streams that arrived at the relay.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Sent on.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Lost at random, alone or in bursts.
    pub lost: u64,
    /// Dropped by the queue before a limited rate.
    pub queue_dropped: u64,
    /// Dropped while the way was cut.
    pub partitioned: u64,
    /// Dropped because they are over the MTU.
    pub too_large: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Sent on with a flipped bit.
    pub altered: u64,
    /// Sent on after one that had arrived later.
    pub reordered: u64,
    /// Dropped because too many were under way.
    pub overflowed: u64,
    /// Dropped by the kernel: the socket was full, or nobody listens.
    pub unsent: u64,
    /// From somebody who is no part of this relay, or beyond the flows it has room for.
    pub refused: u64,
    /// Arrival time of the latest that was sent on, by flow.
    latest_ns: Vec<u64>,
}

impl Tally {
    /// One that arrived at this time was sent on.
    pub fn note_order(&mut self, flow: usize, arrived_ns: u64) {
        if flow >= self.latest_ns.len() {
            self.latest_ns.resize(flow + 1, 0);
        }
        let latest = &mut self.latest_ns[flow];
        self.reordered += u64::from(arrived_ns < *latest);
        *latest = arrived_ns.max(*latest);
    }

    /// What the kernel said to a send.
    pub fn note_sent(&mut self, sent: io::Result<usize>) {
        match sent {
            Ok(len) => {
                self.sent += 1;
                self.sent_bytes += len as u64;
            }
            Err(_) => self.unsent += 1,
        }
    }

    /// Everything that is not zero, for people.
    pub fn sentence(&self) -> String {
        let named = self.named();
        let parts = named.iter().filter(|(_, count)| *count > 0);
        let parts: Vec<_> = parts.map(|(name, count)| format!("{name} {count}")).collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let named = self.named();
        Value::Object(named.into_iter().map(|(name, count)| (name.into(), json!(count))).collect())
    }

    fn named(&self) -> [(&'static str, u64); 14] {
        [
            ("received", self.received),
            ("received_bytes", self.received_bytes),
            ("sent", self.sent),
            ("sent_bytes", self.sent_bytes),
            ("lost", self.lost),
            ("queue_dropped", self.queue_dropped),
            ("partitioned", self.partitioned),
            ("too_large", self.too_large),
            ("duplicated", self.duplicated),
            ("altered", self.altered),
            ("reordered", self.reordered),
            ("overflowed", self.overflowed),
            ("unsent", self.unsent),
            ("refused", self.refused),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overtaking_is_counted_within_a_flow() {
        let mut tally = Tally::default();
        [(0, 1), (0, 3), (1, 2), (0, 2), (0, 4), (0, 4)]
            .into_iter()
            .for_each(|(flow, at_ns)| tally.note_order(flow, at_ns));
        assert_eq!(tally.reordered, 1);
        assert_eq!(tally.sentence(), "reordered 1");
    }
}
