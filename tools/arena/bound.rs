//! The earliest time at which a transport without redundancy can deliver a message on the link that
//! a run really had. Knows which datagrams were dropped and when the others arrived; no transport.

/// How the bound is computed, for readers.
pub const EXPLANATION: &str = "\
How the lower bound is computed (of 40-link: R/2 + kD with the drops of the run itself)

A run leaves a record of every datagram that the sending end sent: when, whether it was dropped, and
how long it was under way. An ideal sender is put on the same link: it sends a message in a datagram
of its own at the instant of the offer, and that datagram has the fate of the first one which the
real sender sent at that instant or later. If it arrived, the message is delivered after the time
that this one was under way (waiting in queues not counted: queues are of the sender's making).
If it was dropped, the ideal sender hears of it at the earliest possible time: when the first
datagram sent after it has arrived and an acknowledgement, sent at once, has come back; no
acknowledgement is ever lost to it. The acknowledgement takes the bare one-way delay; where delays
vary and datagrams keep their order it takes a draw of the link's own delays, because no second one
can overtake it. Where the link reorders, a gap is evidence only
after the whole jitter, because until then the datagram may still come. Where nothing is sent after it, silence is evidence: 1 ms after the latest time at which its acknowledgement could have come. The
ideal sender then sends again, with the fate of the real datagram of that time; and so on. Thus D of the formula is the
round trip plus the real time to the next datagram (0.1 ms at 10,000 messages per second) plus the
jitter where there is reordering; k comes from the real drops, so bursts are in it too.
  unordered bound: the distribution of these times.
  per-flow bound: a message is delivered when it and all earlier ones of its flow are.
  total bound: the same over all flows as one.
Quantiles of the bound are taken over the same messages as those of the run. Redundancy can be below
the bound; nothing else can, apart from chance in which datagrams were dropped.
";

use aldis_netsim::Rng;

/// One datagram of the sending end.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    /// When it was sent, ns.
    pub sent_ns: u64,
    /// How long it was under way without waiting in queues, ns; `None` if it was dropped.
    pub under_way_ns: Option<u64>,
}

/// What is known of the link.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Bare delay of one way, ns.
    pub one_way_ns: u64,
    /// Additional delay of one way at most, ns.
    pub jitter_ns: u64,
    /// Datagrams overtake each other, by as much as that.
    pub is_reordering: bool,
}

impl Wire {
    /// How long the acknowledgement is under way that tells of the loss of what was sent then.
    fn ack_under_way_ns(&self, lost_sent_ns: u64) -> u64 {
        // Of many acknowledgements that may overtake each other one is hardly delayed.
        let extra_ns_max = if self.is_reordering { 0 } else { self.jitter_ns };
        self.one_way_ns + Rng::new(lost_sent_ns).between(0, extra_ns_max)
    }
}

/// Resolution of the timer that takes silence for loss (kGranularity of RFC 9002).
const SILENCE_NS: u64 = 1_000_000;

/// The ideal sender on one link.
#[derive(Debug)]
pub struct Ideal {
    trips: Vec<Trip>,
    /// For each trip the earliest arrival among those sent after it; one more than trips.
    next_arrival_ns: Vec<u64>,
    wire: Wire,
}

impl Ideal {
    /// On the link that had these trips, ordered by time of sending.
    pub fn new(trips: Vec<Trip>, wire: Wire) -> Self {
        let mut next_arrival_ns = vec![u64::MAX; trips.len() + 1];
        for (index, trip) in trips.iter().enumerate().rev() {
            let arrival = trip.under_way_ns.map_or(u64::MAX, |under_way| trip.sent_ns + under_way);
            next_arrival_ns[index] = arrival.min(next_arrival_ns[index + 1]);
        }
        Self { trips, next_arrival_ns, wire }
    }

    /// When a message that is offered at this time arrives.
    pub fn arrival_ns(&self, offered_ns: u64) -> u64 {
        let mut at_ns = offered_ns;
        loop {
            let index = self.trips.partition_point(|trip| trip.sent_ns < at_ns);
            let Some(trip) = self.trips.get(index) else {
                return at_ns + self.wire.one_way_ns;
            };
            if let Some(under_way_ns) = trip.under_way_ns {
                return at_ns + under_way_ns;
            }
            let Wire { one_way_ns, jitter_ns, is_reordering } = self.wire;
            let doubtful_ns = if is_reordering { jitter_ns } else { 0 };
            let possible_ns = trip.sent_ns + one_way_ns + doubtful_ns;
            let evident_ns = self.next_arrival_ns[index + 1].max(possible_ns);
            let gap_ns = evident_ns.saturating_add(self.wire.ack_under_way_ns(trip.sent_ns));
            let silence_ns = trip.sent_ns + 2 * (one_way_ns + jitter_ns) + SILENCE_NS;
            at_ns = gap_ns.min(silence_ns);
        }
    }
}

/// The same deliveries, each not before those of its order's earlier messages. `order_of` names the
/// order that a message is in; messages come as (order, offered, arrived).
pub fn in_order(messages: &[(u32, u64, u64)]) -> Vec<u64> {
    let mut latest = std::collections::HashMap::new();
    messages
        .iter()
        .map(|(order, _, arrived_ns)| {
            let latest = latest.entry(*order).or_insert(0_u64);
            *latest = (*latest).max(*arrived_ns);
            *latest
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Ideal, Trip, Wire, in_order};

    const WIRE: Wire = Wire { one_way_ns: 5_000, jitter_ns: 0, is_reordering: false };

    fn ideal(dropped: &[u64], wire: Wire) -> Ideal {
        let trip = |n: u64| Trip {
            sent_ns: n * 100,
            under_way_ns: (!dropped.contains(&n)).then_some(wire.one_way_ns),
        };
        Ideal::new((0..1_000).map(trip).collect(), wire)
    }

    #[test]
    fn without_loss_a_message_takes_the_bare_way() {
        assert_eq!(ideal(&[], WIRE).arrival_ns(300), 5_300);
    }

    #[test]
    fn a_loss_costs_a_round_trip_and_the_time_to_the_next_datagram() {
        assert_eq!(ideal(&[3], WIRE).arrival_ns(300), 300 + 5_000 + 10_100);
        // The next two are lost too: evidence comes later.
        assert_eq!(ideal(&[3, 4, 5], WIRE).arrival_ns(300), 300 + 5_000 + 10_300);
    }

    #[test]
    fn a_lost_repetition_costs_another() {
        // Sent again at 10,400, which is lost again.
        assert_eq!(ideal(&[3, 104], WIRE).arrival_ns(300), 300 + 5_000 + 2 * 10_100);
    }

    #[test]
    fn silence_is_evidence_where_nothing_follows() {
        let trips = [Trip { sent_ns: 300, under_way_ns: None }].to_vec();
        assert_eq!(Ideal::new(trips, WIRE).arrival_ns(300), 300 + 10_000 + 1_000_000 + 5_000);
    }

    #[test]
    fn where_datagrams_overtake_a_gap_must_last_as_long_as_that_can_take() {
        let wire = Wire { jitter_ns: 6_000, is_reordering: true, ..WIRE };
        assert_eq!(ideal(&[3], wire).arrival_ns(300), 300 + 5_000 + 10_000 + 6_000);
    }

    #[test]
    fn where_delays_vary_in_order_so_does_the_acknowledgement() {
        let wire = Wire { jitter_ns: 2_000, ..WIRE };
        let took: Vec<u64> = (10..500)
            .map(|lost| ideal(&[lost], wire).arrival_ns(lost * 100) - lost * 100)
            .collect();
        let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
        assert!((15_100..15_200).contains(least) && (17_000..=17_100).contains(most));
    }

    #[test]
    fn order_delays_what_comes_after_a_late_one_in_the_same_order_only() {
        let messages = [(0, 0, 50), (1, 1, 10), (0, 2, 20), (0, 60, 70)];
        assert_eq!(in_order(&messages), [50, 10, 50, 70]);
    }
}
