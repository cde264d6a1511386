//! From committed events to what the link has to look at: entries whose owners may be on other nodes.
//! Pure; it runs where the commit was made.

use aldis_wire::{ConversationKey, PushTail, Seq, UserId, node_pb};
use smallvec::SmallVec;

use super::routes::Routes;
use crate::entry::message_data;
use crate::fanout::moved;
use crate::job::Event;

/// An entry and those of its owners who may be on other nodes.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What all of them get.
    pub push: PushTail,
    /// The link keeps the order of entries with the same number.
    pub flow: u32,
    /// Who, with the entry's place in its mailbox.
    pub owners: SmallVec<[(UserId, Seq); 2]>,
    /// Of a group that is a stream: where the entry is in it, or whom it brings to it.
    pub stream: Option<Box<node_pb::StreamPlace>>,
}

impl Outgoing {
    /// What it takes in memory, bytes, roughly.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.push.len() + self.owners.len() * size_of::<(UserId, Seq)>()
    }
}

/// Those of the events that are not known to concern this node only. Costs next to nothing while
/// there is no other node, and one look into the cache for each owner otherwise.
pub fn outgoing(events: &[Event], routes: &Routes, now_ms: u64) -> Vec<Outgoing> {
    let mut out = Vec::new();
    if !routes.has_peers() {
        return out;
    }
    for event in events {
        let is_elsewhere = |(user, _): &&(UserId, Seq)| !routes.is_only_here(*user, now_ms);
        let owners: SmallVec<[_; 2]> = event.owners.iter().filter(is_elsewhere).copied().collect();
        let stream = stream_place(event);
        if owners.is_empty() && stream.as_ref().is_none_or(|stream| !stream.is_in_stream) {
            continue;
        }
        let push = PushTail::new(&message_data(&event.message, Seq(0)));
        out.push(Outgoing { push, flow: flow_of(event.message.conversation), owners, stream });
    }
    out
}

fn stream_place(event: &Event) -> Option<Box<node_pb::StreamPlace>> {
    let group = event.message.conversation.as_group()?;
    let moves_members = moved(&event.message, &event.owners).is_some();
    if event.stream.is_none() && !moves_members {
        return None;
    }
    Some(Box::new(node_pb::StreamPlace {
        group_id: group.0,
        conv_seq: event.message.conv_seq.0,
        is_in_stream: event.stream.is_some(),
        member_seq: event.stream.map_or(0, |stream| stream.member_seq.0),
        moves_members,
    }))
}

/// Flows are as good as free, so two conversations rarely share one.
fn flow_of(conversation: ConversationKey) -> u32 {
    // A multiplier of Knuth's: neighbouring ids end up far apart.
    let mixed =
        (conversation.lo.rotate_left(32) ^ conversation.hi).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}
