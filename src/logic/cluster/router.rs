//! Where an entry goes: one message for each node that has owners of it. Knows the cache and what it
//! sent lately; whether a node can be reached is told to it.

use std::collections::VecDeque;

use aldis_wire::{DeviceClass, Epoch, Message, PushTail, Recipients, Seq, UserId, node_pb};
use bytes::Bytes;
use node_pb::node_message::Body;
use smallvec::SmallVec;

use super::parked::Sought;
use super::routes::{RemoteSession, RemoteSessions};
use crate::job::NodeId;

/// How long a delivery is remembered, so that it can be sent again to where its reader is by now. An
/// answer takes a round trip; what comes later than this is made up for by head checks. ms
const REMEMBERED_MS: u64 = 500;
/// Bytes of deliveries that are remembered, bodies included.
const REMEMBERED_BYTES_MAX: usize = 8 << 20;

/// What all owners of an entry get.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// The entry.
    pub push: PushTail,
    /// See `Outgoing`.
    pub flow: u32,
}

impl Shared {
    /// What it takes in memory, bytes, roughly.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.push.len()
    }
}

/// The parts of one entry.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// By node; few.
    parts: SmallVec<[(NodeId, Recipients); 2]>,
}

impl Parts {
    /// The entry goes to those of the user's sessions for which `is_wanted` holds.
    pub fn add(
        &mut self,
        user: UserId,
        seq: Seq,
        sessions: &RemoteSessions,
        is_wanted: impl Fn(&RemoteSession) -> bool,
    ) {
        for (index, session) in sessions.iter().enumerate() {
            let node = session.node;
            // Once for each node, with all sessions there.
            if !is_wanted(session)
                || sessions[..index].iter().any(|s| s.node == node && is_wanted(s))
            {
                continue;
            }
            let there = sessions.iter().filter(|s| s.node == node && is_wanted(s));
            let named = there.map(|s| (s.class.number() as u64, s.epoch.0));
            self.recipients(node).push(user.0, seq.0, named);
        }
    }

    /// The entry goes to this node in case that the user is there.
    pub fn add_guess(&mut self, user: UserId, seq: Seq, node: NodeId) {
        self.recipients(node).push(user.0, seq.0, std::iter::empty());
    }

    /// The parts.
    pub fn into_iter(self) -> impl Iterator<Item = (NodeId, Recipients)> {
        self.parts.into_iter()
    }

    fn recipients(&mut self, node: NodeId) -> &mut Recipients {
        let at = self.parts.iter().position(|(known, _)| *known == node);
        let at = at.unwrap_or_else(|| {
            self.parts.push((node, Recipients::default()));
            self.parts.len() - 1
        });
        &mut self.parts[at].1
    }
}

/// What was sent lately.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Their ids rise by one.
    deliveries: VecDeque<Delivered>,
    last_id: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Delivered {
    /// `None`: it was the second sending, or there is nobody to send it to again.
    entry: Option<Shared>,
    at_ms: u64,
    /// Whom it was sent to for the second time.
    sought_again: SmallVec<[UserId; 1]>,
}

impl Sent {
    /// Numbers a delivery, and remembers its entry if there is one.
    pub fn push(&mut self, now_ms: u64, entry: Option<Shared>) -> u64 {
        self.last_id += 1;
        let delivered = Delivered { entry, at_ms: now_ms, sought_again: SmallVec::new() };
        self.bytes += delivered.weight();
        self.deliveries.push_back(delivered);
        while let Some(oldest) = self.deliveries.front()
            && (oldest.at_ms + REMEMBERED_MS <= now_ms || self.bytes > REMEMBERED_BYTES_MAX)
        {
            self.bytes -= oldest.weight();
            self.deliveries.pop_front();
        }
        self.last_id
    }

    /// The entry of a delivery, to be sent to a user again. Each is given out once.
    pub fn take_again(&mut self, id: u64, user: UserId) -> Option<Shared> {
        let back = usize::try_from(self.last_id.checked_sub(id)?).ok()?;
        let index = self.deliveries.len().checked_sub(back + 1)?;
        let delivered = self.deliveries.get_mut(index)?;
        let entry = delivered.entry.clone()?;
        // Only owners of the entry are in its messages, so this list is as short as theirs.
        if delivered.sought_again.contains(&user) {
            return None;
        }
        delivered.sought_again.push(user);
        Some(entry)
    }
}

impl Delivered {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.entry.as_ref().map_or(0, |entry| entry.weight())
    }
}

/// The sessions that an answer is about; nothing if it names no class that there is.
pub(super) fn denied(from: NodeId, said: &node_pb::Misplacement) -> Option<RemoteSession> {
    let class = DeviceClass::from_number(i64::try_from(said.class).ok()?)?;
    Some(RemoteSession { node: from, class, epoch: Epoch(said.epoch) })
}

/// Whether a session that the directory names is one that the entry has to go to.
pub(super) fn is_wanted(sought: &Sought, session: &RemoteSession) -> bool {
    !sought.sent_to.contains(&session.node) && sought.denied != Some(*session)
}

/// An encoded message.
pub(super) fn encode(body: Body) -> Bytes {
    Bytes::from(node_pb::NodeMessage { body: Some(body) }.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Shared {
        Shared { push: PushTail::from_encoded(Bytes::from(vec![1; bytes])), flow: 0 }
    }

    #[test]
    fn a_delivery_is_given_out_again_once_for_each_reader_and_not_for_ever() {
        let mut sent = Sent::default();
        let first = sent.push(0, Some(entry(5)));
        let second = sent.push(10, Some(entry(6)));
        let last = sent.push(10, None);
        let len = |entry: Option<Shared>| entry.map(|entry| entry.push.len());
        assert_eq!(len(sent.take_again(first, UserId(1))), Some(5));
        assert_eq!(len(sent.take_again(first, UserId(1))), None);
        assert_eq!(len(sent.take_again(first, UserId(2))), Some(5));
        assert_eq!(len(sent.take_again(last, UserId(1))), None);
        assert_eq!(len(sent.take_again(last + 1, UserId(1))), None);
        sent.push(REMEMBERED_MS + 1, Some(entry(7)));
        assert_eq!(len(sent.take_again(first, UserId(3))), None);
        assert_eq!(len(sent.take_again(second, UserId(3))), Some(6));
        assert_eq!(len(sent.take_again(0, UserId(3))), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sent = Sent::default();
        for _ in 0..100 {
            sent.push(0, Some(entry(1 << 20)));
        }
        assert!(sent.bytes <= REMEMBERED_BYTES_MAX && sent.deliveries.len() > 5);
    }

    #[test]
    fn a_node_gets_one_part_and_a_user_is_in_it_once() {
        let session = |node: u16, class, epoch| RemoteSession {
            node: NodeId(node),
            class,
            epoch: Epoch(epoch),
        };
        let sessions: RemoteSessions = [
            session(2, DeviceClass::Phone, 3),
            session(3, DeviceClass::Desktop, 4),
            session(2, DeviceClass::Web, 9),
            session(2, DeviceClass::Tablet, 7),
        ]
        .into_iter()
        .collect();
        let mut parts = Parts::default();
        parts.add(UserId(1), Seq(5), &sessions, |session| session.epoch != Epoch(7));
        parts.add_guess(UserId(2), Seq(6), NodeId(2));
        let mut shown = Vec::new();
        for (node, recipients) in parts.into_iter() {
            let message = node_pb::NodeMessage::decode(recipients.message(1, b"x")).unwrap();
            let Some(Body::Deliver(deliver)) = message.body else { panic!("a delivery") };
            let of = |r: node_pb::Recipient| (node.0, r.user_id, r.seq, r.sessions);
            shown.extend(deliver.recipients.into_iter().map(of));
        }
        assert_eq!(shown, [(2, 1, 5, vec![1, 3, 4, 9]), (2, 2, 6, vec![]), (3, 1, 5, vec![3, 4])]);
    }
}
