//! What the link's thread counts, by node and kind of message, and how whoever asks for the page
//! sees it. Knows no datagram.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_logic::cluster::Backlog;
use aldis_logic::job::NodeId;
use aldis_rudp::{Rejected, Stats};
use parking_lot::Mutex;

/// What the messages of node.proto are called, by the number of their field. The last name is for
/// what this program does not know.
pub const KINDS: [&str; 7] =
    ["hello", "deliver", "misplaced", "kick", "kick_ack", "check_heads", "unknown"];
/// Pause between two moments at which the figures are made visible: they are copied then.
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);

/// Everything, as it was a moment ago.
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

/// What the page looks at.
pub type PublishedLink = Arc<Mutex<LinkFigures>>;

/// The counters, for the link's thread.
#[derive(Debug, Default)]
pub struct LinkCounts {
    figures: LinkFigures,
    published: PublishedLink,
    published_at: Option<Instant>,
}

impl LinkCounts {
    /// What they are published to.
    pub fn new(published: PublishedLink) -> Self {
        Self { published, ..Self::default() }
    }

    /// A message of this kind was given to the link.
    pub fn note_sent(&mut self, node: NodeId, kind: usize) {
        self.peer(node).sent[kind] += 1;
    }

    /// A message of this kind came.
    pub fn note_received(&mut self, node: NodeId, kind: usize) {
        self.peer(node).received[kind] += 1;
    }

    /// A message did not fit.
    pub fn note_dropped(&mut self, node: NodeId) {
        self.peer(node).dropped += 1;
    }

    /// Entries did not fit the link's queue.
    pub fn note_overflow(&mut self) {
        self.figures.overflows += 1;
    }

    /// The session with a node is over.
    pub fn note_end(&mut self, node: NodeId) {
        self.peer(node).end_session();
    }

    /// Of the session with a node, now.
    pub fn note_session(&mut self, node: NodeId, stats: Stats) {
        self.peer(node).session = Some(stats);
    }

    /// When the figures are to be published; they are as of now, or will be.
    pub fn due_at(&self, now: Instant) -> Instant {
        self.published_at.map_or(now, |at| at + PUBLISH_PAUSE)
    }

    /// Makes visible what was counted, what waits and what was dropped.
    pub fn publish(&mut self, now: Instant, backlog: Backlog, rejected: Rejected) {
        (self.figures.backlog, self.figures.rejected) = (Some(backlog), rejected);
        self.published.lock().clone_from(&self.figures);
        self.published_at = Some(now);
    }

    fn peer(&mut self, node: NodeId) -> &mut PeerFigures {
        self.figures.peers.entry(node.0).or_default()
    }
}

/// The kind of an encoded message, a row of `KINDS`: its first byte names the field that it holds.
pub fn kind_of(message: &[u8]) -> usize {
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
        assert_eq!(KINDS[kind_of(&Recipients::default().message(b"x", false))], "deliver");
        assert_eq!((KINDS[kind_of(&[])], KINDS[kind_of(&[0xFF])]), ("unknown", "unknown"));
    }

    #[test]
    fn counters_go_on_after_a_session_and_figures_of_the_moment_do_not() {
        let published = PublishedLink::default();
        let mut counts = LinkCounts::new(published.clone());
        let stats = Stats { datagrams_sent: 5, in_flight: 9, ..Stats::default() };
        counts.note_session(NodeId(2), stats);
        counts.note_end(NodeId(2));
        counts.note_end(NodeId(2));
        counts.note_session(NodeId(2), Stats { datagrams_sent: 1, ..Stats::default() });
        let now = Instant::now();
        assert_eq!(counts.due_at(now), now, "nothing was published yet");
        let backlog = Backlog { parked: 3, parked_bytes: 700, kicks: 0 };
        counts.publish(now, backlog, Rejected::default());
        let figures = published.lock();
        let peer = &figures.peers[&2];
        assert_eq!((peer.total(|stats| stats.datagrams_sent), peer.ended), (6, 1));
        assert_eq!((peer.total(|stats| stats.in_flight), figures.backlog), (0, Some(backlog)));
    }
}
