//! Where an entry goes: one message for each node that has owners of it. Pure.

use aldis_wire::{DeviceClass, Epoch, Message, PushTail, Recipients, Seq, UserId, node_pb};
use bytes::Bytes;
use node_pb::node_message::Body;
use smallvec::SmallVec;

use super::parked::Sought;
use super::routes::{RemoteSession, RemoteSessions};
use crate::job::NodeId;

/// What all owners of an entry get.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// The entry.
    pub push: PushTail,
    /// See `Outgoing`.
    pub flow: u32,
    /// See there.
    pub stream: Option<Box<node_pb::StreamPlace>>,
}

impl Shared {
    /// For owners who are sent it later: whoever follows its stream has it by then.
    pub fn in_mailboxes(self) -> Self {
        let mailbox_only = |stream: Box<node_pb::StreamPlace>| {
            let (is_in_stream, member_seq) = (false, 0);
            Box::new(node_pb::StreamPlace { is_in_stream, member_seq, ..*stream })
        };
        Self { stream: self.stream.map(mailbox_only), ..self }
    }

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

    /// The entry goes to this node for whoever follows its stream there.
    pub fn add_stream(&mut self, node: NodeId) {
        self.recipients(node);
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
            let message =
                node_pb::NodeMessage::decode(recipients.message(b"x", false, None)).unwrap();
            let Some(Body::Deliver(deliver)) = message.body else { panic!("a delivery") };
            let of = |r: node_pb::Recipient| (node.0, r.user_id, r.seq, r.sessions);
            shown.extend(deliver.recipients.into_iter().map(of));
        }
        assert_eq!(shown, [(2, 1, 5, vec![1, 3, 4, 9]), (2, 2, 6, vec![]), (3, 1, 5, vec![3, 4])]);
    }
}
