//! What one client sent and what of it was delivered, when, how often and in which order. Knows
//! numbers of messages, no transport.

use std::collections::HashMap;

use crate::content;

/// Not yet.
const NEVER: u64 = u64::MAX;

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When it was offered, ns.
    pub at_ns: u64,
    /// When it was delivered first, ns.
    pub delivered_ns: u64,
    /// Its flow.
    pub flow: u32,
    /// Its size.
    pub bytes: u32,
}

impl Sent {
    /// From offer to delivery.
    pub fn latency_ns(&self) -> Option<u64> {
        (self.delivered_ns != NEVER).then(|| self.delivered_ns - self.at_ns)
    }
}

/// Deliveries that should not have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Altered.
    pub altered: u64,
    /// Delivered before.
    pub doubled: u64,
    /// Overtaken by a later one of its flow.
    pub disordered: u64,
}

/// All messages of a client.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: Vec<Sent>,
    faults: Faults,
    /// The latest number delivered of each flow.
    latest: HashMap<u32, u64>,
    outstanding_count: usize,
    outstanding_bytes: u64,
    delivered_bytes: u64,
}

impl Ledger {
    /// Enters a message and answers its number.
    pub fn offer(&mut self, at_ns: u64, flow: u32, bytes: usize) -> u64 {
        let bytes = u32::try_from(bytes).expect("messages are below 4 GiB");
        self.sent.push(Sent { at_ns, delivered_ns: NEVER, flow, bytes });
        self.outstanding_count += 1;
        self.outstanding_bytes += u64::from(bytes);
        self.sent.len() as u64 - 1
    }

    /// Enters a delivery, and answers the number of the message if it was whole.
    pub fn deliver(&mut self, now_ns: u64, message: &[u8]) -> Option<u64> {
        let number = content::read(message);
        let index = number.and_then(|number| usize::try_from(number).ok());
        let Some(sent) = index.and_then(|index| self.sent.get_mut(index)) else {
            self.faults.altered += 1;
            return None;
        };
        if sent.delivered_ns != NEVER {
            self.faults.doubled += 1;
            return number;
        }
        sent.delivered_ns = now_ns;
        self.outstanding_count -= 1;
        self.outstanding_bytes -= u64::from(sent.bytes);
        self.delivered_bytes += u64::from(sent.bytes);
        let latest = self.latest.entry(sent.flow).or_default();
        if number < Some(*latest) {
            self.faults.disordered += 1;
        }
        *latest = number.unwrap_or_default().max(*latest);
        number
    }

    /// All messages, by number.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Wrong deliveries.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// Messages offered and not delivered.
    pub fn outstanding_count(&self) -> usize {
        self.outstanding_count
    }

    /// Their bytes.
    pub fn outstanding_bytes(&self) -> u64 {
        self.outstanding_bytes
    }

    /// Bytes of messages delivered.
    pub fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Faults, Ledger};
    use crate::content;

    #[test]
    fn a_delivery_counts_once_and_wrong_ones_are_told_apart() {
        let mut ledger = Ledger::default();
        let messages: Vec<_> = (0..3)
            .map(|n| content::write(ledger.offer(n * 10, if n == 1 { 1 } else { 0 }, 64), 64))
            .collect();
        assert_eq!(ledger.deliver(100, &messages[2]), Some(2));
        ledger.deliver(110, &messages[1]);
        ledger.deliver(120, &messages[0]);
        ledger.deliver(130, &messages[0]);
        let mut altered = messages[0].to_vec();
        altered[40] ^= 1;
        ledger.deliver(140, &altered);
        assert_eq!(ledger.faults(), Faults { altered: 1, doubled: 1, disordered: 1 });
        assert_eq!((ledger.outstanding_count(), ledger.delivered_bytes()), (0, 192));
        let latencies: Vec<_> = ledger.sent().iter().map(|sent| sent.latency_ns()).collect();
        assert_eq!(latencies, [Some(120), Some(100), Some(80)]);
    }
}
