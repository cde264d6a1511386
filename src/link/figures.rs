//! What a link counts for whoever watches it, by node and kind of message. Data only.

use std::collections::BTreeMap;

use aldis_logic::cluster::Backlog;
use aldis_logic::job::NodeId;
use aldis_rudp::{Rejected, Stats};

/// What the messages of node.proto are called, by the number of their field. The last name is for
/// what this program does not know.
pub const KINDS: [&str; 9] = [
    "hello",
    "deliver",
    "misplaced",
    "kick",
    "kick_ack",
    "check_heads",
    "notice",
    "presence",
    "unknown",
];
/// The rows of what is in no store: it is sent where there is room.
pub(crate) const KINDS_UNSTORED: std::ops::RangeInclusive<usize> = 6..=7;

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct LinkFigures {
    /// By node, all that were ever linked in this life.
    pub peers: BTreeMap<u16, PeerFigures>,
    /// Datagrams that were dropped, by reason.
    pub rejected: Rejected,
    /// What waits in the hub; `None`: there is no link.
    pub backlog: Option<Backlog>,
    /// Times that entries did not fit the link's queue.
    pub overflows: u64,
}

/// Of one node.
#[derive(Clone, Debug, Default)]
pub struct PeerFigures {
    /// Messages given to the link, by kind.
    pub sent: [u64; KINDS.len()],
    /// Messages that came, by kind.
    pub received: [u64; KINDS.len()],
    /// Messages that were dropped because too much was under way.
    pub dropped: u64,
    /// Sessions that ended.
    pub ended: u64,
    /// Of the session that there is.
    pub session: Option<Stats>,
    /// Counters of earlier sessions.
    before: Stats,
}

impl PeerFigures {
    /// A counter of all sessions together.
    pub fn total(&self, of: fn(&Stats) -> u64) -> u64 {
        of(&self.before) + self.session.as_ref().map_or(0, of)
    }

    fn end_session(&mut self) {
        let Some(last) = self.session.take() else { return };
        let sum = &mut self.before;
        sum.datagrams_sent += last.datagrams_sent;
        sum.datagrams_received += last.datagrams_received;
        sum.bytes_sent += last.bytes_sent;
        sum.bytes_received += last.bytes_received;
        sum.datagrams_lost += last.datagrams_lost;
        sum.losses_spurious += last.losses_spurious;
        sum.repairs_sent += last.repairs_sent;
        sum.recovered += last.recovered;
        sum.duplicates += last.duplicates;
        self.ended += 1;
    }
}

impl LinkFigures {
    /// A message of this kind was given to the link.
    pub(crate) fn note_sent(&mut self, node: NodeId, kind: usize) {
        self.peer(node).sent[kind] += 1;
    }

    /// A message of this kind came.
    pub(crate) fn note_received(&mut self, node: NodeId, kind: usize) {
        self.peer(node).received[kind] += 1;
    }

    /// A message did not fit.
    pub(crate) fn note_dropped(&mut self, node: NodeId) {
        self.peer(node).dropped += 1;
    }

    /// The session with a node is over.
    pub(crate) fn note_end(&mut self, node: NodeId) {
        self.peer(node).end_session();
    }

    /// Of the session with a node, now.
    pub(crate) fn note_session(&mut self, node: NodeId, stats: Stats) {
        self.peer(node).session = Some(stats);
    }

    fn peer(&mut self, node: NodeId) -> &mut PeerFigures {
        self.peers.entry(node.0).or_default()
    }
}

/// The kind of an encoded message, a row of `KINDS`: its first byte names the field that it holds.
pub(crate) fn kind_of(message: &[u8]) -> usize {
    let number = usize::from(message.first().copied().unwrap_or(0) >> 3);
    let unknown = KINDS.len() - 1;
    number.checked_sub(1).map_or(unknown, |row| row.min(unknown))
}

#[cfg(test)]
mod tests {
    use aldis_wire::node_pb::{self, node_message::Body};
    use aldis_wire::{Message, Recipients};

    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_first_byte() {
        let kind = |body| {
            let message = node_pb::NodeMessage { body: Some(body) };
            KINDS[kind_of(&message.encode_to_vec())]
        };
        assert_eq!(kind(Body::Hello(node_pb::Hello::default())), "hello");
        assert_eq!(kind(Body::Deliver(node_pb::Deliver::default())), "deliver");
        assert_eq!(kind(Body::Misplaced(node_pb::Misplaced::default())), "misplaced");
        assert_eq!(kind(Body::Kick(node_pb::Kick::default())), "kick");
        assert_eq!(kind(Body::KickAck(node_pb::KickAck::default())), "kick_ack");
        assert_eq!(kind(Body::CheckHeads(node_pb::CheckHeads::default())), "check_heads");
        let notice = kind(Body::Notice(node_pb::Notice::default()));
        let presence = kind(Body::Presence(node_pb::PresenceHints::default()));
        assert_eq!([notice, presence], KINDS[KINDS_UNSTORED]);
        assert_eq!((notice, presence), ("notice", "presence"));
        assert_eq!(KINDS[kind_of(&Recipients::default().message(b"x", false))], "deliver");
        assert_eq!((KINDS[kind_of(&[])], KINDS[kind_of(&[0xFF])]), ("unknown", "unknown"));
    }

    #[test]
    fn counters_go_on_after_a_session_and_figures_of_the_moment_do_not() {
        let mut figures = LinkFigures::default();
        let stats = Stats { datagrams_sent: 5, in_flight: 9, ..Stats::default() };
        figures.note_session(NodeId(2), stats);
        figures.note_end(NodeId(2));
        figures.note_end(NodeId(2));
        figures.note_session(NodeId(2), Stats { datagrams_sent: 1, ..Stats::default() });
        let peer = &figures.peers[&2];
        assert_eq!((peer.total(|stats| stats.datagrams_sent), peer.ended), (6, 1));
        assert_eq!(peer.total(|stats| stats.in_flight), 0);
    }
}
