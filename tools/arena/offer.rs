//! What is asked of a transport: messages at fixed times, whatever became of those before (open
//! loop), or as many as it takes. Knows times, sizes and flows.

use std::ops::{Range, RangeInclusive};

use aldis_netsim::Rng;

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// When, ns.
    pub at_ns: u64,
    /// In which flow.
    pub flow: u32,
    /// How large.
    pub bytes: usize,
}

/// Messages at a steady pace.
#[derive(Clone, Debug)]
pub struct Pace {
    /// From one to the next, ns.
    pub period_ns: u64,
    /// Sizes, uniform.
    pub bytes: RangeInclusive<u64>,
    /// Flows, uniform.
    pub flows: Range<u32>,
}

/// As much as the transport takes.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Size of a message.
    pub bytes: usize,
    /// Bytes that may be sent and not delivered; enough for any link that is simulated.
    pub outstanding_bytes_max: u64,
    /// The flow.
    pub flow: u32,
}

/// What is asked of one client.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Open loops.
    pub paces: Vec<Pace>,
    /// They end so many ns after they begin, if not before.
    pub until_ns: u64,
    /// A closed loop.
    pub flood: Option<Flood>,
}

/// The open loops of a client in time.
#[derive(Debug)]
pub struct Clockwork {
    paces: Vec<(u64, Pace)>,
    until_ns: u64,
    rng: Rng,
}

impl Clockwork {
    /// From one time to another, ns.
    pub fn new(demand: &Demand, from_ns: u64, until_ns: u64, seed: u64) -> Self {
        let paces = demand.paces.iter().map(|pace| (from_ns, pace.clone())).collect();
        let until_ns = until_ns.min(from_ns.saturating_add(demand.until_ns));
        Self { paces, until_ns, rng: Rng::new(seed) }
    }

    /// When the next message is to be sent.
    pub fn next_at_ns(&self) -> Option<u64> {
        let next = self.paces.iter().map(|(at_ns, _)| *at_ns).min();
        next.filter(|at_ns| *at_ns < self.until_ns)
    }

    /// The next message that is due.
    pub fn poll(&mut self, now_ns: u64) -> Option<Offer> {
        let at_ns = self.next_at_ns().filter(|at_ns| *at_ns <= now_ns)?;
        let (next_ns, pace) = self.paces.iter_mut().find(|(next_ns, _)| *next_ns == at_ns)?;
        *next_ns += pace.period_ns;
        let bytes = self.rng.between(*pace.bytes.start(), *pace.bytes.end()) as usize;
        let flow = self.rng.between(pace.flows.start.into(), u64::from(pace.flows.end) - 1) as u32;
        Some(Offer { at_ns, flow, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::{Clockwork, Demand, Pace};

    #[test]
    fn messages_come_at_their_pace_and_in_time_order() {
        let pace = |period_ns, flow| Pace { period_ns, bytes: 64..=64, flows: flow..flow + 1 };
        let demand = Demand { paces: vec![pace(100, 0), pace(250, 1)], until_ns: 500, flood: None };
        let mut clockwork = Clockwork::new(&demand, 1_000, 9_000, 1);
        let mut offers = Vec::new();
        while let Some(at_ns) = clockwork.next_at_ns() {
            assert_eq!(clockwork.poll(at_ns - 1), None);
            offers.extend(clockwork.poll(at_ns).map(|offer| (offer.at_ns, offer.flow)));
        }
        let expected =
            [(1_000, 0), (1_000, 1), (1_100, 0), (1_200, 0), (1_250, 1), (1_300, 0), (1_400, 0)];
        assert_eq!(offers, expected);
    }
}
