//! The link's part of the page that Prometheus reads. Counts nothing itself.

use aldis_rudp::Stats;
use prometheus::proto::MetricType;

use super::page::{Labels, Page};
use aldis_link::{KINDS, LinkFigures, PeerFigures};

/// One counter of a session.
type TotalOf = fn(&Stats) -> u64;

/// Counters by node: name, help, which.
const TOTALS: [(&str, &str, TotalOf); 9] = [
    ("aldis_link_datagrams_sent_total", "Datagrams sent to a node.", |one| one.datagrams_sent),
    ("aldis_link_datagrams_received_total", "Authentic datagrams of a node.", |one| {
        one.datagrams_received
    }),
    ("aldis_link_sent_bytes_total", "Bytes of datagrams sent to a node.", |one| one.bytes_sent),
    ("aldis_link_received_bytes_total", "Bytes of authentic datagrams of a node.", |one| {
        one.bytes_received
    }),
    (
        "aldis_link_datagrams_lost_total",
        "Datagrams to a node that were taken for lost; what they held was sent again.",
        |one| one.datagrams_lost,
    ),
    (
        "aldis_link_spurious_losses_total",
        "Datagrams taken for lost that were acknowledged after all.",
        |one| one.losses_spurious,
    ),
    ("aldis_link_repairs_sent_total", "Repair datagrams sent to a node.", |one| one.repairs_sent),
    (
        "aldis_link_datagrams_repaired_total",
        "Datagrams of a node that a repair brought back.",
        |one| one.recovered,
    ),
    (
        "aldis_link_duplicate_messages_total",
        "Messages of a node that came again and were dropped.",
        |one| one.duplicates,
    ),
];

impl Page {
    /// Of a node with a link; nothing without one.
    pub(super) fn link(&mut self, figures: &LinkFigures) {
        let Some(backlog) = figures.backlog else { return };
        self.rejected(figures);
        let help = "Entries that wait until it is known which node their owners are on.";
        self.gauge("aldis_link_parked_entries", help, backlog.parked as u64);
        let help = "Bytes of entries that wait until it is known which node their owners are on.";
        self.gauge("aldis_link_parked_bytes", help, backlog.parked_bytes as u64);
        let help = "Sessions on other nodes that are to end and are not known to.";
        self.gauge("aldis_link_unacknowledged_kicks", help, backlog.kicks as u64);
        let help = "Times that entries did not fit the link's queue.";
        self.counter("aldis_link_overflows_total", help, figures.overflows);
        self.messages(figures);
        for (name, help, of) in TOTALS {
            let kind = MetricType::COUNTER;
            self.by_peer(figures, name, help, kind, |peer| Some(peer.total(of) as f64));
        }
        self.sessions(figures);
    }

    fn rejected(&mut self, figures: &LinkFigures) {
        let rejected = figures.rejected;
        let reasons = [
            ("handshake", rejected.handshakes),
            ("forged", rejected.forged),
            ("replayed", rejected.replayed),
            ("stray", rejected.strangers),
        ];
        let values = reasons.map(|(reason, count)| {
            let labels: Labels = vec![("reason", reason.to_owned())];
            (labels, count as f64)
        });
        let help = "Datagrams dropped: of a handshake without this cluster's key, forged or damaged, \
                    seen before, of no session.";
        let name = "aldis_link_datagrams_rejected_total";
        self.family(name, help, MetricType::COUNTER, values.into());
    }

    /// Only what happened: most kinds are rare.
    fn messages(&mut self, figures: &LinkFigures) {
        let rows = |of: fn(&PeerFigures) -> &[u64; KINDS.len()]| {
            let mut values = Vec::new();
            for (node, peer) in &figures.peers {
                for (kind, count) in KINDS.iter().zip(of(peer)).filter(|(_, count)| **count > 0) {
                    let labels: Labels =
                        vec![("peer", node.to_string()), ("kind", (*kind).to_owned())];
                    values.push((labels, *count as f64));
                }
            }
            values
        };
        let (sent, received) = (rows(|peer| &peer.sent), rows(|peer| &peer.received));
        let help = "Messages given to the link, by node and kind.";
        self.family("aldis_link_messages_sent_total", help, MetricType::COUNTER, sent);
        let help = "Messages that came over the link, by node and kind.";
        self.family("aldis_link_messages_received_total", help, MetricType::COUNTER, received);
        let help = "Messages dropped because too much was under way; the node was told to look.";
        let name = "aldis_link_messages_dropped_total";
        self.by_peer(figures, name, help, MetricType::COUNTER, |peer| Some(peer.dropped as f64));
    }

    fn sessions(&mut self, figures: &LinkFigures) {
        let gauge = MetricType::GAUGE;
        let help = "1 while there is a session with the node.";
        let is_up = |peer: &PeerFigures| Some(f64::from(u8::from(peer.session.is_some())));
        self.by_peer(figures, "aldis_link_up", help, gauge, is_up);
        let help = "Sessions with the node that ended.";
        let ended = |peer: &PeerFigures| Some(peer.ended as f64);
        let kind = MetricType::COUNTER;
        self.by_peer(figures, "aldis_link_sessions_ended_total", help, kind, ended);
        let help = "Smoothed round trip time to the node.";
        self.by_peer(figures, "aldis_link_rtt_seconds", help, gauge, |peer| {
            Some(peer.session.as_ref()?.rtt.as_secs_f64())
        });
        let help = "Messages to the node that it did not acknowledge yet.";
        self.by_peer(figures, "aldis_link_unacknowledged_messages", help, gauge, |peer| {
            Some(peer.session.as_ref()?.messages_unacknowledged as f64)
        });
        let help = "Bytes on their way to the node.";
        self.by_peer(figures, "aldis_link_in_flight_bytes", help, gauge, |peer| {
            Some(peer.session.as_ref()?.in_flight as f64)
        });
        let help = "Memory of the session with the node, messages that wait included.";
        self.by_peer(figures, "aldis_link_session_memory_bytes", help, gauge, |peer| {
            Some(peer.session.as_ref()?.memory_bytes as f64)
        });
    }

    fn by_peer(
        &mut self,
        figures: &LinkFigures,
        name: &str,
        help: &str,
        kind: MetricType,
        of: impl Fn(&PeerFigures) -> Option<f64>,
    ) {
        let values = figures.peers.iter().filter_map(|(node, peer)| {
            let labels: Labels = vec![("peer", node.to_string())];
            Some((labels, of(peer)?))
        });
        self.family(name, help, kind, values.collect());
    }
}
