//! The application over one transport: offers what is due, keeps what the transport refused, and
//! enters deliveries. Knows ends by their interface.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::content;
use crate::end::End;
use crate::ledger::Ledger;
use crate::offer::{Clockwork, Demand};

/// One client's application.
pub struct Pair {
    /// What was sent and delivered.
    pub ledger: Ledger,
    /// Bytes delivered within the measured time.
    pub goodput_bytes: u64,
    demand: Demand,
    clockwork: Option<Clockwork>,
    is_begun: bool,
    /// Messages that the transport did not take yet, by flow, because one flow's wait is not
    /// another's.
    refused: BTreeMap<u32, VecDeque<Bytes>>,
}

impl Pair {
    /// That waits for its beginning.
    pub fn new(demand: Demand) -> Self {
        Self {
            ledger: Ledger::default(),
            goodput_bytes: 0,
            demand,
            clockwork: None,
            is_begun: false,
            refused: BTreeMap::new(),
        }
    }

    /// From now on messages are offered.
    pub fn begin(&mut self, now_ns: u64, until_ns: u64, seed: u64) {
        self.clockwork = Some(Clockwork::new(&self.demand, now_ns, until_ns, seed));
        self.is_begun = true;
    }

    /// Whether it takes what it can get.
    pub fn is_flood(&self) -> bool {
        self.demand.flood.is_some()
    }

    /// When the next message is due.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.clockwork.as_ref().and_then(Clockwork::next_at_ns)
    }

    /// Offers what is due; whether anything was.
    pub fn offer(&mut self, now_ns: u64, end: &mut dyn End) -> bool {
        let mut is_offered = false;
        while let Some(offer) = self.clockwork.as_mut().and_then(|work| work.poll(now_ns)) {
            is_offered = true;
            let number = self.ledger.offer(offer.at_ns, offer.flow, offer.bytes);
            let message = content::write(number, offer.bytes);
            let waits = self.refused.contains_key(&offer.flow);
            if waits || !end.send(now_ns, offer.flow, &message) {
                self.refused.entry(offer.flow).or_default().push_back(message);
            }
        }
        is_offered
    }

    /// Offers again what was refused, and more if it is a flood.
    pub fn refill(&mut self, now_ns: u64, end: &mut dyn End) {
        self.refused.retain(|flow, messages| {
            while messages.front().is_some_and(|message| end.send(now_ns, *flow, message)) {
                messages.pop_front();
            }
            !messages.is_empty()
        });
        let Some(flood) = self.demand.flood.filter(|_| self.is_begun) else {
            return;
        };
        while self.ledger.outstanding_bytes() < flood.outstanding_bytes_max
            && self.refused.is_empty()
        {
            let number = self.ledger.offer(now_ns, flood.flow, flood.bytes);
            let message = content::write(number, flood.bytes);
            if !end.send(now_ns, flood.flow, &message) {
                self.refused.entry(flood.flow).or_default().push_back(message);
            }
        }
    }

    /// Enters a delivery, and answers its number if it was whole.
    pub fn deliver(&mut self, now_ns: u64, message: &[u8], is_measured: bool) -> Option<u64> {
        let before = self.ledger.delivered_bytes();
        let number = self.ledger.deliver(now_ns, message);
        if is_measured {
            self.goodput_bytes += self.ledger.delivered_bytes() - before;
        }
        number
    }
}
