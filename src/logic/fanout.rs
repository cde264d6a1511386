//! From committed events to deliveries: who of the owners is here, on which reactor. Pure.
//!
//! It runs where the commit was made and walks the events in commit order, so that each session on
//! this node is handed its mailbox in order, whichever connections the messages came from.

use aldis_wire::{ConnId, GroupId, Message, PushTail, Seq, UserId, pb};
use bytes::Bytes;
use smallvec::SmallVec;

use crate::entry::message_data;
use crate::job::{Event, ReactorId, StoredMessage};
use crate::node::Node;
use crate::streams::StreamEntry;

/// One entry for sessions of one reactor. The body is shared by all of all reactors.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What all of them get. Empty: they have to be compared with the store.
    pub push: PushTail,
    /// Where it is: the mailbox of each, or the stream of a group.
    pub stream: Option<GroupId>,
    /// Who, and its seq there.
    pub targets: SmallVec<[Target; 1]>,
}

/// One reader of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it was when the message was committed.
    pub conn: ConnId,
    /// Who must still be there.
    pub user: UserId,
    /// The entry's place in its mailbox, or in the stream.
    pub seq: Seq,
}

/// What an entry changes about who follows a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// These begin to follow it: it is in their mailboxes, and the stream goes on from there.
    Begin(Vec<UserId>),
    /// These are members no more.
    End(Vec<UserId>),
    /// The group is over for all.
    Over,
}

/// What an entry of a group changes about who follows its stream. `owners`: whose mailboxes it went to.
pub(crate) fn moved(message: &StoredMessage, owners: &[(UserId, Seq)]) -> Option<Moved> {
    if message.kind != pb::MsgType::SystemGroup {
        return None;
    }
    moved_by(&message.content, owners.iter().map(|(user, _)| *user))
}

/// The same by the content of the entry.
pub(crate) fn moved_by(content: &Bytes, owners: impl Iterator<Item = UserId>) -> Option<Moved> {
    // What is stored was encoded by the rules.
    let event = pb::GroupEvent::decode(content.clone()).ok().filter(|event| event.is_stream)?;
    let named = || event.user_ids.iter().map(|&user| UserId(user)).collect();
    match event.kind() {
        pb::GroupEventKind::GroupBecameStream => Some(Moved::Begin(owners.collect())),
        pb::GroupEventKind::MembersJoined => Some(Moved::Begin(named())),
        pb::GroupEventKind::MemberLeft | pb::GroupEventKind::MembersRemoved => {
            Some(Moved::End(named()))
        }
        pb::GroupEventKind::GroupDissolved => Some(Moved::Over),
        _ => None,
    }
}

/// Notes who of this node begins and ends to follow a stream by an entry.
pub(crate) fn note_moved(node: &Node, group: GroupId, at: Seq, moved: &Moved) {
    match moved {
        Moved::Begin(users) => {
            users.iter().for_each(|&user| node.streams.begin(&node.table, user, group, at));
        }
        Moved::End(users) => users.iter().for_each(|&user| node.streams.end(user, group, at)),
        Moved::Over => {}
    }
}

/// Sorts deliveries by reactor: `out[r]` gets those of reactor r, in commit order. The connection
/// that made an event is left out, because the response is its own entry; but not in a stream, whose
/// entries no response names.
pub fn fan_out(events: &[Event], node: &Node, out: &mut [Vec<Delivery>]) {
    for event in events {
        let mut push: Option<PushTail> = None;
        let mut encoded = || {
            let encode = || {
                let shared: pb::MessageData = message_data(&event.message, Seq(0));
                PushTail::new(&shared)
            };
            push.get_or_insert_with(encode).clone()
        };
        let mut spread = Spread::new(out, None);
        for &(user, seq) in &event.owners {
            node.table.for_each_of(user, |online| {
                let is_origin =
                    online.reactor == event.origin.reactor && online.conn == event.origin.conn;
                if is_origin {
                    return;
                }
                let target = Target { conn: online.conn, user, seq };
                spread.add(out, online.reactor, target, &mut encoded);
            });
        }
        let Some(group) = event.message.conversation.as_group() else { continue };
        let seq = Seq(event.message.conv_seq.0);
        let moved = moved(&event.message, &event.owners);
        if let Some(moved) = &moved {
            note_moved(node, group, seq, moved);
        }
        if let Some(stream) = event.stream {
            let is_end = moved == Some(Moved::Over);
            let entry = StreamEntry { group, seq, member_seq: stream.member_seq, is_end };
            fan_out_stream(node, &entry, &mut encoded, out);
        }
    }
}

/// Sorts an entry of a stream by reactor, for those who follow it here. Who is not known to be a member
/// is compared with the store instead. The connection that made the entry gets it too.
pub(crate) fn fan_out_stream(
    node: &Node,
    entry: &StreamEntry,
    encoded: &mut impl FnMut() -> PushTail,
    out: &mut [Vec<Delivery>],
) {
    let mut spread = Spread::new(out, Some(entry.group));
    let mut doubted = Vec::new();
    node.streams.visit(&node.table, entry, |user, is_known| {
        if !is_known {
            doubted.push(user);
            return;
        }
        node.table.for_each_of(user, |online| {
            let target = Target { conn: online.conn, user, seq: entry.seq };
            spread.add(out, online.reactor, target, &mut *encoded);
        });
    });
    check_users(node, entry.group, doubted, out);
}

/// Has all who follow the stream here compared with the store.
pub(crate) fn check_followers(node: &Node, group: GroupId, out: &mut [Vec<Delivery>]) {
    check_users(node, group, node.streams.followers(group), out);
}

fn check_users(node: &Node, group: GroupId, users: Vec<UserId>, out: &mut [Vec<Delivery>]) {
    let mut spread = Spread::new(out, Some(group));
    for user in users {
        node.table.for_each_of(user, |online| {
            let target = Target { conn: online.conn, user, seq: Seq(0) };
            let nothing = || PushTail::from_encoded(Bytes::new());
            spread.add(out, online.reactor, target, nothing);
        });
    }
}

/// Where the deliveries of one entry begin in each reactor's list: a reactor gets one.
#[derive(Debug)]
pub(crate) struct Spread {
    first: SmallVec<[usize; 8]>,
    stream: Option<GroupId>,
}

impl Spread {
    /// Of an entry that comes behind what is in `out`.
    pub fn new(out: &[Vec<Delivery>], stream: Option<GroupId>) -> Self {
        Self { first: out.iter().map(Vec::len).collect(), stream }
    }

    /// Adds a reader. A reactor that there is not gets nothing.
    pub fn add(
        &mut self,
        out: &mut [Vec<Delivery>],
        reactor: ReactorId,
        target: Target,
        push: impl FnOnce() -> PushTail,
    ) {
        let reactor = usize::from(reactor.0);
        let (Some(deliveries), Some(&first)) = (out.get_mut(reactor), self.first.get(reactor))
        else {
            return;
        };
        match deliveries.get_mut(first) {
            Some(delivery) => delivery.targets.push(target),
            None => {
                let targets = SmallVec::from_buf([target]);
                deliveries.push(Delivery { push: push(), stream: self.stream, targets });
            }
        }
    }
}
